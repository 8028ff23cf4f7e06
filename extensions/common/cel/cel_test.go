package cel

import (
	"encoding/json"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

func headers(fields ...string) *httpmsg.Headers {
	h := &httpmsg.Headers{}
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

func socket(s string) address.Address { return address.FromAddrPort(netip.MustParseAddrPort(s)) }

func object(text string) *structpb.Struct {
	s := &structpb.Struct{}
	if err := s.UnmarshalJSON([]byte(text)); err != nil {
		panic(err)
	}
	return s
}

func namespace(name, text string) map[string]*structpb.Struct {
	return map[string]*structpb.Struct{name: object(text)}
}

func node() *corev3.Node {
	return &corev3.Node{Id: "nid", Cluster: "ncl", Metadata: object(`{"k":"v","n":1}`), Locality: &corev3.Locality{Zone: "z1"}}
}

type members int

func (n members) Health() (total, healthy, degraded int) { return int(n), 0, 0 }

// entry is the request of testdata/envoy.txt.
func entry() *format.Entry {
	start := time.Date(2026, 11, 23, 17, 9, 12, 429260000, time.UTC)
	at := func(us int) time.Time { return start.Add(time.Duration(us) * time.Microsecond) }
	client, server := socket("127.0.0.1:39356"), socket("127.0.0.1:46799")
	return &format.Entry{
		Request: headers(":authority", "www.Example.com:80", ":path", "/ok?q=va%20l&e=&x", ":method", "GET", ":scheme", "http",
			"user-agent", "curl/8", "x-multi", "one", "x-multi", "two", "x-empty", "", "referer", "http://ref/",
			"x-request-id", "963bc116-64b4-4aa4-b6fe-8ca00cf46b00", "x-forwarded-proto", "http", "x-envoy-expected-rq-timeout-ms", "15000"),
		Response: headers(":status", "200", "x-multi", "a", "x-multi", "b", "server", "envoy", "content-length", "5",
			"x-envoy-upstream-service-time", "1", "date", "Mon, 23 Nov 2026 17:09:12 GMT"),
		Type: format.DownstreamEnd, Now: at(1100),
		Stream: &streaminfo.Stream{
			Start: start, Version: httpmsg.HTTP11, HasVersion: true, ResponseCode: 200, ResponseDetails: "via_upstream", BytesSent: 5,
			End:        at(1031),
			Downstream: &streaminfo.Connection{ID: 1, Remote: client, Local: server, FilterChainName: "fcname", Listener: &streaminfo.Listener{TrafficDirection: 2, Metadata: namespace("ln", `{"k":"lv"}`)}},
			Upstream: streaminfo.Upstream{
				Cluster: "up", ClusterRaw: "up", Host: socket("127.0.0.1:1234"), LocalAddress: socket("127.0.0.1:36288"),
				PoolReady: at(460), FirstTxByte: at(492), LastRxByte: at(996),
				ClusterMetadata: namespace("cl", `{"k":"cv","n":7}`), HostMetadata: namespace("hh", `{"k":"hv"}`),
				Members: members(3), Locality: &streaminfo.Locality{Region: "r", Zone: "z", SubZone: "s"}, LocalityMetadata: namespace("lo", `{"k":"locv"}`),
			},
			RouteName: "route1", VirtualHostName: "vhost", AttemptCount: 1,
			Metadata:      namespace("md", `{"s":"str","n":42,"n2":1.5,"b":true,"l":[1,"x",null],"o":{"k":"value","a":1},"z":null}`),
			RouteMetadata: namespace("rt", `{"k":"rv"}`), VirtualHostMetadata: namespace("vh", `{"k":"vv"}`),
			FilterState: map[string]any{"fs": `state"val`},
		},
	}
}

// TestEnvoy evaluates what Envoy was asked and compares the answers.
func TestEnvoy(t *testing.T) {
	data, err := os.ReadFile("testdata/envoy.txt")
	if err != nil {
		t.Fatal(err)
	}
	c, e, compared := New(nil, node()), entry(), 0
	for row := range strings.Lines(string(data)) {
		cells := strings.Split(strings.TrimSuffix(row, "\n"), "\t")
		if strings.HasPrefix(row, "#") || len(cells) != 3 {
			continue
		}
		compared++
		x, err := c.Compile("expression", cells[0])
		if err != nil {
			t.Errorf("%s: %v", cells[0], err)
			continue
		}
		got := any(nil)
		if text, ok := x.AppendText([]byte("before:"), e); ok {
			got = strings.ToValidUTF8(string(text[len("before:"):]), "\u00ff")
		}
		if want := parse(t, cells[1]); got != want {
			t.Errorf("%s: %q, want %q", cells[0], got, want)
		}
		if got, want := x.Value(e).AsInterface(), parse(t, cells[2]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", cells[0], got, want)
		}
	}
	if compared < 180 {
		t.Errorf("only %d expressions compared", compared)
	}
}

func parse(t *testing.T, text string) (v any) {
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestErrors(t *testing.T) {
	const expecting = "expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
	const syntax = "Not able to parse filter expression: INVALID_ARGUMENT: ERROR: <input>:1:"
	for _, test := range []struct{ text, want string }{
		{"", syntax},
		{"1 +", syntax + "4: Syntax error: mismatched input '<EOF>' " + expecting + "\n | 1 +\n | ...^"},
		{"(1", syntax + "3: Syntax error: missing ')' at '<EOF>'\n | (1\n | ..^"},
		{"has(x)", syntax + "5:"},
		{"string(1)", "failed to create an expression: No overload found in reference resolve step for string"},
		{"nofunc(1)", "failed to create an expression: No overload found in reference resolve step for nofunc"},
		{"'a'.lowerAscii()", "failed to create an expression: No overload found in reference resolve step for lowerAscii"},
		{"a.b.c.d()", "failed to create an expression: No overload found in reference resolve step for d"},
		{"[1].all(x, x > 0)", "failed to create an expression: Comprehension support is disabled"},
		{"google.nope{a: 1}", "failed to create an expression: "},
		{"request.path.matches('[')", "failed to create an expression: "},
		{"'a'.matches('" + strings.Repeat("a", 110) + "')", "failed to create an expression: "},
		{strings.Repeat("(", 1000) + "1" + strings.Repeat(")", 1000), "Not able to parse filter expression: "},
	} {
		_, err := New(nil, nil).Compile("filter expression", test.text)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%.60s:\n got %v\nwant %s", test.text, err, test.want)
		}
	}
}

func TestConfig(t *testing.T) {
	all := &corev3.CelExpressionConfig{EnableStringConversion: true, EnableStringConcat: true, EnableStringFunctions: true}
	for _, test := range []struct {
		text      string
		plain, on bool
	}{
		{"string(1) == '1'", false, true},
		{"'a' + 'b' == 'ab'", false, true},
		{"b'a' + b'b' == b'ab'", false, true},
		{"'ABC'.lowerAscii() == 'abc'", false, true},
		{"'a,b'.split(',')[1] == 'b'", false, true},
		{"[1] + [2] == [1, 2]", false, false},
		{"1 + 1 == 2 && 1.5 + 1.5 == 3.0 && duration('1s') + duration('1s') == duration('2s')", true, true},
		{"'x' == request.headers['none']", false, false},
		{"request.path", false, false},
		{"re.capture('ab', 'a)(b') == 'b'", false, false},
		{"re.capture('" + strings.Repeat("a", 110) + "', '(" + strings.Repeat("a", 110) + ")') != ''", false, false},
		{"re.capture('GET', '(' + request.method + ')') == 'GET'", false, true},
		{"request.method.matches('^' + request.method)", false, true},
	} {
		for config, want := range map[*corev3.CelExpressionConfig]bool{nil: test.plain, {}: test.plain, all: test.on} {
			got := false
			if x, err := New(config, nil).Compile("expression", test.text); err == nil {
				got = x.Match(entry())
			}
			if got != want {
				t.Errorf("%s with %v: %v, want %v", test.text, config, got, want)
			}
		}
	}
}

type fields struct{}

func (fields) Field(name string) any {
	if name == "n" {
		return int64(7)
	}
	return nil
}

// TestStates evaluates expressions on a connection, a refused request, and one that
// no route was found for.
func TestStates(t *testing.T) {
	connection := &format.Entry{Stream: &streaminfo.Stream{TerminationDetails: "why"}}
	refused := entry()
	u := &refused.Stream.Upstream
	u.LocalAddress, u.FailureReason = address.Address{}, "reason"
	refused.Stream.Flags = streaminfo.UpstreamConnectionFailure | streaminfo.UpstreamRetryLimitExceeded
	refused.Stream.FilterState["object"] = fields{}
	lost := entry()
	lost.Stream.Upstream, lost.Stream.Flags = streaminfo.Upstream{}, streaminfo.NoRouteFound
	lost.Request.SetName("content-length", "x")
	const none = "-"
	for _, test := range []struct {
		text string
		want [3]string
	}{
		{"size(request.headers)", [3]string{"0", "11", "12"}},
		{"request.path", [3]string{none, "/ok?q=va%20l&e=&x", "/ok?q=va%20l&e=&x"}},
		{"request.size", [3]string{"0", "0", none}},
		{"request.protocol", [3]string{none, "HTTP/1.1", "HTTP/1.1"}},
		{"request.duration", [3]string{none, "1.031ms", "1.031ms"}},
		{"response.code", [3]string{none, "200", "200"}},
		{"response.grpc_status", [3]string{none, "2", "2"}},
		{"response.flags", [3]string{"0", "32800", "256"}},
		{"connection.termination_details", [3]string{"why", none, none}},
		{"source.port", [3]string{none, "39356", "39356"}},
		{"upstream.address", [3]string{none, "127.0.0.1:1234", none}},
		{"upstream.local_address", [3]string{none, none, none}},
		{"upstream.transport_failure_reason", [3]string{none, "reason", none}},
		{"upstream.request_attempt_count", [3]string{"0", "1", "1"}},
		{"upstream_filter_state", [3]string{none, none, none}},
		{"filter_state.object.n", [3]string{none, "7", none}},
		{"filter_state.object.m", [3]string{none, none, none}},
		{"xds.route_name", [3]string{none, "route1", none}},
		{"xds.virtual_host_name", [3]string{none, "vhost", "vhost"}},
		{"xds.cluster_name", [3]string{none, "up", none}},
		{"xds.listener_metadata.filter_metadata.ln.k", [3]string{none, "lv", "lv"}},
		{"xds.node", [3]string{
			"", // nobody named it
			`id: "nid" cluster: "ncl" metadata { fields { key: "k" value { string_value: "v" } } fields { key: "n" value { number_value: 1 } } } locality { zone: "z1" } `, "",
		}},
	} {
		for i, e := range []*format.Entry{connection, refused, lost} {
			c := New(nil, nil)
			if i == 1 {
				c = New(nil, node())
			}
			x, err := c.Compile("expression", test.text)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := x.AppendText(nil, e)
			if !ok {
				got = []byte(none)
			}
			if string(got) != test.want[i] {
				t.Errorf("%s of entry %d: %s, want %s", test.text, i, got, test.want[i])
			}
		}
	}
}

// TestWorkers evaluates one expression on several goroutines, for the race detector.
func TestWorkers(t *testing.T) {
	x, err := New(nil, node()).Compile("expression", "request.path.matches('^/o') && metadata.filter_metadata.md.n == 42.0 && xds.node.id == 'nid' && re.capture('ab', 'a(b)') in ['b', 'c']")
	if err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			e := entry()
			for range 100 {
				if !x.Match(e) {
					t.Error("false")
				}
			}
		})
	}
	workers.Wait()
}

func BenchmarkMatch(b *testing.B) {
	x, err := New(nil, nil).Compile("expression", "response.code >= 400 || request.headers['x-multi'].startsWith('one')")
	if err != nil {
		b.Fatal(err)
	}
	e := entry()
	b.ReportAllocs()
	for b.Loop() {
		x.Match(e)
	}
}

func FuzzCompile(f *testing.F) {
	for _, text := range []string{"request.headers['x-multi'].matches('o.e')", "{1: [request, 2u]}", "xds.node.metadata.k == metadata['a']"} {
		f.Add(text)
	}
	c, connection := New(&corev3.CelExpressionConfig{EnableStringConversion: true, EnableStringConcat: true, EnableStringFunctions: true}, node()),
		&format.Entry{Stream: &streaminfo.Stream{}}
	f.Fuzz(func(t *testing.T, text string) {
		x, err := c.Compile("expression", text)
		if err != nil {
			return
		}
		for _, e := range []*format.Entry{entry(), connection} {
			before := "before:"
			got, ok := x.AppendText([]byte(before), e)
			if !strings.HasPrefix(string(got), before) || !ok && len(got) > len(before) {
				t.Errorf("%q, %v", got, ok)
			}
			x.Value(e)
			x.Match(e)
		}
	})
}
