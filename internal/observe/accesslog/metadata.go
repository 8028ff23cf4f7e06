package accesslog

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/match"
)

// metadata compares a value of the dynamic metadata, if there is one. It takes no
// notice of invert, as in Envoy.
func metadata(c *accesslogv3.MetadataFilter, path conf.Path, errs *conf.Errors) accesslog.Filter {
	ifMissing := c.GetMatchIfKeyNotFound() == nil || c.GetMatchIfKeyNotFound().GetValue()
	m := c.GetMatcher()
	if m == nil {
		return func(*format.Entry) bool { return ifMissing }
	}
	at := path.Field("matcher")
	place := match.NewMetadataPath(m.GetFilter(), m.GetPath(), at, errs)
	value := match.NewValue(m.GetValue(), at.Field("value"), errs)
	return func(e *format.Entry) bool {
		v := place.Find(e.Stream.Metadata)
		if v == nil {
			return ifMissing
		}
		return value.Match(v)
	}
}
