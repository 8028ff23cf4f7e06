package route

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// Locations as Envoy 1.40 makes them.
func TestRedirects(t *testing.T) {
	table := routes(t, `
- {match: {prefix: /https443}, redirect: {scheme_redirect: https, port_redirect: 443}}
- {match: {prefix: /https}, redirect: {https_redirect: true}}
- {match: {prefix: /ftp}, redirect: {scheme_redirect: ftp}}
- {match: {prefix: /hp}, redirect: {host_redirect: "new:1", port_redirect: 8443}}
- {match: {prefix: /host}, redirect: {host_redirect: new}}
- {match: {prefix: /port}, redirect: {port_redirect: 8443}}
- {match: {prefix: /path}, redirect: {path_redirect: /np}}
- {match: {prefix: /qpath}, redirect: {path_redirect: "/np?z=1", strip_query: true}}
- {match: {prefix: /spath}, redirect: {path_redirect: /np, strip_query: true}}
- {match: {prefix: /pre/}, redirect: {prefix_rewrite: /}}
- {match: {prefix: /prex}, redirect: {prefix_rewrite: /y}}
- {match: {prefix: /noslash}, redirect: {prefix_rewrite: abc}}
- {match: {prefix: /regex}, redirect: {regex_rewrite: {pattern: {regex: "^/regex/(.*)$"}, substitution: '/\1/x'}}}
- {match: {prefix: /strip}, redirect: {host_redirect: 'n', strip_query: true}}
- {match: {prefix: /code}, redirect: {host_redirect: 'n', response_code: PERMANENT_REDIRECT}}
- {match: {prefix: /empty}, redirect: {}}
- {match: {prefix: /Ci, case_sensitive: false}, redirect: {prefix_rewrite: /X}}
- {match: {path: /exact}, redirect: {prefix_rewrite: /X}}
- {match: {safe_regex: {regex: /sr.*}}, redirect: {prefix_rewrite: /X}}
- {match: {path_separated_prefix: /sep}, redirect: {prefix_rewrite: /X}}
- {match: {prefix: /fp}, redirect: {path_rewrite: "/new/%REQ(x-p)%"}}
- {match: {prefix: /fa}, redirect: {path_rewrite: "%REQ(x-p)%"}}
- {match: {prefix: /fs}, redirect: {path_rewrite: "%REQ(x-p)%", strip_query: true}}
- {match: {prefix: /fq}, redirect: {path_rewrite: "/n?a=1"}}
- {match: {prefix: /fn}, redirect: {path_rewrite: "n%REQ(x-none)%"}}
`)
	for _, tc := range []struct{ path, host, want string }{
		{"/https/x?q=1", "a", "https://a/https/x?q=1"}, {"/https", "a:80", "https://a/https"},
		{"/https", "a:443", "https://a:443/https"}, {"/https", "a:99", "https://a:99/https"},
		{"/https", "[::1]", "https://[::1]/https"}, {"/https", "[::1]:80", "https://[::1]/https"},
		{"/https", "[::1]:443", "https://[::1]:443/https"}, {"/https", "a:", "https://a:/https"},
		{"/https443?x", "a:80", "https://a:443/https443?x"},
		{"/ftp/x", "a:80", "ftp://a/ftp/x"}, {"/port/x", "a:99", "http://a:8443/port/x"},
		{"/port/x", "[::1]:80", "http://[::1]:8443/port/x"}, {"/port/x", "a:", "http://a:8443/port/x"},
		{"/port", "", "http://:8443/port"}, {"/empty?x", "a:80", "http://a:80/empty?x"},
		{"/host/x?q=1", "a:99", "http://new/host/x?q=1"}, {"/hp?q", "a", "http://new:1:8443/hp?q"},
		{"/host//x/../y", "a", "http://new/host//x/../y"}, {"/path?q=1", "a", "http://a/np?q=1"},
		{"/path?q?r", "a", "http://a/np?q?r"}, {"/path/z", "a", "http://a/np"}, {"/qpath?q=1", "a", "http://a/np?z=1"},
		{"/spath?q=1", "a", "http://a/np"}, {"/pre/a/b?q=1", "a", "http://a/a/b?q=1"}, {"/pre/", "a", "http://a/"},
		{"/prex", "a", "http://a/y"}, {"/prexx?q", "a", "http://a/yx?q"}, {"/noslash/1?q", "a", "http://a/abc/1?q"},
		{"/regex/a?q=1", "a", "http://a/a/x?q=1"}, {"/regexx?q=1", "a", "http://a/regexx?q=1"},
		{"/strip?q=1", "a", "http://n/strip"}, {"/code", "a", "http://n/code"}, {"/cI/abc?Q", "a", "http://a/X/abc?Q"},
		{"/exact?q", "a", "http://a/X?q"}, {"/sr/a?q=1", "a", "http://a/X?q=1"}, {"/sep/a?q", "a", "http://a/X/a?q"},
		{"/sep", "a", "http://a/X"}, {"/sep?q", "a", "http://a/X?q"}, {"/fp?q", "a", "http://a/new/?q"}, {"/fa?q", "a", "http://a/fa?q"},
		{"/fs?q", "a", "http://a/fs"}, {"/fq?q", "a", "http://a/n?a=1"}, {"/fn?q", "a", "http://a/n?q"},
	} {
		h := headers(tc.path, ":authority", tc.host)
		d := table.Match(h, nil, 0).Direct
		if got := d.Location(h, nil); got != tc.want {
			t.Errorf("%s at %s: %s, want %s", tc.path, tc.host, got, tc.want)
		}
		want := 301
		if tc.path == "/code" {
			want = 308
		}
		if d.Status != want || d.Details != "direct_response" {
			t.Errorf("%s: %+v", tc.path, d)
		}
	}
	h := headers("/https", ":authority", "a:443")
	h.Set(httpmsg.XForwardedProto, "https")
	if got := table.Match(h, nil, 0).Direct.Location(h, nil); got != "https://a:443/https" {
		t.Error(got)
	}
	for _, tc := range [][3]string{
		{"/fp?q=1", "v2", "http://a/new/v2?q=1"}, {"/fa?q", "abc", "http://a/abc?q"}, {"/fa?q", "/n?a=1", "http://a/n?a=1"},
		{"/fs?q", "/n?a=1", "http://a/n?a=1"}, {"/fs?q", "/n", "http://a/n"},
	} {
		h := headers(tc[0], "x-p", tc[1])
		if got := table.Match(h, nil, 0).Direct.Location(h, nil); got != tc[2] {
			t.Errorf("%s with %s: %s, want %s", tc[0], tc[1], got, tc[2])
		}
	}
}

