// Package grpcclient is the contract of the gRPC calls that the proxy makes itself: to
// access log services, authorization and rate limit services, control planes. They go
// through the clusters of the configuration.
package grpcclient

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// Clients makes clients from their configuration. Main goroutine.
type Clients interface {
	// Client returns the client of a service. What is wrong goes to errs; the result is
	// nil then. The timeout of the message is checked and otherwise the caller's business:
	// a default of its own may take its place, and streams have none.
	Client(service *corev3.GrpcService, path conf.Path, errs *conf.Errors) Client
}

// A Client makes calls to one service. Any goroutine.
type Client interface {
	// Start begins a call of method, as "/envoy.service.accesslog.v3.AccessLogService/
	// StreamAccessLogs", on the worker of d. All that follows happens on that worker; r may
	// be called before Start returns.
	Start(d event.Dispatcher, method string, o Options, r Receiver) Call
}

// Options say how a call is made. The zero value will do.
type Options struct {
	// Timeout bounds the call as a whole, 0 for no bound.
	Timeout time.Duration
	// Parent is the stream for which the call is made, nil for none; Start only reads it.
	Parent *streaminfo.Stream
}

// A Call is one call, of any kind. It belongs to its worker.
type Call interface {
	// Send sends a message, whose bytes it copies; with end it is the last one. After the
	// call is over it does nothing.
	Send(message []byte, end bool)
	// AboveHighWatermark reports whether more waits to be sent than the cluster's buffer
	// limit: who can, sends no more until OnSent.
	AboveHighWatermark() bool
	// Cancel ends the call. The receiver is told nothing more.
	Cancel()
}

// A Receiver is told what comes back. It is called on the worker of the call.
type Receiver interface {
	// OnMessage passes a message, which is good until it returns, or cancels the call.
	OnMessage(message []byte)
	// OnSent says that AboveHighWatermark was true and is so no longer.
	OnSent()
	// OnStatus ends the call with a code of gRPC, 0 for OK. It is the last call.
	OnStatus(code int, message string)
}

// The codes of gRPC that calls of this package end with by themselves.
// https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
const (
	OK                = 0
	Unknown           = 2
	DeadlineExceeded  = 4
	ResourceExhausted = 8
	Internal          = 13
	Unavailable       = 14
)
