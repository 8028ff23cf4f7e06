package router

import (
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// answer gives the direct response or redirect of the route.
func (f *filter) answer(d *route.Direct) {
	f.cfg.stats.rqDirectResponse.Inc(f.shard)
	x := failure{status: d.Status, body: d.Body, details: d.Details}
	if x.details == "" {
		x.details = "direct_response"
	}
	if d.BodyFormat != nil {
		e := format.Entry{
			Request: f.headers, Stream: f.info, LocalReplyBody: d.Body, Now: f.d.Now(), Shard: f.shard, Random: f.cb.StreamID(),
		}
		x.body = string(d.BodyFormat.Append(nil, &e))
	}
	f.local.contentType = d.ContentType
	f.local.location = f.directLocation(d)
	f.fail(x)
}

// directLocation is where a direct response leads to. Without a target it is the URL
// of the request: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.2
func (f *filter) directLocation(d *route.Direct) string {
	switch {
	case d.Location != nil:
		return d.Location(f.headers, f.info)
	case d.Status == 201 || d.Status/100 == 3:
		return requestURL(f.headers.Get(httpmsg.Scheme), f.headers)
	default:
		return ""
	}
}

// requestURL is the URL of a request with that scheme, "" if it has no path.
func requestURL(scheme string, h *httpmsg.Headers) string {
	if !h.Has(httpmsg.Path) {
		return ""
	}
	return scheme + "://" + h.Get(httpmsg.Authority) + h.Get(httpmsg.Path)
}