// rewritten returns the headers as they go upstream, without those that headers
// makes and nothing changed.
func rewritten(t *testing.T, table *Table, h *httpmsg.Headers, keep bool) string {
	t.Helper()
	r := table.Match(h, nil, 0)
	if r == nil || r.Forward == nil {
		t.Fatalf("no route for %v", h.Fields())
	}
	r.Forward.Request.RewriteRequest(h, &format.Entry{Request: h}, keep)
	return text(h, ":method", ":scheme", "x-forwarded-proto")
}

func text(h *httpmsg.Headers, without ...string) string {
	var out []string
	for _, f := range h.Fields() {
		if !slices.Contains(without, f.Name) {
			out = append(out, f.Name+"="+f.Value)
		}
	}
	return strings.Join(out, " ")
}

// Requests as they leave Envoy 1.40, in its order of headers.
func TestRewrites(t *testing.T) {
	table := routes(t, `
- {match: {prefix: /p1/}, route: {cluster: c, prefix_rewrite: /}}
- {match: {prefix: /p2}, route: {cluster: c, prefix_rewrite: /}}
- {match: {prefix: /Ci, case_sensitive: false}, route: {cluster: c, prefix_rewrite: /new}}
- {match: {path: /exact}, route: {cluster: c, prefix_rewrite: /new}}
- {match: {safe_regex: {regex: /re.*}}, route: {cluster: c, prefix_rewrite: /new}}
- {match: {path_separated_prefix: /sep}, route: {cluster: c, prefix_rewrite: /}}
- {match: {prefix: /rr/}, route: {cluster: c, regex_rewrite: {pattern: {regex: "^/rr/([^/]+)(/.*)?$"}, substitution: '\2/inst/\1'}}}
- {match: {prefix: /norr}, route: {cluster: c, regex_rewrite: {pattern: {regex: zz}, substitution: x}}}
- {match: {prefix: /void}, route: {cluster: c, regex_rewrite: {pattern: {regex: ".*"}, substitution: ""}}}
- {match: {prefix: /lit}, route: {cluster: c, host_rewrite_literal: lit.host}}
- {match: {prefix: /xfh}, route: {cluster: c, host_rewrite_literal: lit.host, append_x_forwarded_host: true}}
- {match: {prefix: /hdr}, route: {cluster: c, host_rewrite_header: X-New, append_x_forwarded_host: true}}
- {match: {prefix: /hpr}, route: {cluster: c, host_rewrite_path_regex: {pattern: {regex: "^/hpr/([^/]+)/.*$"}, substitution: '\1'}}}
- {match: {prefix: /both}, route: {cluster: c, prefix_rewrite: /n, host_rewrite_literal: nh},
   request_headers_to_add: [{header: {key: x-path, value: "%REQ(:path)%"}}]}
- {match: {prefix: /plain}, route: {cluster: c}}
- {match: {prefix: /fpath}, route: {cluster: c, path_rewrite: "new%REQ(x-p)%"}}
- {match: {prefix: /fempty}, route: {cluster: c, path_rewrite: "%REQ(x-p)%"}}
- {match: {prefix: /fhost}, route: {cluster: c, host_rewrite: "%REQ(x-p)%", append_x_forwarded_host: true}}
- {match: {prefix: /fboth}, route: {cluster: c, host_rewrite: "pre-%REQ(x-p)%", path_rewrite: "/%REQ(:path)%?z=1"}}
- {match: {prefix: /wa}, route: {append_x_forwarded_host: true, weighted_clusters: {clusters: [{name: c, weight: 1, host_rewrite_literal: wh}]}}}
- {match: {prefix: /policy}, route: {cluster: c, path_rewrite_policy: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig, path_template_rewrite: /x}}}}
`)
	for _, tc := range []struct {
		h    *httpmsg.Headers
		want string
	}{
		{headers("/fpath/a?q=1", "x-p", "1"), ":authority=a :path=new1?q=1 x-p=1 x-envoy-original-path=/fpath/a?q=1"},
		{headers("/fpath?q=1"), ":authority=a :path=new?q=1 x-envoy-original-path=/fpath?q=1"},
		{headers("/fempty?x"), ":authority=a :path=/fempty?x"},
		{headers("/fempty?x", "x-p", "y"), ":authority=a :path=y?x x-p=y x-envoy-original-path=/fempty?x"},
		{headers("/fhost"), ":authority=- :path=/fhost x-envoy-original-host=a x-forwarded-host=a"},
		{headers("/fhost", "x-p", ""), ":authority=a :path=/fhost x-p="},
		{headers("/fhost", "x-p", "new.host"), ":authority=new.host :path=/fhost x-p=new.host x-envoy-original-host=a x-forwarded-host=a"},
		{headers("/fboth?q", "x-p", "z"), ":authority=pre-z :path=//fboth?q?z=1?q x-p=z x-envoy-original-host=a x-envoy-original-path=/fboth?q"},
		{headers("/wa"), ":authority=wh :path=/wa"},
		{headers("/policy/a?q"), ":authority=a :path=/rewritten/policy/a?q x-envoy-original-path=/policy/a?q"},
		{headers("/policy/no?q"), ":authority=a :path=/policy/no?q"},
		{headers("/p1/a?x"), ":authority=a :path=/a?x x-envoy-original-path=/p1/a?x"},
		{headers("/p1/"), ":authority=a :path=/ x-envoy-original-path=/p1/"},
		{headers("/p2"), ":authority=a :path=/ x-envoy-original-path=/p2"},
		{headers("/p2/a"), ":authority=a :path=//a x-envoy-original-path=/p2/a"},
		{headers("/p2a?q"), ":authority=a :path=/a?q x-envoy-original-path=/p2a?q"},
		{headers("/cI/a?Q"), ":authority=a :path=/new/a?Q x-envoy-original-path=/cI/a?Q"},
		{headers("/exact?q"), ":authority=a :path=/new?q x-envoy-original-path=/exact?q"},
		{headers("/reabc/d?q"), ":authority=a :path=/new?q x-envoy-original-path=/reabc/d?q"},
		{headers("/sep?q"), ":authority=a :path=/?q x-envoy-original-path=/sep?q"},
		{headers("/rr/svc/a/b?q=/rr/"), ":authority=a :path=/a/b/inst/svc?q=/rr/ x-envoy-original-path=/rr/svc/a/b?q=/rr/"},
		{headers("/norr?q"), ":authority=a :path=/norr?q x-envoy-original-path=/norr?q"},
		{headers("/void?q"), ":authority=a :path=/void?q"},
		{headers("/lit", ":authority", "a:99"), ":authority=lit.host :path=/lit x-envoy-original-host=a:99"},
		{headers("/xfh"), ":authority=lit.host :path=/xfh x-envoy-original-host=a x-forwarded-host=a"},
		{headers("/xfh", "x-forwarded-host", "p, a"), ":authority=lit.host :path=/xfh x-forwarded-host=p, a,a x-envoy-original-host=a"},
		{headers("/xfh", "x-forwarded-host", "a,"), ":authority=lit.host :path=/xfh x-forwarded-host=a, x-envoy-original-host=a"},
		{headers("/xfh", "x-forwarded-host", ","), ":authority=lit.host :path=/xfh x-forwarded-host=,,a x-envoy-original-host=a"},
		{headers("/xfh", "x-forwarded-host", ""), ":authority=lit.host :path=/xfh x-forwarded-host=a x-envoy-original-host=a"},
		{headers("/xfh", "x-forwarded-host", "p,a"), ":authority=lit.host :path=/xfh x-forwarded-host=p,a x-envoy-original-host=a"},
		{headers("/xfh", "x-forwarded-host", "p", "x-forwarded-host", "q"), ":authority=lit.host :path=/xfh x-forwarded-host=p,q,a x-envoy-original-host=a"},
		{headers("/hdr", "x-new", "h1", "x-new", "h2"), ":authority=h1 :path=/hdr x-new=h1 x-new=h2 x-envoy-original-host=a x-forwarded-host=a"},
		{headers("/hdr", "x-new", ""), ":authority=a :path=/hdr x-new="},
		{headers("/hdr"), ":authority=a :path=/hdr"},
		{headers("/hpr/foo.com/x?y"), ":authority=foo.com :path=/hpr/foo.com/x?y x-envoy-original-host=a"},
		{headers("/hpr/no"), ":authority=/hpr/no :path=/hpr/no x-envoy-original-host=a"},
		{headers("/both?q"), ":authority=nh :path=/n?q x-path=/both?q x-envoy-original-host=a x-envoy-original-path=/both?q"},
		{headers("/plain"), ":authority=a :path=/plain"},
	} {
		path := tc.h.Get(httpmsg.Path)
		if got := rewritten(t, table, tc.h, true); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", path, got, tc.want)
		}
	}
	if got := rewritten(t, table, headers("/both"), false); got != ":authority=nh :path=/n x-path=/both" {
		t.Error("without originals:", got)
	}
	// A filter may have shortened the path after the route was found.
	r := table.Match(headers("/p1/a"), nil, 0)
	h := headers("/")
	r.Forward.Request.RewriteRequest(h, &format.Entry{Request: h}, false)
	if got := h.Get(httpmsg.Path); got != "/" {
		t.Error(got)
	}
}

