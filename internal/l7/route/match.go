package route

import (
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
)

// An entry is a route with its conditions.
type entry struct {
	path       pathMatch
	headers    []*match.Header
	query      []*match.QueryParameter
	grpc       bool
	fractional bool
	fraction   runtimeconf.Fraction
	runtime    runtimeconf.Loader // nil if fraction does not ask it

	route    *route.Route
	weighted *weighted // picks a variant of route; nil if there are none
}

// A pathMatch is a condition on the path without query.
type pathMatch struct {
	kind pathKind
	text string // lower case if fold is set
	fold bool
	re   *match.Regex
}

type pathKind uint8

const (
	pathPrefix pathKind = iota
	pathExact
	pathSeparated
	pathRegex
	pathConnect
)

// A request is what conditions look at.
type request struct {
	headers *httpmsg.Headers
	path    string // without query, and parameters if they are ignored
	lower   string // path in lower case, "" if no route asks for it
	hasPath bool
	connect bool
	random  uint64
}

func (e *entry) matches(r *request) bool {
	return e.path.matches(r) && (!e.grpc || isGRPC(r.headers)) && (!e.fractional || e.sampled(r.random)) && e.conditions(r)
}

func (e *entry) conditions(r *request) bool {
	for _, h := range e.headers {
		if !h.MatchHeaders(r.headers) {
			return false
		}
	}
	for _, q := range e.query {
		if !q.Match(r.headers.Get(httpmsg.Path)) {
			return false
		}
	}
	return true
}

func (e *entry) sampled(random uint64) bool {
	var snapshot runtimeconf.Snapshot
	if e.runtime != nil {
		snapshot = e.runtime.Snapshot()
	}
	return e.fraction.Enabled(snapshot, random)
}

func (m *pathMatch) matches(r *request) bool {
	if m.kind == pathConnect {
		return r.connect
	}
	path := r.path
	if m.fold {
		path = r.lower
	}
	switch {
	case !r.hasPath:
		return false
	case m.kind == pathExact:
		return path == m.text
	case m.kind == pathRegex:
		return m.re.Match(path)
	case !strings.HasPrefix(path, m.text):
		return false
	default:
		return m.kind == pathPrefix || len(path) == len(m.text) || path[len(m.text)] == '/'
	}
}

// length returns how much of a path the condition matches, -1 for all of it.
func (m *pathMatch) length() int {
	if m.kind == pathRegex || m.kind == pathConnect {
		return -1
	}
	return len(m.text)
}

func isGRPC(h *httpmsg.Headers) bool {
	rest, ok := strings.CutPrefix(h.Get(httpmsg.ContentType), "application/grpc")
	return ok && (rest == "" || rest[0] == '+')
}

// conditions builds an entry without its route.
func (s *hostScope) conditions(cfg *routev3.RouteMatch, path conf.Path) entry {
	conf.Check(cfg, MatchFields(), path, s.errs)
	e := entry{
		path:    s.pathMatch(cfg, path),
		headers: match.NewHeaders(cfg.GetHeaders(), path.Field("headers"), s.errs),
		query:   match.NewQueryParameters(cfg.GetQueryParameters(), path.Field("query_parameters"), s.errs),
		grpc:    cfg.GetGrpc() != nil,
	}
	if f := cfg.GetRuntimeFraction(); f != nil {
		e.fractional, e.fraction = true, runtimeconf.Fraction{Key: f.GetRuntimeKey(), Millionths: millionths(f.GetDefaultValue())}
		if e.fraction.Key != "" {
			e.runtime = s.Runtime
		}
	}
	return e
}

func (s *hostScope) pathMatch(cfg *routev3.RouteMatch, path conf.Path) pathMatch {
	m := pathMatch{fold: cfg.GetCaseSensitive() != nil && !cfg.GetCaseSensitive().GetValue()}
	switch p := cfg.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		m.text = p.Prefix
	case *routev3.RouteMatch_Path:
		m.kind, m.text = pathExact, p.Path
	case *routev3.RouteMatch_PathSeparatedPrefix:
		m.kind, m.text = pathSeparated, p.PathSeparatedPrefix
		if t := m.text; len(t) < 2 || strings.ContainsAny(t, "?#") || t[len(t)-1] == '/' {
			s.errs.Add(path.Field("path_separated_prefix"), `must have two characters or more, no "?" or "#", and not end with "/"`)
		}
	case *routev3.RouteMatch_SafeRegex:
		m.kind, m.fold = pathRegex, false
		m.re = match.NewRegex(p.SafeRegex, path.Field("safe_regex"), s.errs)
	case *routev3.RouteMatch_ConnectMatcher_:
		m.kind, m.fold = pathConnect, false
	case *routev3.RouteMatch_PathMatchPolicy: // refused by its field
	default:
		s.errs.Add(path, "one of prefix, path, safe_regex, path_separated_prefix, connect_matcher is required")
	}
	if m.fold {
		m.text = match.Lower(m.text)
	}
	return m
}

func millionths(f *typev3.FractionalPercent) uint32 {
	scale := uint64(1)
	switch f.GetDenominator() {
	case typev3.FractionalPercent_HUNDRED:
		scale = 10_000
	case typev3.FractionalPercent_TEN_THOUSAND:
		scale = 100
	}
	return uint32(min(uint64(f.GetNumerator())*scale, 1_000_000))
}
