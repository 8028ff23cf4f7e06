package cluster

import (
	"strings"
	"testing"

	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// testContext has transports: plain ones, and ones with a name.
func testContext() extension.Context {
	registry := new(extension.Registry)
	if err := registry.Add(rawFactory{}, namedFactory{}); err != nil {
		panic(err)
	}
	return extension.Context{Registry: registry, Stats: metrics.New(1), RoutePolicies: fakePolicies{}}
}

type rawFactory struct{}

func (rawFactory) Name() string          { return "envoy.transport_sockets.raw_buffer" }
func (rawFactory) Category() string      { return extension.UpstreamTransportSockets }
func (rawFactory) Config() proto.Message { return &rawbufferv3.RawBuffer{} }
func (rawFactory) Fields() []conf.Fields { return nil }
func (rawFactory) BuildUpstreamTransportSocket(proto.Message, extension.TransportSocketContext, conf.Path, *conf.Errors) transport.ClientFactory {
	return nil
}

type namedFactory struct{}

func (namedFactory) Name() string          { return "named" }
func (namedFactory) Category() string      { return extension.UpstreamTransportSockets }
func (namedFactory) Config() proto.Message { return &wrapperspb.StringValue{} }
func (namedFactory) Fields() []conf.Fields { return nil }
func (namedFactory) BuildUpstreamTransportSocket(msg proto.Message, ctx extension.TransportSocketContext, _ conf.Path, _ *conf.Errors) transport.ClientFactory {
	n := &named{name: msg.(*wrapperspb.StringValue).GetValue()}
	ctx.Scope.Counter("built").Inc(0)
	ctx.Closed(func() { n.closed = true })
	return n
}

type named struct {
	name   string
	closed bool
}

func (n *named) New(*transport.Options, transport.Host) transport.Socket { return nil }
func (n *named) Secure() bool                                            { return true }
func (n *named) SupportsALPN() bool                                      { return n.name == "alpn" }
func (n *named) Key(o *transport.Options) string {
	switch {
	case o == nil:
		return n.name
	case n.name == "proxy" && o.ProxyProtocol != nil:
		return o.ProxyProtocol.Source.String() + o.ProxyProtocol.Destination.String()
	}
	return n.name + o.ServerName
}

func socket(name string) string {
	return "transport_socket: {name: x, typed_config: {'@type': type.googleapis.com/google.protobuf.StringValue, value: '" + name + "'}}"
}

// TestTransportMatches: the metadata of an endpoint chooses its transport, the first
// match counts.
func TestTransportMatches(t *testing.T) {
	b := newBench()
	c := mustParse(t, "name: a\n"+socket("otherwise")+`
transport_socket_matches:
- {name: both, match: {a: one, b: 2}, `+socket("both")+`}
- {name: a, match: {a: one}, `+socket("a")+`}
- {name: plain, match: {c: true}, transport_socket: {name: envoy.transport_sockets.raw_buffer}}
load_assignment:
  cluster_name: a
  endpoints:
  - lb_endpoints:
`+endpoint(1, "{a: one, b: 2, more: x}")+endpoint(2, "{a: one, b: 3}")+endpoint(3, "{c: true}")+endpoint(4, "{c: 'true'}")+endpoint(5, ""))
	b.Add(c, nil)
	cl := b.Get("a").(*Cluster)
	var got []string
	for _, h := range cl.hosts.Load().Levels[0].Hosts {
		name := "plain"
		if f := h.Transport(); f != nil {
			name = f.(*named).name
			if key := cl.pools.TransportKey(h, &transport.Options{ServerName: "!"}); key != name+"!" {
				t.Errorf("key %s", key)
			}
		} else if key := cl.pools.TransportKey(h, &transport.Options{}); key != "" {
			t.Errorf("key %s", key)
		}
		got = append(got, name)
	}
	if want := "both a plain otherwise otherwise"; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for name, want := range map[string]uint64{"both": 1, "a": 1, "plain": 1, "default": 2} {
		if got := b.metrics.Value("cluster.a." + name + ".total_match_count"); got != want {
			t.Errorf("%s: %d", name, got)
		}
	}
	b.Remove("a")
	if !c.Transports.otherwise.(*named).closed {
		t.Error("the transport is not told that the cluster is gone")
	}
}

func endpoint(n int, labels string) string {
	text := "    - {endpoint: {address: {socket_address: {address: 10.0.0." + string(rune('0'+n)) + ", port_value: 80}}}"
	if labels != "" {
		text += ", metadata: {filter_metadata: {envoy.transport_socket_match: " + labels + "}}"
	}
	return text + "}\n"
}

// TestTransportIsDiscarded: a configuration that is the same as before, or wrong, keeps
// nothing.
func TestTransportIsDiscarded(t *testing.T) {
	b := newBench()
	first, again := mustParse(t, "name: a\n"+socket("x")), mustParse(t, "name: a\n"+socket("x"))
	b.Add(first, nil)
	if b.Add(again, nil) || !again.Transports.otherwise.(*named).closed || first.Transports.otherwise.(*named).closed {
		t.Error("kept what is not used, or the other way round")
	}
	var errs conf.Errors
	ctx := testContext()
	if Parse(load(t, "name: a\nupstream_bind_config: {source_address: {address: x, port_value: 0}}\n"+socket("x")), ctx, conf.Path{}, &errs) != nil {
		t.Error("accepted")
	}
}

// TestALPN: a protocol that is agreed on needs a transport that does so.
func TestALPN(t *testing.T) {
	const auto = `
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    auto_config: {}
`
	for text, want := range map[string]string{
		"name: a\n" + socket("alpn") + auto: "",
		"name: a\n" + socket("no") + auto:   "cluster: ALPN configured for cluster a which has a non-ALPN transport socket",
		"name: a" + auto:                    "cluster: ALPN configured for cluster a which has a non-ALPN transport socket",
		"name: a\n" + socket("alpn") + "\ntransport_socket_matches: [{name: m}]" + auto: "cluster.transport_socket_matches[0]: ALPN configured for cluster a which has a non-ALPN transport socket matcher",
	} {
		var errs conf.Errors
		Parse(load(t, text), testContext(), conf.Path{}.Field("cluster"), &errs)
		if got := errs.Error(); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}