func TestHeaderMutations(t *testing.T) {
	table := routes(t, `
- match: {prefix: /many}
  route: {cluster: c}
  request_headers_to_add:
  - {header: {key: x-a, value: "1"}}
  - {header: {key: x-a, value: "2"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
  - {header: {key: x-b, value: 'n'}, append_action: OVERWRITE_IF_EXISTS}
  - {header: {key: x-c, value: 'n'}, append_action: ADD_IF_ABSENT}
  - {header: {key: x-c, value: m}, append_action: ADD_IF_ABSENT}
  - {header: {key: x-d, value: ""}}
  - {header: {key: x-e, value: ""}, keep_empty_value: true}
  - {header: {key: x-f, value: "%REQ(x-none)%"}}
  - {header: {key: x-g, value: "[%REQ(x-none)%]"}}
  - {header: {key: x-h, value: "%REQ(x-a)%"}}
  - {header: {key: X-Upper, value: V}}
  request_headers_to_remove: [x-del, X-Del2, cookie]
- match: {prefix: /join}
  route: {cluster: c}
  request_headers_to_add:
  - {header: {key: x-a, value: "1"}}
  - {header: {key: user-agent, value: ua}}
  - {header: {key: x-forwarded-for, value: "9"}}
  - {header: {key: cookie, value: z=9}}
- match: {prefix: /old}
  route: {cluster: c}
  request_headers_to_add:
  - {header: {key: x-b, value: "1"}}
  - {header: {key: x-b, value: "2"}, append: false}
  - {header: {key: accept, value: "2"}, append: false}
  request_headers_to_remove: [x-b]
`)
	for _, tc := range []struct {
		h    *httpmsg.Headers
		want string
	}{
		{headers("/many", "x-a", "0", "x-b", "0", "x-del", "1", "x-del2", "1", "cookie", "c", "x-d", "0"),
			"x-d=0 x-a=2 x-b=n x-a=1 x-c=n x-c=m x-e= x-g=[] x-h=0 x-upper=V"},
		{headers("/many", "x-c", "0"), "x-c=0 x-a=2 x-a=1 x-e= x-g=[] x-upper=V"},
		{headers("/join", "x-a", "0", "user-agent", "mine", "x-forwarded-for", "1", "cookie", "a=1"),
			"x-a=0 user-agent=mine,ua x-forwarded-for=1,9 cookie=a=1 x-a=1 cookie=z=9"},
		{headers("/old", "accept", "1", "accept", "3", "x-a", "0", "x-b", "0", "x-b", "3"), "x-a=0 x-b=2 accept=2 x-b=1"},
	} {
		path := tc.h.Get(httpmsg.Path)
		got := rewritten(t, table, tc.h, true)
		if got = strings.TrimPrefix(got, ":authority=a :path="+path+" "); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", path, got, tc.want)
		}
	}
}

