package cluster

import (
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/filterstate"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// TestAutoName: TLS asks for the host of the request, and checks it.
func TestAutoName(t *testing.T) {
	for _, tc := range []struct{ options, host, header, sni, names string }{
		{"auto_sni: true", "a.example", "", "a.example", ""},
		{"auto_sni: true", "A.Example:80", "", "A.Example", ""},
		{"auto_sni: true", "a.example:http", "", "a.example:http", ""},
		{"auto_sni: true, auto_san_validation: true", "a.example:80", "", "a.example", "a.example"},
		{"auto_san_validation: true", "a.example:80", "", "", "a.example"},
		{"auto_sni: true, auto_san_validation: true", "10.0.0.1:80", "", "", "10.0.0.1"},
		{"auto_sni: true, auto_san_validation: true", "[::1]:80", "", "", "::1"},
		{"auto_sni: true, override_auto_sni_header: X-Name", "a.example", "b.example:1", "b.example", ""},
		{"auto_sni: true, override_auto_sni_header: x-name", "a.example", "", "a.example", ""},
	} {
		b := newBench()
		b.Add(mustParse(t, "name: a\n"+socket("otherwise")+"\nupstream_http_protocol_options: {"+tc.options+"}\n"), nil)
		h := new(httpmsg.Headers)
		h.AddID(httpmsg.Authority, tc.host)
		h.Add("x-name", tc.header)
		pick := upstream.Pick{Request: h, Downstream: new(streaminfo.Connection)}
		b.Get("a").(*Cluster).askTransport(&pick)
		o := pick.Transport
		if o == nil || o.ServerName != tc.sni || strings.Join(o.VerifyNames, " ") != tc.names || o.ProxyProtocol != nil {
			t.Errorf("%s, %s: %+v", tc.options, tc.host, o)
		}
	}
}

// TestFilterState: objects of the stream and its connection come before the configuration.
func TestFilterState(t *testing.T) {
	b := newBench()
	b.Add(mustParse(t, "name: a\n"+socket("otherwise")+"\nupstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}\n"), nil)
	b.Add(mustParse(t, "name: b\n"+socket("otherwise")+"\n"), nil)
	h := new(httpmsg.Headers)
	h.AddID(httpmsg.Authority, "auto.example")
	ask := func(cluster string, set func(s *streaminfo.Stream, c *streaminfo.Connection)) *transport.Options {
		down := new(streaminfo.Connection)
		pick := upstream.Pick{Request: h, Downstream: down, Stream: &streaminfo.Stream{Downstream: down}}
		set(pick.Stream, down)
		b.Get(cluster).(*Cluster).askTransport(&pick)
		return pick.Transport
	}
	o := ask("a", func(s *streaminfo.Stream, c *streaminfo.Connection) {
		c.SetFilterState(filterstate.UpstreamServerName, filterstate.Text("state.example"))
		s.SetFilterState(filterstate.UpstreamSubjectAltNames, filterstate.TextList{List: []string{"a", "b"}})
		s.SetFilterState(filterstate.ApplicationProtocols, filterstate.List{"own"})
		s.SetFilterState(filterstate.HTTP11ProxyInfo, filterstate.Proxy{Target: "t", Address: address.Unix("/proxy")})
		s.SetFilterState("s", 1)
		s.ShareFilterState("s", true)
		c.SetFilterState("c", 2)
		c.ShareFilterState("c", false)
	})
	if o.ServerName != "state.example" || strings.Join(o.VerifyNames, " ") != "a b" || strings.Join(o.ALPN, " ") != "own" ||
		o.HTTP11Proxy.String() != "/proxy" || o.HTTP11Target != "t" || len(o.FilterState) != 2 ||
		o.FilterState["s"] != (streaminfo.Shared{Value: 1, Transitive: true}) || o.FilterState["c"] != (streaminfo.Shared{Value: 2}) {
		t.Errorf("%+v", o)
	}
	o = ask("a", func(s *streaminfo.Stream, _ *streaminfo.Connection) {
		s.SetFilterState(filterstate.UpstreamServerName, "of another type")
	})
	if o.ServerName != "auto.example" || strings.Join(o.VerifyNames, " ") != "auto.example" {
		t.Errorf("%+v", o)
	}
	o = ask("b", func(s *streaminfo.Stream, _ *streaminfo.Connection) { s.SetFilterState("x", "nothing to do with it") })
	if o != nil {
		t.Errorf("%+v", o)
	}
}

// TestProxyHeader: connections are made for the downstream's addresses if their
// transport sends them, and only then.
func TestProxyHeader(t *testing.T) {
	down := &streaminfo.Connection{Remote: address.Unix("/remote"), Local: address.Unix("/local")}
	for _, config := range []string{socket("proxy"), socket("x") + "\ntransport_socket_matches: [{name: m, match: {a: b}, " + socket("proxy") + "}]"} {
		b := newBench()
		b.Add(mustParse(t, "name: a\n"+config+"\n"), nil)
		cl := b.Get("a").(*Cluster)
		pick := upstream.Pick{Downstream: down}
		cl.askTransport(&pick)
		if o := pick.Transport; o == nil || o.ProxyProtocol.Source != down.Remote || o.ProxyProtocol.Destination != down.Local {
			t.Errorf("%s: %+v", config, o)
		}
		received := *down
		received.ProxyProtocol = &streaminfo.ProxyProtocol{TLVs: []streaminfo.TLV{{Type: 1}}}
		pick = upstream.Pick{Downstream: &received}
		cl.askTransport(&pick)
		if o := pick.Transport; o == nil || o.ProxyProtocol != received.ProxyProtocol {
			t.Errorf("%s: %+v", config, o)
		}
		pick = upstream.Pick{}
		if cl.askTransport(&pick); pick.Transport != nil {
			t.Error("without downstream")
		}
	}
	b := newBench()
	b.Add(mustParse(t, "name: a\n"+socket("x")+"\n"), nil)
	pick := upstream.Pick{Downstream: down}
	if b.Get("a").(*Cluster).askTransport(&pick); pick.Transport != nil {
		t.Error("nothing was asked for")
	}
}
