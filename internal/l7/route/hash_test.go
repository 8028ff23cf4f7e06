package route

import (
	"net/netip"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

type hashable uint64

func (h hashable) Hash() (uint64, bool) { return uint64(h), h != 0 }

func connection(remote, local string) *streaminfo.Connection {
	of := func(text string) address.Address { return address.FromAddrPort(netip.MustParseAddrPort(text)) }
	return &streaminfo.Connection{Remote: of(remote), Local: of(local)}
}

// Envoy 1.40 chose among sixteen clusters of equal weight by the hash of the policy.
func TestHashesAreEnvoys(t *testing.T) {
	table := routes(t, `
- {match: {path: /h1}, route: {cluster: c, hash_policy: [{header: {header_name: X-A}}]}}
- {match: {path: /h2}, route: {cluster: c, hash_policy: [{header: {header_name: x-a, regex_rewrite: {pattern: {regex: "b(.)"}, substitution: '<\1>'}}}, {query_parameter: {name: q}}]}}
- {match: {path: /h3}, route: {cluster: c, hash_policy: [{cookie: {name: ck, ttl: 10s}}]}}
- {match: {path: /h4}, route: {cluster: c, hash_policy: [{connection_properties: {source_ip: true}}]}}
- {match: {path: /h5}, route: {cluster: c, hash_policy: [{header: {header_name: x-a}, terminal: true}, {header: {header_name: x-b}}]}}
- {match: {path: /h6}, route: {cluster: c, hash_policy: [{header: {header_name: host}}]}}
- {match: {path: /h7}, route: {cluster: c, hash_policy: [{connection_properties: {source_ip: false}}]}}
- {match: {path: /h8}, route: {cluster: c, hash_policy: [{filter_state: {key: k}}]}}
`)
	info := &streaminfo.Stream{Downstream: connection("127.0.0.1:53962", "127.0.0.1:43365"), FilterState: map[string]any{"k": hashable(5), "text": "x"}}
	for _, tc := range []struct {
		path  string
		pairs []string
		want  int // -1 for no hash
	}{
		{"/h1", []string{"x-a", "foo"}, 15}, {"/h1", []string{"x-a", "foo", "x-a", "bar"}, 15}, {"/h1", []string{"x-a", "bar", "x-a", "foo"}, 15},
		{"/h1", []string{"x-a", ""}, 9}, {"/h1", nil, -1},
		{"/h2?q=z%20", []string{"x-a", "abc"}, 13}, {"/h2?x=1&q=z&q=y", nil, 8}, {"/h2?q", nil, 9}, {"/h2", nil, -1},
		{"/h3", []string{"cookie", `ck="quoted"`}, 10}, {"/h3", []string{"cookie", "a=1; ck=v1; ck=v2"}, 12},
		{"/h3", []string{"cookie", "a=1", "cookie", "ck=v3"}, 13}, {"/h3", []string{"cookie", "ck=a=b"}, 15},
		{"/h3", []string{"cookie", "ck="}, -1}, {"/h3", nil, -1},
		{"/h4", nil, 7}, {"/h5", []string{"x-a", "foo", "x-b", "bar"}, 15}, {"/h5", []string{"x-b", "bar"}, 9}, {"/h6", nil, 11},
		{"/h8", nil, 5},
	} {
		h := headers(tc.path, tc.pairs...)
		got := -1
		if n, ok := table.Match(h, nil, 0).Forward.Hash.HashRequest(h, info, nil); ok {
			got = int(n % 16)
		}
		if got != tc.want {
			t.Errorf("%s %v: %d, want %d", tc.path, tc.pairs, got, tc.want)
		}
	}
	if h := headers("/h7"); table.Match(h, nil, 0).Forward.Hash != nil {
		t.Error("a policy that looks at nothing is one")
	}
	for _, path := range []string{"/h3", "/h4", "/h8"} {
		h := headers(path)
		if _, ok := table.Match(h, nil, 0).Forward.Hash.HashRequest(h, nil, func(route.Cookie) { t.Error("a cookie") }); ok {
			t.Errorf("%s: a hash without a stream", path)
		}
	}
}

// Envoy 1.40 set ck="3f6f851ba088b087"; Max-Age=10; Path=/p; SameSite=Strict; Secure
// on this connection, and 9ccf74fb9668c8fc on the second one.
func TestGeneratedCookie(t *testing.T) {
	table := routes(t, `- {match: {prefix: /}, route: {cluster: c, hash_policy: [{cookie: {name: ck, ttl: 10.5s, path: /p, attributes: [{name: SameSite, value: Strict}, {name: Secure}]}}]}}`)
	for remote, want := range map[string]string{"127.0.0.1:41358": "3f6f851ba088b087", "127.0.0.1:41360": "9ccf74fb9668c8fc"} {
		info := &streaminfo.Stream{Downstream: connection(remote, "127.0.0.1:43365")}
		var got route.Cookie
		h := headers("/")
		n, ok := table.Match(h, nil, 0).Forward.Hash.HashRequest(h, info, func(c route.Cookie) { got = c })
		if !ok || got.Name != "ck" || got.Value != want || got.Path != "/p" || got.MaxAge != 10*time.Second || len(got.Attributes) != 2 ||
			got.Attributes[0] != (route.CookieAttribute{Name: "SameSite", Value: "Strict"}) || got.Attributes[1].Name != "Secure" {
			t.Errorf("%+v, %v", got, ok)
		}
		h.Add("cookie", "ck="+got.Value)
		if again, _ := table.Match(h, nil, 0).Forward.Hash.HashRequest(h, info, nil); again != n {
			t.Error("the cookie has another hash than the request that got it")
		}
	}
}

func TestHashingDoesNotAllocate(t *testing.T) {
	table := routes(t, `- {match: {prefix: /}, route: {cluster: c, hash_policy: [{header: {header_name: x-a}}, {cookie: {name: ck}}, {connection_properties: {source_ip: true}}, {query_parameter: {name: q}}]}}`)
	info := &streaminfo.Stream{Downstream: connection("[::1]:1", "[::1]:2")}
	h := headers("/?q=1", "x-a", "2", "x-a", "1", "cookie", "ck=1")
	p := table.Match(h, nil, 0).Forward.Hash
	if n := testing.AllocsPerRun(100, func() { p.HashRequest(h, info, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