// The order of the levels, as Envoy 1.40 has it: t table, v virtual host, r route,
// w weighted cluster.
func TestMutationOrder(t *testing.T) {
	for _, tc := range []struct {
		specificWins, action     string
		weighted, direct, normal string
	}{
		{"false", "APPEND_IF_EXISTS_OR_ADD", "w r v t", "r v t", "r v t"},
		{"false", "OVERWRITE_IF_EXISTS_OR_ADD", "t", "t", "t"},
		{"false", "ADD_IF_ABSENT", "w", "r", "r"},
		{"true", "APPEND_IF_EXISTS_OR_ADD", "w t v r", "t v r", "t v r"},
		{"true", "OVERWRITE_IF_EXISTS_OR_ADD", "r", "r", "r"},
		{"true", "ADD_IF_ABSENT", "w", "t", "t"},
	} {
		add := func(which, value string) string {
			return which + "_headers_to_add: [{header: {key: x, value: " + value + "}, append_action: " + tc.action + "}]"
		}
		both := func(value string) string { return add("request", value) + ", " + add("response", value) }
		table := build(t, "most_specific_header_mutations_wins: "+tc.specificWins+"\n"+add("request", "t")+"\n"+add("response", "t")+`
virtual_hosts:
- {name: v, domains: ['*'], `+both("v")+`, routes: [
    {match: {prefix: /w}, `+both("r")+`, route: {host_rewrite_literal: rh, weighted_clusters: {clusters: [{name: c, weight: 1, host_rewrite_literal: wh, `+both("w")+`}]}}},
    {match: {prefix: /d}, `+both("r")+`, direct_response: {status: 200}},
    {match: {prefix: /n}, `+both("r")+`, route: {cluster: c}}]}`)
		for path, want := range map[string]string{"/w": tc.weighted, "/d": tc.direct, "/n": tc.normal} {
			h := headers(path)
			r := table.Match(h, nil, 0)
			response := new(httpmsg.Headers)
			r.Response.MutateHeaders(response, &format.Entry{Request: h, Response: response})
			if got := strings.Join(response.Values(nil, "x"), " "); got != want {
				t.Errorf("%s, %s, %s: response %s, want %s", tc.specificWins, tc.action, path, got, want)
			}
			if r.Forward == nil {
				continue
			}
			r.Forward.Request.RewriteRequest(h, &format.Entry{Request: h}, true)
			if got := strings.Join(h.Values(nil, "x"), " "); got != want {
				t.Errorf("%s, %s, %s: request %s, want %s", tc.specificWins, tc.action, path, got, want)
			}
			if path == "/w" && (h.Get(httpmsg.Authority) != "rh" || h.Get(httpmsg.XEnvoyOriginalHost) != "wh") {
				t.Error("hosts:", text(h))
			}
		}
	}
}

