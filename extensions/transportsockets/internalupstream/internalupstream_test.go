package internalupstream

import (
	"testing"

	internalupstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/internal_upstream/v3"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
	fake "github.com/nuncio-proxy/nuncio/testkit/transport"
)

const plain = ` transport_socket {name: "envoy.transport_sockets.raw_buffer"}`

func namespace(name, value string) map[string]*structpb.Struct {
	return map[string]*structpb.Struct{name: {Fields: map[string]*structpb.Value{"from": structpb.NewStringValue(value)}}}
}

func build(t *testing.T, text string) (transport.ClientFactory, *metrics.Scope, string) {
	t.Helper()
	m := &internalupstreamv3.InternalUpstreamTransport{}
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	scope := metrics.New(1)
	f := Factory{}.BuildUpstreamTransportSocket(m, extension.TransportSocketContext{
		Context: extension.Context{Registry: &extension.Registry{}}, Scope: scope, ClusterMetadata: namespace("both", "cluster"),
	}, conf.Path{}, &errs)
	return f, scope, errs.Error()
}

type host struct{ upstream.Host }

func (host) Metadata() map[string]*structpb.Struct { return namespace("both", "host") }

func TestPass(t *testing.T) {
	d := loop.New(1)
	state := &transport.Options{FilterState: map[string]streaminfo.Shared{"k": {Value: "v", Transitive: true}}}
	for _, tc := range []struct {
		name, sources string
		host          transport.Host
		want          string
		missing       uint64
	}{
		{"none", ``, host{}, "", 0},
		{"host", `passthrough_metadata {kind {host {}} name: "both"}`, host{}, "host", 0},
		{"cluster", `passthrough_metadata {kind {cluster {}} name: "both"}`, host{}, "cluster", 0},
		{"the later one", `passthrough_metadata {kind {host {}} name: "both"} passthrough_metadata {kind {cluster {}} name: "both"}`, host{}, "cluster", 0},
		{"missing", `passthrough_metadata {kind {host {}} name: "both"} passthrough_metadata {kind {cluster {}} name: "x"}`, host{}, "host", 1},
		{"no host", `passthrough_metadata {kind {host {}} name: "both"}`, nil, "", 1},
	} {
		f, scope, errs := build(t, tc.sources+plain)
		if errs != "" {
			t.Fatal(errs)
		}
		p := f.(transport.Passer).Pass(d, state, tc.host)
		if got := p.Metadata["both"].GetFields()["from"].GetStringValue(); got != tc.want || p.FilterState["k"].Value != "v" || !p.FilterState["k"].Transitive {
			t.Errorf("%s: passed %q, %v", tc.name, got, p.FilterState)
		}
		if got := scope.Value("internal_upstream.no_metadata"); got != tc.missing {
			t.Errorf("%s: %d missing", tc.name, got)
		}
		if p := f.(transport.Passer).Pass(d, nil, tc.host); p.FilterState != nil {
			t.Errorf("%s: passes what nobody shared", tc.name)
		}
	}
}

type hashed uint64

func (h hashed) Hash() (uint64, bool) { return uint64(h), h != 0 }

// TestKey: objects with a hash, and no others, tell connections apart.
func TestKey(t *testing.T) {
	f, _, _ := build(t, plain)
	key := func(state map[string]any) string {
		shared := map[string]streaminfo.Shared{}
		for name, value := range state {
			shared[name] = streaminfo.Shared{Value: value}
		}
		return f.Key(&transport.Options{FilterState: shared})
	}
	if text := key(map[string]any{"a": "text", "b": hashed(0)}); f.Key(nil) != "" || text == "" || text != key(map[string]any{"a": "other"}) {
		t.Error("what has no hash counts for more than being there")
	}
	a := key(map[string]any{"a": hashed(1), "b": hashed(2)})
	if a != key(map[string]any{"b": hashed(2), "a": hashed(1)}) || a == key(map[string]any{"a": hashed(2), "b": hashed(1)}) || a == "" {
		t.Error("wrong keys")
	}
}

func TestSocket(t *testing.T) {
	f, _, _ := build(t, plain)
	s := f.New(nil, nil)
	c := fake.New(loop.New(1))
	if !s.Start(c) || f.Secure() || f.SupportsALPN() {
		t.Error("not a plain transport")
	}
	if left, err := c.Write(s, "bytes", false); left != "" || err != nil || c.Output != "bytes" {
		t.Errorf("sent %q, %v", c.Output, err)
	}
}

func TestConfig(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "transport_socket: must be set",
		`passthrough_metadata {}` + plain: "passthrough_metadata[0].kind: must be set\npassthrough_metadata[0].name: must not be empty",
		`passthrough_metadata {kind {route {}} name: "x"}` + plain: "passthrough_metadata[0].kind.route: field route is not implemented",
		`passthrough_metadata {kind {} name: "x"}` + plain:         "passthrough_metadata[0].kind: must be set",
	} {
		if _, _, got := build(t, text); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
