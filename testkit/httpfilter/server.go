package httpfilter

import "github.com/nuncio-proxy/nuncio/api/extension"

// A Server is an extension.Server with these answers. Its methods that are not defined
// here must not be called.
type Server struct {
	extension.Server
	Zone string
}

// ServiceZone returns Zone.
func (s *Server) ServiceZone() string { return s.Zone }