func TestWeightedClusters(t *testing.T) {
	table := routes(t, `
- match: {prefix: /}
  name: base
  metadata: {filter_metadata: {ns: {k: v}}}
  typed_per_filter_config:
    buffer: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute, buffer: {max_request_bytes: 1}}
  route:
    timeout: 3s
    weighted_clusters:
      header_name: X-Rand
      total_weight: 99
      clusters:
      - {name: c, weight: 2}
      - {name: d, weight: 0}
      - cluster_header: X-Cl
        weight: 1
        typed_per_filter_config:
          buffer: {"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute, buffer: {max_request_bytes: 2}}
`)
	for _, tc := range []struct {
		random  uint64
		pairs   []string
		cluster string
		buffer  int
	}{
		{0, nil, "c", 1}, {1, nil, "c", 1}, {2, nil, "x-cl", 2}, {3, nil, "c", 1}, {5, nil, "x-cl", 2},
		{0, []string{"x-rand", "2"}, "x-cl", 2}, {0, []string{"x-rand", "2", "x-rand", "2"}, "c", 1},
		{2, []string{"x-rand", "no"}, "x-cl", 2}, {2, []string{"x-rand", ""}, "x-cl", 2},
		{0, []string{"x-rand", "18446744073709551616"}, "c", 1},
	} {
		r := table.Match(headers("/", tc.pairs...), nil, tc.random)
		if r.Forward.Cluster+r.Forward.ClusterHeader != tc.cluster || r.FilterConfig("buffer") != tc.buffer {
			t.Errorf("%+v: %+v", tc, r.Forward)
		}
		if r.Name != "base" || r.Forward.Timeout != 3*time.Second || r.Metadata["ns"].GetFields()["k"].GetStringValue() != "v" {
			t.Errorf("%+v: not like the route: %+v", tc, r)
		}
	}
}

