package route

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// linear is what the index must be equal to: the hosts in the order of precedence,
// and each route in turn.
func linear(t *Table, h *httpmsg.Headers) string {
	v := t.hosts.find(h).host
	if v == nil {
		return "-"
	}
	r := v.request(h, nil, 0)
	r.lower = match.Lower(r.path)
	if e := v.routes.scan(&r); e != nil {
		return e.route.Name
	}
	return "-"
}

// taken returns the name of the route that an explanation ends with.
func taken(x *route.Explanation) string {
	if n := len(x.Steps); n > 0 && x.Steps[n-1].Failed == "" {
		return x.Steps[n-1].Name
	}
	return "-"
}

// randomPath returns a short path of few letters, so that paths often meet.
func randomPath(r *rand.Rand) string {
	b := []byte("/")
	for range r.IntN(7) {
		b = append(b, "aAb/;"[r.IntN(9)/2])
	}
	return string(b)
}

func randomMatch(r *rand.Rand) *routev3.RouteMatch {
	m := &routev3.RouteMatch{}
	if r.IntN(3) == 0 {
		m.CaseSensitive = wrapperspb.Bool(false)
	}
	path := randomPath(r)
	switch r.IntN(7) {
	case 6:
		m.PathSpecifier = &routev3.RouteMatch_PathMatchPolicy{PathMatchPolicy: endsWithA(path)}
	case 0:
		m.PathSpecifier = &routev3.RouteMatch_Path{Path: path}
	case 1:
		m.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: strings.TrimRight(path, "/") + "/a"}
	case 2:
		m.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{
			Regex: []string{"", "^"}[r.IntN(2)] + path + []string{"", ".*", "b?", "(a|b)*"}[r.IntN(4)]}}
	case 3:
		m.PathSpecifier = &routev3.RouteMatch_ConnectMatcher_{ConnectMatcher: &routev3.RouteMatch_ConnectMatcher{}}
	default:
		m.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: path[:r.IntN(len(path)+1)]}
	}
	if r.IntN(3) == 0 {
		m.Headers = []*routev3.HeaderMatcher{{Name: "x", HeaderMatchSpecifier: &routev3.HeaderMatcher_ExactMatch{ExactMatch: "1"}}}
	}
	if r.IntN(4) == 0 {
		m.Cookies = []*routev3.CookieMatcher{{Name: "c", InvertMatch: r.IntN(2) == 0,
			StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "1"}}}}
	}
	if r.IntN(8) == 0 {
		m.TlsContext = &routev3.RouteMatch_TlsContextMatchOptions{Presented: wrapperspb.Bool(r.IntN(2) == 0)}
	}
	return m
}

func tableOf(t testing.TB, n int, match func(i int) *routev3.RouteMatch) *Table {
	t.Helper()
	vh := &routev3.VirtualHost{Name: "v", Domains: []string{"*", "a*", "*.b"}}
	for i := range n {
		vh.Routes = append(vh.Routes, &routev3.Route{Name: fmt.Sprint(i), Match: match(i), Action: &routev3.Route_Route{
			Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: "c"}}}})
	}
	var errs conf.Errors
	table := Build(&routev3.RouteConfiguration{
		VirtualHosts: []*routev3.VirtualHost{vh}, IgnorePathParametersInPathMatching: n%2 == 0}, testContext(t), conf.Path{}, &errs)
	if table == nil {
		t.Fatal(errs)
	}
	return table
}

func TestIndexEqualsList(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		table := tableOf(t, r.IntN(60), func(int) *routev3.RouteMatch { return randomMatch(r) })
		for range 200 {
			path := randomPath(r)
			if r.IntN(8) == 0 {
				path += []string{"?a/b", ";a", ";a?b#c", "#a"}[r.IntN(4)]
			}
			h := headers(path, "x", fmt.Sprint(r.IntN(3)), "cookie", fmt.Sprint("c=", r.IntN(2)), ":method", []string{"GET", "CONNECT"}[r.IntN(5)/4])
			if r.IntN(30) == 0 {
				h.Remove(httpmsg.Path)
			}
			got, want := nameOf(table.Match(h, nil, 0)), linear(table, h)
			if got != want {
				t.Fatalf("seed %d, %v: route %s, want %s", seed, h.Fields(), got, want)
			}
			if explained := taken(table.Explain(h, nil, 0)); explained != want {
				t.Fatalf("seed %d, %v: %s is explained, want %s", seed, h.Fields(), explained, want)
			}
		}
	}
}

func TestManyNestedPrefixes(t *testing.T) {
	table := tableOf(t, 40, func(i int) *routev3.RouteMatch {
		m := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/" + strings.Repeat("a", 40-i)}}
		if i < 39 {
			m.Headers = []*routev3.HeaderMatcher{{Name: "x", HeaderMatchSpecifier: &routev3.HeaderMatcher_ExactMatch{ExactMatch: fmt.Sprint(i)}}}
		}
		return m
	})
	for x, want := range map[string]string{"0": "0", "17": "17", "38": "38", "z": "39"} {
		if got := nameOf(table.Match(headers("/"+strings.Repeat("a", 50), "x", x), nil, 0)); got != want {
			t.Errorf("%s: %s", x, got)
		}
	}
}

// kinds are tables of n routes of one kind, and the path of each route.
var kinds = map[string]func(i int) (*routev3.RouteMatch, string){
	"prefix": func(i int) (*routev3.RouteMatch, string) {
		p := fmt.Sprintf("/service-%05d/", i)
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: p}}, p + "item"
	},
	"path": func(i int) (*routev3.RouteMatch, string) {
		p := fmt.Sprintf("/service-%05d/item", i)
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: p}}, p
	},
	"regex": func(i int) (*routev3.RouteMatch, string) {
		p := fmt.Sprintf("/service-%05d/", i)
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{
			SafeRegex: &matcherv3.RegexMatcher{Regex: "^" + p + "[a-z]+$"}}}, p + "item"
	},
}

func TestMatchDoesNotAllocate(t *testing.T) {
	for kind, make := range kinds {
		table := tableOf(t, 1000, func(i int) *routev3.RouteMatch { m, _ := make(i); return m })
		_, path := make(999)
		h := headers(path + "?a=b")
		if n := testing.AllocsPerRun(100, func() {
			if table.Match(h, nil, 1).Name != "999" {
				t.Fatal("wrong route")
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", kind, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for kind, make := range kinds {
		for _, n := range []int{10, 1000, 10000} {
			table := tableOf(b, n, func(i int) *routev3.RouteMatch { m, _ := make(i); return m })
			for _, at := range []int{0, n - 1} {
				_, path := make(at)
				h := headers(path)
				b.Run(fmt.Sprintf("%s/routes=%d/route=%d", kind, n, at), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if table.Match(h, nil, 1) == nil {
							b.Fatal("no route")
						}
					}
				})
			}
		}
	}
}

// Whatever path and host arrive, the index answers as the list does.
func FuzzMatch(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 7))
	table := tableOf(f, 80, func(int) *routev3.RouteMatch { return randomMatch(r) })
	f.Fuzz(func(t *testing.T, path, host, x string) {
		h := headers(path, ":authority", host, "x", x)
		got := table.Match(h, nil, 0)
		if nameOf(got) != linear(table, h) {
			t.Errorf("route %s, want %s", nameOf(got), linear(table, h))
		}
	})
}
