package routecheck

import (
	"cmp"
	"fmt"
	"strconv"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// What a test can expect of the route, in the words of the test file.
const (
	clusterName        = "cluster_name"
	virtualClusterName = "virtual_cluster_name"
	virtualHostName    = "virtual_host_name"
	pathRewrite        = "path_rewrite"
	hostRewrite        = "host_rewrite"
	pathRedirect       = "path_redirect"
	codeRedirect       = "code_redirect"
)

// run looks the route of the request up and returns what is not as expected, in
// lines like those of Envoy's tool.
func (t *test) run(table route.Table, rules *runtime, seen *coverage) (failures []string, why []string) {
	rules.active, rules.random = t.runtime, t.random
	explanation := table.Explain(&t.request, &t.stream, t.random)
	for i := range explanation.Steps {
		step := &explanation.Steps[i]
		step.Name = configuredName(step.Name)
	}
	why = explanation.Lines()
	r := table.Match(&t.request, &t.stream, t.random)
	actual := t.valuesOf(r)
	code := t.apply(r)
	actual[pathRewrite], actual[hostRewrite] = "", ""
	if r != nil && r.Forward != nil {
		actual[pathRewrite], actual[hostRewrite] = t.request.Get(httpmsg.Path), t.request.Get(httpmsg.Authority)
	}
	for _, v := range t.values {
		if actual[v.kind] != v.want {
			failures = append(failures, difference(v.want, actual[v.kind], v.kind, false))
			continue
		}
		if r != nil && (r.Direct != nil) == (v.kind == pathRedirect) {
			seen.mark(r, v.kind)
		}
	}
	if t.code != nil && *t.code != code {
		failures = append(failures, difference(*t.code, code, codeRedirect, false))
	} else if t.code != nil && r != nil && r.Direct != nil {
		seen.mark(r, codeRedirect)
	}
	failures = append(failures, checkHeaders(t.requestMatches, &t.request, "request_header_matches")...)
	failures = append(failures, checkHeaders(t.responseMatches, &t.response, "response_header_matches")...)
	for _, f := range t.requestFields {
		failures = append(failures, checkField(f.GetKey(), f.GetValue(), &t.request, "request_header_fields")...)
	}
	for _, f := range t.responseFields {
		failures = append(failures, checkField(f.GetKey(), f.GetValue(), &t.response, "response_header_fields")...)
	}
	return failures, why
}

// valuesOf returns what the route decides before it changes the request.
func (t *test) valuesOf(r *route.Route) map[string]string {
	actual := map[string]string{}
	switch {
	case r == nil:
	case r.Forward != nil:
		actual[virtualHostName] = r.VirtualHost.Name
		actual[clusterName] = r.Forward.Cluster
		if r.Forward.Cluster == "" && r.Forward.ClusterHeader != "" {
			actual[clusterName], _ = t.request.Find(r.Forward.ClusterHeader)
		}
		if find := r.VirtualHost.VirtualCluster; find != nil {
			if s := find(&t.request); s != nil {
				actual[virtualClusterName] = cmp.Or(s.Name, "other") // which logs show as none
			}
		}
	case r.Direct.Location != nil:
		actual[pathRedirect] = r.Direct.Location(&t.request, &t.stream)
	default: // Envoy answers with the URL as it is
		actual[pathRedirect] = t.request.Get(httpmsg.Scheme) + "://" + t.request.Get(httpmsg.Authority) + t.request.Get(httpmsg.Path)
	}
	return actual
}

// apply changes request and response as the route says, and returns the status of a
// direct answer.
func (t *test) apply(r *route.Route) (code uint32) {
	entry := &format.Entry{Request: &t.request, Response: &t.response, Stream: &t.stream, Random: t.random}
	switch {
	case r == nil:
		return 0
	case r.Forward != nil:
		r.Forward.Request.RewriteRequest(&t.request, entry, true)
	default:
		code = uint32(r.Direct.Status)
		t.response.SetStatusCode(r.Direct.Status)
		if body := r.Direct.BodyText(); body != "" {
			t.response.Set(httpmsg.ContentLength, strconv.Itoa(len(body)))
			t.response.Set(httpmsg.ContentType, "text/plain")
		}
	}
	if r.Response != nil {
		r.Response.MutateHeaders(&t.response, entry)
	}
	return code
}

func difference(want, got any, kind string, inverse bool) string {
	not := ""
	if inverse {
		not = "NOT "
	}
	return fmt.Sprintf("expected: [%v], actual: %s[%v], test type: %s", want, not, got, kind)
}

func checkField(name, want string, h *httpmsg.Headers, kind string) []string {
	if got, _ := h.Find(name); got != want {
		return []string{difference(want, got, kind, false)}
	}
	return nil
}

func checkHeaders(matches []headerMatch, h *httpmsg.Headers, kind string) (failures []string) {
	for _, m := range matches {
		if !m.matcher.MatchHeaders(h) {
			failures = append(failures, m.failure(h, kind))
		}
	}
	return failures
}

func (m *headerMatch) failure(h *httpmsg.Headers, kind string) string {
	name, inverse := m.config.GetName(), m.config.GetInvertMatch()
	got, ok := h.Find(name)
	if !ok {
		got = "NULL"
	}
	switch s := m.config.GetHeaderMatchSpecifier().(type) {
	case nil, *routev3.HeaderMatcher_PresentMatch:
		return difference(fmt.Sprintf("has(%s):%v", name, !inverse), fmt.Sprintf("has(%s):%v", name, inverse), kind+".present_match", false)
	case *routev3.HeaderMatcher_StringMatch:
		kind += ".string_match." + patternName(s.StringMatch)
		if exact, ok := s.StringMatch.GetMatchPattern().(*matcherv3.StringMatcher_Exact); ok {
			return difference(name+": "+exact.Exact, name+": "+got, kind, inverse)
		}
	default:
		kind += "." + specifierName(m.config)
	}
	return fmt.Sprintf("actual: [%s: %s], test type: %s", name, got, kind)
}

func specifierName(m *routev3.HeaderMatcher) string {
	r := m.ProtoReflect()
	return string(r.WhichOneof(r.Descriptor().Oneofs().ByName("header_match_specifier")).Name())
}

func patternName(m *matcherv3.StringMatcher) string {
	r := m.ProtoReflect()
	return string(r.WhichOneof(r.Descriptor().Oneofs().ByName("match_pattern")).Name())
}