func TestForward(t *testing.T) {
	table := build(t, `
virtual_hosts:
- name: v
  domains: ['*']
  include_request_attempt_count: true
  include_attempt_count_in_response: true
  metadata: {filter_metadata: {ns: {k: v}}}
  request_body_buffer_limit: 10
  retry_policy: {retry_on: "5xx, reset", num_retries: 4}
  routes:
  - {name: plain, match: {prefix: /plain}, route: {cluster: c}}
  - {name: none, match: {prefix: /none}, non_forwarding_action: {}}
  - {name: filter, match: {prefix: /filter}, filter_action: {}, decorator: {operation: x}, metadata: {typed_filter_metadata: {x: {}}}}
  - name: full
    match: {prefix: /}
    request_body_buffer_limit: 20
    route:
      cluster_header: Host
      cluster_not_found_response_code: INTERNAL_SERVER_ERROR
      timeout: 0s
      idle_timeout: 0s
      max_stream_duration: {max_stream_duration: 7s}
      priority: HIGH
      auto_host_rewrite: true
      append_x_forwarded_host: true
      upgrade_configs:
      - {upgrade_type: WebSocket}
      - {upgrade_type: CONNECT, enabled: false, connect_config: {allow_post: true, proxy_protocol_config: {version: V2}}}
      retry_policy:
        retry_on: gateway-error,cancelled,unavailable,retriable-headers
        per_try_timeout: 1s
        per_try_idle_timeout: 2s
        retriable_status_codes: [418]
        retriable_headers: [{name: x}]
        retriable_request_headers: [{name: 'y'}, {name: z}]
        retry_back_off: {base_interval: 0.0001s, max_interval: 3s}
        host_selection_retry_max_attempts: 3
        retry_host_predicate:
        - {name: a, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}
        - {name: b, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate}}
`)
	r := table.Match(headers("/plain"), nil, 0)
	if v := r.VirtualHost; v.Name != "v" || !v.IncludeAttemptCount || !v.IncludeAttemptCountInResponse || v.Metadata["ns"] == nil {
		t.Errorf("virtual host %+v", v)
	}
	f := r.Forward
	if f.Timeout != 15*time.Second || f.HasIdleTimeout || f.HasMaxStreamDuration || f.MaxRequestBuffer != 10 ||
		f.ClusterNotFoundStatus != 503 || f.Priority != upstream.Default || r.Response != nil {
		t.Errorf("plain: %+v", f)
	}
	if p := f.Retry; p.On != route.Retry5xx|route.RetryReset || p.NumRetries != 4 || p.BaseInterval != 25*time.Millisecond ||
		p.MaxInterval != 250*time.Millisecond || p.HostAttempts != 1 {
		t.Errorf("inherited retries: %+v", p)
	}
	if f := table.Match(headers("/none"), nil, 0).Forward; f.Cluster+f.ClusterHeader != "" || f.ClusterNotFoundStatus != 503 || f.Request == nil {
		t.Errorf("non-forwarding: %+v", f)
	}
	if f := table.Match(headers("/filter"), nil, 0).Forward; f.ClusterNotFoundStatus != 503 || f.Request == nil {
		t.Errorf("action of a filter: %+v", f)
	}
	f = table.Match(headers("/x"), nil, 0).Forward
	if f.ClusterHeader != ":authority" || f.ClusterNotFoundStatus != 500 || f.Timeout != 0 || !f.HasIdleTimeout || f.IdleTimeout != 0 ||
		!f.HasMaxStreamDuration || f.MaxStreamDuration != 7*time.Second || f.Priority != upstream.High || !f.AutoHostRewrite ||
		!f.AppendXForwardedHost || f.MaxRequestBuffer != 20 {
		t.Errorf("full: %+v", f)
	}
	if u := f.Upgrades; len(u) != 2 || u[0].Type != "websocket" || !u[0].Enabled || u[1].Type != "connect" || u[1].Enabled || !u[1].Connect.AllowPost || u[1].Connect.ProxyHeader != 2 {
		t.Errorf("upgrades %+v", f.Upgrades)
	}
	p := f.Retry
	if p.On != route.RetryGatewayError|route.RetryGRPCCancelled|route.RetryGRPCUnavailable|route.RetryRetriableHeaders ||
		p.NumRetries != 1 || p.PerTryTimeout != time.Second || p.PerTryIdleTimeout != 2*time.Second ||
		p.BaseInterval != time.Millisecond || p.MaxInterval != 3*time.Second || !slices.Equal(p.RetriableStatusCodes, []int{418}) ||
		len(p.RetriableHeaders) != 1 || len(p.RequestHeaders) != 2 || len(p.HostPredicates) != 2 || p.HostAttempts != 3 {
		t.Errorf("retries: %+v", p)
	}
}

