package extension

import (
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// The categories of extensions of the HTTP connection manager, in Envoy's words.
const (
	OriginalIPDetection = "envoy.http.original_ip_detection"
	EarlyHeaderMutation = "envoy.http.early_header_mutation"
	RequestID           = "envoy.request_id"
)

// An OriginalIPDetectionFactory makes detectors of the client's address.
type OriginalIPDetectionFactory interface {
	Factory
	// BuildOriginalIPDetection checks the configuration. Errors go to errs; it returns
	// nil then. Main goroutine.
	BuildOriginalIPDetection(msg proto.Message, ctx Context, path conf.Path, errs *conf.Errors) httpfilter.IPDetector
}

// An EarlyHeaderMutationFactory makes changes of request headers that come before
// all that the connection manager does with them.
type EarlyHeaderMutationFactory interface {
	Factory
	// BuildEarlyHeaderMutation checks the configuration. Errors go to errs; it returns
	// nil then. Main goroutine.
	BuildEarlyHeaderMutation(msg proto.Message, ctx Context, path conf.Path, errs *conf.Errors) route.HeaderMutation
}

// A RequestIDFactory makes request ids. The factory of UuidRequestIdConfig is used
// where the configuration names none.
type RequestIDFactory interface {
	Factory
	// BuildRequestID checks the configuration. Errors go to errs; it returns nil then.
	// Main goroutine.
	BuildRequestID(msg proto.Message, ctx Context, path conf.Path, errs *conf.Errors) httpfilter.RequestIDs
}
