package server

import (
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/event"
)

// connectInternal lets the clusters reach the internal listeners, which are built after
// them. Any worker.
func (s *Server) connectInternal(l *event.Loop, to address.Address, with transport.Passed) (*event.Pipe, error) {
	return s.listeners.Connect(l, to, with)
}
