// Package listenerfilter holds a fake socket for tests of listener filters.
package listenerfilter

import (
	"net/netip"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A Socket runs one listener filter as the listener does, on a dispatcher of the test.
// It is the filter's callbacks.
type Socket struct {
	Connection streaminfo.Connection
	Streaminfo streaminfo.Stream
	// Original is what the system says of the original destination, if it is valid.
	Original address.Address

	// Done says that the filter let the socket pass, Closed that it closed it.
	Done, Closed bool
	// Data is what was received and not drained.
	Data []byte

	dispatcher event.Dispatcher
	filter     network.ListenerFilter
	seen       int
}

var _ network.ListenerFilterCallbacks = (*Socket)(nil)

// New returns a socket from 127.0.0.1:1000 to 127.0.0.1:80 that f has not seen.
func New(d event.Dispatcher, f network.ListenerFilter) *Socket {
	s := &Socket{dispatcher: d, filter: f}
	remote := address.FromAddrPort(netip.MustParseAddrPort("127.0.0.1:1000"))
	local := address.FromAddrPort(netip.MustParseAddrPort("127.0.0.1:80"))
	s.Connection = streaminfo.Connection{Remote: remote, DirectRemote: remote, Local: local, DirectLocal: local}
	s.Streaminfo.Downstream = &s.Connection
	return s
}

// Accept calls the filter's OnAccept.
func (s *Socket) Accept() {
	if s.filter.OnAccept(s) == network.Continue {
		s.Done = true
	}
}

// Receive adds data that the peer sent, and shows the filter as much as it wants.
func (s *Socket) Receive(data []byte) {
	s.Data = append(s.Data, data...)
	for !s.Done && !s.Closed {
		n := min(len(s.Data), s.filter.MaxReadBytes())
		if n <= s.seen {
			return
		}
		s.seen = n
		// A copy of the right size finds a filter that looks or keeps too far.
		if s.filter.OnData(append([]byte(nil), s.Data[:n]...)) == network.Continue {
			s.Done = true
		}
	}
}

// Dispatcher implements network.ListenerFilterCallbacks.
func (s *Socket) Dispatcher() event.Dispatcher { return s.dispatcher }

// Info implements network.ListenerFilterCallbacks.
func (s *Socket) Info() *streaminfo.Connection { return &s.Connection }

// Stream implements network.ListenerFilterCallbacks.
func (s *Socket) Stream() *streaminfo.Stream { return &s.Streaminfo }

// OriginalDestination implements network.ListenerFilterCallbacks.
func (s *Socket) OriginalDestination() (address.Address, bool) {
	return s.Original, s.Original.IsValid()
}

// Drain implements network.ListenerFilterCallbacks.
func (s *Socket) Drain(n int) {
	s.Data = s.Data[n:]
	s.seen -= n
}

// Continue implements network.ListenerFilterCallbacks.
func (s *Socket) Continue(ok bool) {
	s.Done, s.Closed = ok, !ok
	if !ok {
		s.filter.OnClose()
	}
}
