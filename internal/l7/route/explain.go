package route

import (
	"fmt"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// Explain implements route.Table.
func (t *Table) Explain(h *httpmsg.Headers, info *streaminfo.Stream, random uint64) *route.Explanation {
	d := t.hosts.find(h)
	if d.host == nil {
		return &route.Explanation{Reason: t.hosts.missing(h)}
	}
	x := &route.Explanation{VirtualHost: d.host.public.Name, Domain: d.pattern}
	v := d.host
	switch {
	case h.Get(httpmsg.XForwardedProto) == "":
		x.Reason = "x-forwarded-proto is missing"
		return x
	case v.wantsTLS(h):
		x.Reason = "the virtual host requires TLS: redirect to https"
		return x
	}
	list := &v.routes
	if v.tree != nil {
		a := v.action(h, info)
		if a == nil {
			x.Reason = "the matcher of the virtual host finds no action"
			return x
		}
		x.Reason = "matcher leads to " + a.at
		list = &a.routes
	}
	r := v.request(h, info, random)
	list.explain(x, &r)
	return x
}

// missing says why no virtual host was found.
func (x *hostIndex) missing(h *httpmsg.Headers) string {
	name, ok := x.name(h)
	switch {
	case x.header != "" && !ok:
		return "the request has no header " + x.header + ", which names the virtual host"
	case !ok:
		return "the request has no host"
	default:
		return "no virtual host has a domain for " + match.Quote(name)
	}
}

// explain tries the routes in turn.
func (l *routeList) explain(x *route.Explanation, r *request) {
	r.lower = match.Lower(r.path)
	for i := range l.entries {
		e := &l.entries[i]
		failed, at := e.test(r)
		switch step := (route.Step{Index: i, Name: e.route.Name}); {
		case failed == 0:
			x.Steps = append(x.Steps, step)
			if e.weighted != nil {
				if to := e.weighted.pick(r.headers, r.info, r.random); to != nil {
					x.Cluster = to.Forward.ClusterName(r.headers, r.info, r.random)
				}
			}
			return
		case i < route.MaxExplained-1:
			step.Failed = e.explain(failed, at, r)
			x.Steps = append(x.Steps, step)
		default:
			x.Left++
		}
	}
}

// explain says why a condition does not hold: the one that test returned.
func (e *entry) explain(failed condition, i int, r *request) string {
	switch failed {
	case pathCondition:
		return e.path.explain(r)
	case grpcCondition:
		return "grpc: content-type is " + match.Quote(r.headers.Get(httpmsg.ContentType))
	case runtimeCondition:
		text := fmt.Sprintf("runtime fraction of %g%%", float64(e.fraction.Millionths)/10_000)
		if e.fraction.Key != "" {
			text += ", or what " + e.fraction.Key + " says"
		}
		return fmt.Sprintf("%s: the request is at %g%%", text, float64(r.random%1_000_000)/10_000)
	case headerCondition:
		return e.headers[i].Explain(r.headers)
	case queryCondition:
		return e.query[i].Explain(r.headers.Get(httpmsg.Path))
	case cookieCondition:
		return e.rare.cookies[i].Explain(r.headers)
	case presentedCondition:
		return fmt.Sprintf("tls_context: certificate presented: %t, got %t", *e.rare.presented, !*e.rare.presented)
	case validatedCondition:
		return fmt.Sprintf("tls_context: certificate validated: %t, got %t", *e.rare.validated, !*e.rare.validated)
	case metadataCondition:
		return e.rare.metadata[i].Explain(r.metadata())
	default:
		return e.rare.filterState[i].Explain(r.info)
	}
}

func (m *pathMatch) explain(r *request) string {
	switch {
	case m.kind == pathConnect:
		return "connect_matcher: the method is " + match.Quote(r.headers.Get(httpmsg.Method))
	case !r.hasPath:
		return m.String() + ": the request has no path"
	default:
		return m.String() + " against " + match.Quote(r.path)
	}
}

// String describes the condition.
func (m *pathMatch) String() (text string) {
	switch m.kind {
	case pathExact:
		text = "path " + match.Quote(m.text)
	case pathSeparated:
		text = "path separated prefix " + match.Quote(m.text)
	case pathRegex:
		return "path regex " + m.re.String()
	case pathPolicy:
		return "path template " + match.Quote(m.policy.Template())
	default:
		text = "path prefix " + match.Quote(m.text)
	}
	if m.fold {
		text += " in any case"
	}
	return text
}
