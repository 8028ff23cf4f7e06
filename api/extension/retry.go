package extension

import (
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// The categories of extensions that retries ask.
const (
	RetryHostPredicates = "envoy.retry_host_predicates"
	RetryPriorities     = "envoy.retry_priorities"
)

// A RetryHostPredicateFactory makes the predicates of retry_host_predicate. Main
// goroutine.
type RetryHostPredicateFactory interface {
	Factory
	// BuildRetryHostPredicate checks the configuration. Errors go to errs with the path
	// of the field; the result is nil then.
	BuildRetryHostPredicate(msg proto.Message, path conf.Path, errs *conf.Errors) route.RetryHostPredicate
}

// A RetryPriorityFactory makes what retry_priority names. Main goroutine.
type RetryPriorityFactory interface {
	Factory
	// BuildRetryPriority checks the configuration. Errors go to errs with the path of the
	// field; the result is nil then.
	BuildRetryPriority(msg proto.Message, path conf.Path, errs *conf.Errors) route.RetryPriority
}
