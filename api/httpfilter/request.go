package httpfilter

import (
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// An IPDetector finds out where a request came from, for the connection manager,
// before any filter sees the request. It is immutable. Any worker.
type IPDetector interface {
	// DetectIP looks at the headers of a request that arrived on a connection from peer.
	// It changes nothing.
	DetectIP(h *httpmsg.Headers, peer address.Address) Detection
}

// A Detection is what an IPDetector found.
type Detection struct {
	// Address is the client's; it is not valid if the detector does not know.
	Address address.Address
	// Trusted lets the request count as internal if Address is.
	Trusted bool
	// AppendXFF asks for the peer to be appended to x-forwarded-for.
	AppendXFF bool
	// Reject is the status to answer the request with, 0 to serve it.
	Reject int
}

// RequestIDs gives requests their x-request-id, for the connection manager. It is
// immutable. Any worker.
type RequestIDs interface {
	// SetRequestID makes sure that a request has an id. An edge request comes from
	// outside: what id it has is replaced, unless keepExternal is set.
	SetRequestID(h *httpmsg.Headers, edge, keepExternal bool, d event.Dispatcher)
	// SetInResponse puts the id of the request, if it has one, in a response to it.
	SetInResponse(response, request *httpmsg.Headers)
}