func TestFilterConfigs(t *testing.T) {
	const buffer = `{"@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute, buffer: {max_request_bytes: `
	const wrapped = `{"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, `
	cfg, err := parse(`
typed_per_filter_config: {a: ` + buffer + `1}}, b: ` + buffer + `2}}}
virtual_hosts:
- name: v
  domains: ['*']
  typed_per_filter_config: {a: ` + wrapped + `disabled: true}, c: ` + wrapped + `config: ` + buffer + `3}}}}
  routes:
  - match: {prefix: /}
    direct_response: {status: 200}
    typed_per_filter_config:
      a: ` + buffer + `4}}
      on: ` + wrapped + `config: {"@type": type.googleapis.com/google.protobuf.Empty}}
      gone: ` + wrapped + `is_optional: true, config: {"@type": type.googleapis.com/envoy.config.route.v3.RetryPolicy}}
`)
	if err != nil {
		t.Fatal(err)
	}
	on := cfg.VirtualHosts[0].Routes[0].TypedPerFilterConfig["on"]
	if err := on.MarshalFrom(&routev3.FilterConfig{Config: &anypb.Any{}}); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	table := Build(cfg, testContext(t), conf.Path{}, &errs)
	if table == nil {
		t.Fatal(errs)
	}
	got := table.Match(headers("/"), nil, 0).FilterConfigs
	want := []route.FilterConfig{{Filter: "a", Config: 4}, {Filter: "on"}, {Filter: "a", Disabled: true}, {Filter: "c", Config: 3}, {Filter: "a", Config: 1}, {Filter: "b", Config: 2}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// fixed is a body that does not change.
type fixed string

func (f fixed) Text() string { return string(f) }

func TestDirectResponses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	table := routes(t, `
- {match: {path: /inline}, direct_response: {status: 299, body: {inline_string: "hi"}}}
- {match: {path: /bytes}, direct_response: {status: 200, body: {inline_bytes: "aGk="}}}
- {match: {path: /file}, direct_response: {status: 200, body: {filename: "`+file+`"}}}
- {match: {path: /none}, direct_response: {status: 204}}
- {match: {path: /env}, direct_response: {status: 200, body: {environment_variable: SET}}}
- {match: {path: /text}, direct_response: {status: 200, body: {inline_string: b}, body_format: {content_type: text/x, text_format_source: {inline_string: "<%REQ(x-p)%>"}}}}
- {match: {path: /json}, direct_response: {status: 200, body_format: {json_format: {a: b}}}}
- {match: {path: /201}, direct_response: {status: 201}}
- {match: {path: /304}, direct_response: {status: 304, body: {inline_string: b}}}
`)
	for path, want := range map[string]route.Direct{
		"/inline": {Status: 299, Body: fixed("hi")}, "/bytes": {Status: 200, Body: fixed("hi")},
		"/file": {Status: 200, Body: fixed("from a file")}, "/none": {Status: 204}, "/env": {Status: 200, Body: fixed("of SET")},
		"/text": {Status: 200, Body: fixed("b"), ContentType: "text/x"}, "/json": {Status: 200, ContentType: "application/json"},
		"/201": {Status: 201}, "/304": {Status: 304, Body: fixed("b")},
	} {
		h := headers(path, "x-p", "1")
		d := table.Match(h, nil, 0).Direct
		if d.Status != want.Status || d.BodyText() != want.BodyText() || d.ContentType != want.ContentType {
			t.Errorf("%s: %+v", path, d)
		}
		location := ""
		if d.Location != nil {
			location = d.Location(h, nil)
		}
		if hasLocation := want.Status == 201 || want.Status == 304; hasLocation != (location == "http://a"+path) {
			t.Errorf("%s: location %q", path, location)
		}
		if formatted := want.ContentType != ""; formatted != (d.BodyFormat != nil) {
			t.Errorf("%s: format %v", path, d.BodyFormat)
		}
	}
	h := headers("/text", "x-p", "1")
	if got := table.Match(h, nil, 0).Direct.BodyFormat.Append(nil, &format.Entry{Request: h}); string(got) != "<1>" {
		t.Errorf("formatted %q", got)
	}
	big := "max_direct_response_body_size_bytes: 3\nvirtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {filename: '" + file + "'}}}]}]"
	var errs conf.Errors
	cfg, _ := parse(big)
	if Build(cfg, testContext(t), conf.Path{}, &errs) != nil || !strings.Contains(errs.Error(), "has 11 bytes; the maximum is 3") {
		t.Error(errs)
	}
}

func TestRewritingDoesNotAllocateForPlainRoutes(t *testing.T) {
	table := routes(t, `- {match: {prefix: /}, route: {cluster: c, host_rewrite_literal: x}, request_headers_to_add: [{header: {key: x-a, value: b}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]}`)
	h := headers("/abc", "x-a", "c")
	entry := &format.Entry{Request: h}
	r := table.Match(h, nil, 0)
	if n := testing.AllocsPerRun(100, func() { r.Forward.Request.RewriteRequest(h, entry, false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// warnings is an extension.Logger of which only warnings are expected.
type warnings struct {
	extension.Logger
	lines []string
}

func (w *warnings) Warnf(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

// TestTypedRetryPolicy: it changes nothing, and is warned of.
func TestTypedRetryPolicy(t *testing.T) {
	const typed = `retry_policy_typed_config: {"@type": type.googleapis.com/envoy.config.route.v3.RetryPolicy, retry_on: 5xx}`
	cfg, err := parse(`{virtual_hosts: [{name: v, domains: ['*'], ` + typed + `, routes: [{match: {prefix: /}, route: {cluster: c, ` + typed + `}}]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	ctx, log, errs := testContext(t), &warnings{}, conf.Errors{}
	ctx.Log = log
	table := Build(cfg, ctx, conf.Path{}, &errs)
	if table == nil {
		t.Fatal(errs)
	}
	const want = `virtual_hosts[0].retry_policy_typed_config: has no effect, as in Envoy: use retry_policy
virtual_hosts[0].routes[0].route.retry_policy_typed_config: has no effect, as in Envoy: use retry_policy`
	if got := strings.Join(log.lines, "\n"); table.Match(headers("/"), nil, 0).Forward.Retry != nil || got != want {
		t.Error(got)
	}
}

// TestUnknownRetryCondition: a word that is not known changes nothing, and is warned of.
func TestUnknownRetryCondition(t *testing.T) {
	cfg, err := parse(`{virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_on: '5xx,junk'}}}]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	ctx, log, errs := testContext(t), &warnings{}, conf.Errors{}
	ctx.Log = log
	table := Build(cfg, ctx, conf.Path{}, &errs)
	if table == nil {
		t.Fatal(errs)
	}
	const want = `virtual_hosts[0].routes[0].route.retry_policy.retry_on: retry condition "junk" is not known and has no effect`
	if on := table.Match(headers("/"), nil, 0).Forward.Retry.On; on != route.Retry5xx || len(log.lines) != 1 || log.lines[0] != want {
		t.Errorf("%b, %q", on, log.lines)
	}
}
