// Package why is how the proxy remembers the answers that it gave by itself, so
// that it can explain them: no route, no healthy host, a timeout, a limit.
package why

import (
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A Recorder keeps the last answers. Any worker.
type Recorder interface {
	// Record copies what it needs from a, which is the caller's again on return. It
	// neither allocates in steady state nor waits for anybody.
	Record(shard int, a *Answer)
}

// An Answer is a stream that did not end with a whole response of the upstream,
// when it ends.
type Answer struct {
	// Request is nil if there was no complete request.
	Request *httpmsg.Headers
	// Stream is never nil, nor is its Downstream.
	Stream *streaminfo.Stream
	// Routes is the table that the route was looked up in, with the random value
	// Random; nil if it was not.
	Routes route.Table
	Random uint64
	// Body is the text that was sent.
	Body string
	// Connection says in words what became of the downstream connection, and
	// CloseReason why, if the proxy ended it.
	Connection, CloseReason string
}
