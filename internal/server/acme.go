package server

import (
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/internal/control/acme"
	"github.com/nuncio-proxy/nuncio/internal/control/bootstrap"
)

// buildACME makes what obtains certificates, if the bootstrap has it, and its secrets
// known. It comes before all that name them. Errors go to errs.
func (s *Server) buildACME(found bootstrap.Extensions, ctx *extension.Context, errs *conf.Errors) {
	if found.ACME == nil {
		return
	}
	before := len(*errs)
	config := acme.Parse(found.ACME, found.ACMEPath, errs)
	for _, name := range config.Names() {
		var unknown conf.Errors
		if s.secrets.Find(&tlsv3.SdsSecretConfig{Name: name}, found.ACMEPath, &unknown) != nil && len(*errs) == before {
			errs.Add(found.ACMEPath, "there are two secrets named %s: one is in static_resources.secrets", name)
		}
		s.secrets.Declare(name)
	}
	if len(*errs) > before {
		return
	}
	s.acme = acme.New(acme.Options{
		Config: config, Dispatcher: s.main, Now: time.Now, Secrets: s.secrets, Stats: s.store.Root(), Log: s.log.Logger("config"),
	})
	s.tls.UseACME(s.acme)
	ctx.ACME = s.acme
}
