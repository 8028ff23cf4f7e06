package route

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
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
	rare       *rareConditions    // nil for none

	route    *route.Route
	weighted *weighted // picks a variant of route; nil if there are none
}

// rareConditions are those that few routes have.
type rareConditions struct {
	cookies              []*match.Cookie
	presented, validated *bool // of the client's certificate; nil for either
	metadata             []*match.Metadata
	filterState          []*match.FilterState
}

// A pathMatch is a condition on the path without query.
type pathMatch struct {
	kind pathKind
	text string // lower case if fold is set
	fold bool
	re   *match.Regex
	// policy is the extension of path_match_policy; nil for the other kinds.
	policy route.PathMatcher
}

type pathKind uint8

const (
	pathPrefix pathKind = iota
	pathExact
	pathSeparated
	pathRegex
	pathConnect
	pathPolicy
)

// A request is what conditions look at.
type request struct {
	headers *httpmsg.Headers
	info    *streaminfo.Stream // may be nil
	whole   string             // path without query
	path    string             // without parameters too, if they are ignored
	lower   string             // path in lower case, "" if no route asks for it
	hasPath bool
	connect bool
	random  uint64
}

// A condition is a kind of condition of a route; condition 0 is none.
type condition uint8

const (
	pathCondition condition = 1 + iota
	grpcCondition
	runtimeCondition
	headerCondition
	queryCondition
	cookieCondition
	presentedCondition
	validatedCondition
	metadataCondition
	filterStateCondition
)

func (e *entry) matches(r *request) bool {
	failed, _ := e.test(r)
	return failed == 0
}

// test returns the first condition that does not hold, and its place among those of
// its kind.
func (e *entry) test(r *request) (failed condition, i int) {
	switch {
	case !e.path.matches(r):
		return pathCondition, 0
	case e.grpc && !r.headers.IsGRPC():
		return grpcCondition, 0
	case e.fractional && !e.sampled(r.random):
		return runtimeCondition, 0
	}
	for i, h := range e.headers {
		if !h.MatchHeaders(r.headers) {
			return headerCondition, i
		}
	}
	for i, q := range e.query {
		if !q.Match(r.headers.Get(httpmsg.Path)) {
			return queryCondition, i
		}
	}
	if e.rare != nil {
		return e.rare.test(r)
	}
	return 0, 0
}

func (c *rareConditions) test(r *request) (failed condition, i int) {
	for i, cookie := range c.cookies {
		if !cookie.MatchHeaders(r.headers) {
			return cookieCondition, i
		}
	}
	presented, validated := r.certificate()
	if c.presented != nil && *c.presented != presented {
		return presentedCondition, 0
	}
	if c.validated != nil && *c.validated != validated {
		return validatedCondition, 0
	}
	metadata := r.metadata()
	for i, m := range c.metadata {
		if !m.Match(metadata) {
			return metadataCondition, i
		}
	}
	for i, f := range c.filterState {
		if !f.Match(r.info) {
			return filterStateCondition, i
		}
	}
	return 0, 0
}

// certificate says whether the client showed a certificate, and a valid one.
func (r *request) certificate() (presented, validated bool) {
	if r.info == nil || r.info.Downstream == nil {
		return false, false
	}
	return r.info.Downstream.PeerCertificatePresented, r.info.Downstream.PeerCertificateValidated
}

func (r *request) metadata() map[string]*structpb.Struct {
	if r.info == nil {
		return nil
	}
	return r.info.Metadata
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
	case m.kind == pathPolicy:
		return m.policy.MatchPath(r.whole)
	case !strings.HasPrefix(path, m.text):
		return false
	default:
		return m.kind == pathPrefix || len(path) == len(m.text) || path[len(m.text)] == '/'
	}
}

// length returns how much of a path the condition matches, -1 for all of it.
func (m *pathMatch) length() int {
	if m.kind == pathPrefix || m.kind == pathExact || m.kind == pathSeparated {
		return len(m.text)
	}
	return -1
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
		e.fractional, e.fraction = true, runtimeconf.NewFraction(f)
		if e.fraction.Key != "" {
			e.runtime = s.Runtime
		}
	}
	e.rare = s.rareConditions(cfg, path)
	return e
}

func (s *hostScope) rareConditions(cfg *routev3.RouteMatch, path conf.Path) *rareConditions {
	if len(cfg.GetCookies())+len(cfg.GetDynamicMetadata())+len(cfg.GetFilterState()) == 0 && cfg.GetTlsContext() == nil {
		return nil
	}
	c := &rareConditions{
		cookies:   match.NewCookies(cfg.GetCookies(), path.Field("cookies"), s.errs),
		presented: optionalBool(cfg.GetTlsContext().GetPresented()),
		validated: optionalBool(cfg.GetTlsContext().GetValidated()),
	}
	for i, m := range cfg.GetDynamicMetadata() {
		c.metadata = append(c.metadata, match.NewMetadata(m, path.Field("dynamic_metadata").Index(i), s.errs))
	}
	for i, f := range cfg.GetFilterState() {
		c.filterState = append(c.filterState, match.NewFilterState(f, path.Field("filter_state").Index(i), s.errs))
	}
	return c
}

func optionalBool(v *wrapperspb.BoolValue) *bool {
	if v == nil {
		return nil
	}
	b := v.GetValue()
	return &b
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
	case *routev3.RouteMatch_PathMatchPolicy:
		m.kind, m.fold = pathPolicy, false
		m.policy = s.pathPolicy(p.PathMatchPolicy, path.Field("path_match_policy"))
	default:
		s.errs.Add(path, "one of prefix, path, safe_regex, path_separated_prefix, connect_matcher, path_match_policy is required")
	}
	if m.fold {
		m.text = match.Lower(m.text)
	}
	return m
}

func (s *hostScope) pathPolicy(cfg *corev3.TypedExtensionConfig, path conf.Path) route.PathMatcher {
	at := path.Field("typed_config")
	msg := extension.Unpack(cfg.GetTypedConfig(), at, s.errs)
	if msg == nil {
		return nil
	}
	f, ok := s.Registry.ForMessage(extension.PathMatchers, msg).(extension.PathMatcherFactory)
	if !ok {
		s.errs.Add(at, "no path matcher is registered for type %s", cfg.GetTypedConfig().GetTypeUrl())
		return nil
	}
	return f.BuildPathMatcher(msg, at, s.errs)
}
