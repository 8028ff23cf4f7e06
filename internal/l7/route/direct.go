package route

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/route"
)

func (s *hostScope) directResponse(cfg *routev3.DirectResponseAction, path conf.Path) *route.Direct {
	conf.Check(cfg, DirectResponseFields(), path, s.errs)
	if st := cfg.GetStatus(); st < 200 || st > 599 {
		s.errs.Add(path.Field("status"), "must be from 200 to 599")
	}
	d := &route.Direct{Status: int(cfg.GetStatus()), Details: "direct_response"}
	if d.Status == 201 || d.Status/100 == 3 {
		d.Location = new(redirect).location // the URL of the request, as Envoy has it
	}
	if cfg.GetBody() != nil {
		d.Body = s.body(cfg.GetBody(), path.Field("body"))
	}
	if f := cfg.GetBodyFormat(); f != nil {
		d.BodyFormat = s.Formats.FromProto(f, path.Field("body_format"), s.errs)
		d.ContentType = f.GetContentType()
		if d.ContentType == "" && f.GetJsonFormat() != nil {
			d.ContentType = "application/json"
		}
	}
	return d
}

// body reads the body of a direct response.
func (s *hostScope) body(cfg *corev3.DataSource, path conf.Path) route.Text {
	if cfg.GetSpecifier() == nil {
		s.errs.Add(path, "one of inline_string, inline_bytes, filename, environment_variable is required")
		return nil
	}
	return extension.NewDataSource(cfg, s.maxBody, s.Context, path, s.errs)
}
