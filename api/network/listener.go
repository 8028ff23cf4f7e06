package network

import (
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A ListenerFilter looks at an accepted socket before its filter chain is chosen,
// and may read the first bytes without taking them away.
type ListenerFilter interface {
	// OnAccept is called once, on the worker. With StopIteration the filter waits for
	// data, or for its own callback.
	OnAccept(cb ListenerFilterCallbacks) FilterStatus
	// OnData is called when at least one byte more than before can be seen, up to
	// MaxReadBytes. peeked is valid during the call and begins with what OnData saw
	// before, but for what was drained.
	OnData(peeked []byte) FilterStatus
	// MaxReadBytes is how many bytes the filter needs to see at most; 0 for none. It may
	// grow during OnData: a filter that waits for more than it allowed sees no more.
	MaxReadBytes() int
	// OnClose says that the socket is gone before the filter was done.
	OnClose()
}

// ListenerFilterCallbacks is how a listener filter acts on the accepted socket. It is
// used on the worker, until the filter is done.
type ListenerFilterCallbacks interface {
	Dispatcher() event.Dispatcher
	// Info may be changed: addresses, server name, transport and application protocol.
	Info() *streaminfo.Connection
	// Stream is the stream info of the connection, for dynamic metadata.
	Stream() *streaminfo.Stream
	// OriginalDestination asks the system where the connection was going before a rule of
	// its packet filter redirected it here; false if it does not know.
	OriginalDestination() (address.Address, bool)
	// Drain removes the first n peeked bytes from the connection.
	Drain(n int)
	// Continue resumes after StopIteration; with ok false the socket is closed.
	Continue(ok bool)
}
