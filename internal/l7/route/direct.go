package route

import (
	"os"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
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
func (s *hostScope) body(cfg *corev3.DataSource, path conf.Path) string {
	text, at := "", path
	switch src := cfg.GetSpecifier().(type) {
	case *corev3.DataSource_InlineString:
		text, at = src.InlineString, path.Field("inline_string")
	case *corev3.DataSource_InlineBytes:
		text, at = string(src.InlineBytes), path.Field("inline_bytes")
	case *corev3.DataSource_EnvironmentVariable:
		at = path.Field("environment_variable")
		text = s.environment(src.EnvironmentVariable, at)
	case *corev3.DataSource_Filename:
		at = path.Field("filename")
		text = s.file(src.Filename, at)
	default:
		s.errs.Add(path, "one of inline_string, inline_bytes, filename, environment_variable is required")
	}
	if int64(len(text)) > s.maxBody {
		s.errs.Add(at, "response body has %d bytes; the maximum is %d", len(text), s.maxBody)
	}
	return text
}

func (s *hostScope) environment(name string, path conf.Path) string {
	value, found := "", false
	if s.LookupEnv != nil {
		value, found = s.LookupEnv(name)
	}
	if !found {
		s.errs.Add(path, "there is no environment variable %q", name)
	}
	return value
}

// file reads a file that is not larger than a body may be.
func (s *hostScope) file(name string, path conf.Path) string {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		s.errs.Add(path, "%v", err)
		return ""
	case info.Size() > s.maxBody:
		s.errs.Add(path, "response body file %s has %d bytes; the maximum is %d", name, info.Size(), s.maxBody)
		return ""
	}
	content, err := os.ReadFile(name)
	if err != nil {
		s.errs.Add(path, "%v", err)
	}
	return string(content)
}
