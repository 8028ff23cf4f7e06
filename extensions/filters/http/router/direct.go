package router

import (
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// answer gives the direct response or redirect of the route.
func (f *filter) answer(d *route.Direct) {
	f.cfg.stats.rqDirectResponse.Inc(f.shard)
	x := failure{status: d.Status, body: d.BodyText(), details: d.Details}
	if x.details == "" {
		x.details = "direct_response"
	}
	if d.BodyFormat != nil {
		e := format.Entry{
			Request: f.headers, Stream: f.info, LocalReplyBody: x.body, Now: f.d.Now(), Shard: f.shard, Random: f.cb.StreamID(),
		}
		x.body = string(d.BodyFormat.Append(nil, &e))
	}
	f.local.contentType = d.ContentType
	f.local.location = f.directLocation(d)
	f.fail(x)
}

// directLocation is where a direct response leads to, "" if it does not. As in Envoy
// it does not for a CONNECT request either, which has no path.
func (f *filter) directLocation(d *route.Direct) string {
	if d.Location == nil || !f.headers.Has(httpmsg.Path) {
		return ""
	}
	return d.Location(f.headers, f.info)
}

// requestURL is the URL of a request with that scheme, "" if it has no path.
func requestURL(scheme string, h *httpmsg.Headers) string {
	if !h.Has(httpmsg.Path) {
		return ""
	}
	return scheme + "://" + h.Get(httpmsg.Authority) + h.Get(httpmsg.Path)
}
