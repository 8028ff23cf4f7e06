package cors

import (
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// A filter is the filter of one stream.
type filter struct {
	httpfilter.PassBody
	httpfilter.PassResponseBody
	cfg *config
	cb  httpfilter.Callbacks

	// Of the stream: policies, the most specific first; the origin that is allowed, ""
	// if none is; the answer to a preflight.
	policies []*policy
	origin   string
	response httpmsg.Headers
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.EncoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	origin := h.Get(httpmsg.Origin)
	if origin == "" {
		return httpfilter.Continue
	}
	f.findPolicies(f.cb.Route())
	if len(f.policies) == 0 {
		return httpfilter.Continue
	}
	snapshot, d := f.cfg.runtime.Snapshot(), f.cb.Dispatcher()
	enabled := f.policies[0].enabled.Enabled(snapshot, d.Random())
	if !enabled && !f.policies[0].shadow.Enabled(snapshot, d.Random()) {
		return httpfilter.Continue
	}
	allowed := f.allows(origin)
	if allowed {
		f.cfg.originValid.Inc(d.Shard())
	} else {
		f.cfg.originInvalid.Inc(d.Shard())
	}
	if !enabled {
		return httpfilter.Continue
	}
	if allowed {
		f.origin = origin
	}
	preflight := h.Get(httpmsg.Method) == "OPTIONS" && h.Get(httpmsg.AccessControlRequestMethod) != ""
	if !preflight || !allowed && f.choose(func(p *policy) choice { return p.forwardPreflights }) != no {
		return httpfilter.Continue
	}
	f.answer(h)
	return httpfilter.StopIteration
}

// findPolicies notes the policies of a route that forwards; the deprecated ones if there
// are no others.
func (f *filter) findPolicies(r *route.Route) {
	if r == nil || r.Forward == nil {
		return
	}
	f.addPolicies(r, f.cb.Name())
	if len(f.policies) == 0 {
		f.addPolicies(r, "")
	}
}

func (f *filter) addPolicies(r *route.Route, name string) {
	for i := range r.FilterConfigs {
		if c := &r.FilterConfigs[i]; c.Filter == name {
			if p, ok := c.Config.(*policy); ok {
				f.policies = append(f.policies, p)
			}
		}
	}
}

// allows tests the origin with the most specific list. A matcher of "*" allows all.
func (f *filter) allows(origin string) bool {
	for _, p := range f.policies {
		for _, m := range p.origins {
			if m.Match("*") || m.Match(origin) {
				return true
			}
		}
		if len(p.origins) > 0 {
			return false
		}
	}
	return false
}

// choose and text return the most specific setting.
func (f *filter) choose(of func(*policy) choice) choice {
	for _, p := range f.policies {
		if c := of(p); c != unset {
			return c
		}
	}
	return unset
}

func (f *filter) text(of func(*policy) string) string {
	for _, p := range f.policies {
		if s := of(p); s != "" {
			return s
		}
	}
	return ""
}

// answer answers the preflight request h. EncodeHeaders adds what every response
// has.
func (f *filter) answer(h *httpmsg.Headers) {
	r := &f.response
	r.SetStatusCode(200)
	if f.origin != "" {
		r.Add("access-control-allow-origin", f.origin)
	}
	f.addCredentials(r)
	addRequested(r, "access-control-allow-methods", f.text(func(p *policy) string { return p.allowMethods }),
		h.Get(httpmsg.AccessControlRequestMethod))
	addRequested(r, "access-control-allow-headers", f.text(func(p *policy) string { return p.allowHeaders }),
		h.Get(httpmsg.AccessControlRequestHeaders))
	if age := f.text(func(p *policy) string { return p.maxAge }); age != "" {
		r.Add("access-control-max-age", age)
	}
	if h.Get(httpmsg.AccessControlRequestPrivateNetwork) == "true" &&
		f.choose(func(p *policy) choice { return p.privateNetwork }) == yes {
		r.Add("access-control-allow-private-network", "true")
	}
	f.cb.StartResponse(r, true, "cors_response")
}

// addRequested adds a header with what is allowed: for "*", what was asked for.
func addRequested(r *httpmsg.Headers, name, allowed, requested string) {
	if allowed == "*" {
		r.Add(name, requested)
	} else if allowed != "" {
		r.Add(name, allowed)
	}
}

func (f *filter) addCredentials(r *httpmsg.Headers) {
	if f.choose(func(p *policy) choice { return p.credentials }) == yes {
		r.SetName("access-control-allow-credentials", "true")
	}
}

// EncodeHeaders implements httpfilter.EncoderFilter.
func (f *filter) EncodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	if f.origin == "" {
		return httpfilter.Continue
	}
	h.SetName("access-control-allow-origin", f.origin)
	f.addCredentials(h)
	if expose := f.text(func(p *policy) string { return p.exposeHeaders }); expose != "" {
		h.SetName("access-control-expose-headers", expose)
	}
	return httpfilter.Continue
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() {
	clear(f.policies)
	f.policies, f.origin = f.policies[:0], ""
	f.response.Reset()
}
