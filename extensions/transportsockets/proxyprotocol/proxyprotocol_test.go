package proxyprotocol

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
	fake "github.com/nuncio-proxy/nuncio/testkit/transport"
)

func build(t *testing.T, text string) (transport.ClientFactory, *metrics.Scope, string) {
	t.Helper()
	m := &proxyprotocolv3.ProxyProtocolUpstreamTransport{}
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	stats := metrics.New(1)
	f := Factory{}.BuildUpstreamTransportSocket(m, extension.TransportSocketContext{Context: extension.Context{Registry: &extension.Registry{}, Formats: httpfilter.Formats{}}, Scope: stats}, conf.Path{}, &errs)
	return f, stats, errs.Error()
}

const inner = `transport_socket {name: "envoy.transport_sockets.raw_buffer"} `

func at(a string) address.Address { return address.FromAddrPort(netip.MustParseAddrPort(a)) }

func TestHeaders(t *testing.T) {
	four := &streaminfo.ProxyProtocol{Source: at("1.2.3.4:5"), Destination: at("6.7.8.9:10"), TLVs: []streaminfo.TLV{{Type: 1, Value: []byte("one")}, {Type: 2, Value: []byte("two")}, {Type: 240, Value: nil}}}
	six := &streaminfo.ProxyProtocol{Source: at("[1::2]:5"), Destination: at("[3::4]:10")}
	unix := &streaminfo.ProxyProtocol{Source: address.Unix("/a"), Destination: address.Unix("/b")}
	const v2 = "0d0a0d0a000d0a515549540a"
	const from4 = "0102030406070809" + "0005000a"
	for _, test := range []struct {
		name, config string
		header       *streaminfo.ProxyProtocol
		want         string // in hexadecimal for version 2
	}{
		{"v1", "", four, "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n"},
		{"v1 IPv6", "", six, "PROXY TCP6 1::2 3::4 5 10\r\n"},
		{"v1 unix", "", unix, "PROXY UNKNOWN\r\n"},
		{"v1 own", "", nil, "PROXY TCP4 127.0.0.1 127.0.0.2 1 2\r\n"},
		{"v2", "config {version: V2}", four, v2 + "2111000c" + from4},
		{"v2 IPv6", "config {version: V2}", six, v2 + "21210024" + "00010000000000000000000000000002" + "00030000000000000000000000000004" + "0005000a"},
		{"v2 unix", "config {version: V2}", unix, v2 + "20000000"},
		{"v2 local", "config {version: V2 added_tlvs {type: 9 value: \"x\"}}", nil, v2 + "20000000"},
		{"v2 all", "config {version: V2 pass_through_tlvs {match_type: INCLUDE_ALL}}", four, v2 + "2111001b" + from4 + "0100036f6e65" + "02000374776f" + "f00000"},
		{"v2 some", "config {version: V2 pass_through_tlvs {match_type: INCLUDE tlv_type: 2}}", four, v2 + "21110012" + from4 + "02000374776f"},
		{"v2 format", "config {version: V2 added_tlvs {type: 2 format_string {text_format_source {inline_string: \"<%REQ(a)%>\"}}}}", four, v2 + "21110012" + from4 + "0200033c2d3e"},
		{"v2 twice", "config {version: V2 pass_through_tlvs {match_type: INCLUDE_ALL} added_tlvs {type: 2 value: \"x\"} added_tlvs {type: 2 value: \"y\"}}", four,
			v2 + "2111001d" + from4 + "02000178" + "02000179" + "0100036f6e65" + "f00000"},
		{"v2 added", "config {version: V2 pass_through_tlvs {match_type: INCLUDE tlv_type: 2} added_tlvs {type: 2 value: \"x\"}}", four, v2 + "21110010" + from4 + "02000178"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, _, errs := build(t, inner+test.config)
			if errs != "" {
				t.Fatal(errs)
			}
			for room := range 80 { // the system takes the header in parts
				c := fake.New(loop.New(1))
				c.Info().Local, c.Info().Remote = at("127.0.0.1:1"), at("127.0.0.2:2")
				s := f.New(&transport.Options{ProxyProtocol: test.header}, nil)
				if !s.Start(c) {
					t.Error("not up")
				}
				c.Room = room
				left, _ := c.Write(s, "data", true)
				if left != "data" {
					c.Room = 1000
					left, _ = c.Write(s, left, true)
				}
				c.Room = 1000
				left, err := c.Write(s, left, true)
				got := strings.TrimSuffix(c.Output, "data")
				if strings.Contains(test.name, "v2") {
					got = hex.EncodeToString([]byte(got))
				}
				if got != test.want || left != "" || err != nil || !c.OutputEnded || s.Unsent() != 0 {
					t.Fatalf("room %d: got %q, want %q; left %q, %v", room, got, test.want, left, err)
				}
			}
		})
	}
}

// TestTooLong: TLVs that have no room are left out, and that is counted.
func TestTooLong(t *testing.T) {
	f, stats, _ := build(t, inner+"config {version: V2 pass_through_tlvs {match_type: INCLUDE_ALL}}")
	c := fake.New(loop.New(1))
	long := make([]byte, 40_000)
	s := f.New(&transport.Options{ProxyProtocol: &streaminfo.ProxyProtocol{Source: at("1.2.3.4:5"), Destination: at("6.7.8.9:10"),
		TLVs: []streaminfo.TLV{{Type: 1, Value: long}, {Type: 2, Value: long}, {Type: 3, Value: []byte("x")}}}}, nil)
	s.Start(c)
	c.Write(s, "", false)
	if want := 16 + 12 + 3 + len(long) + 4; len(c.Output) != want || stats.Value("upstream.proxyprotocol.v2_tlvs_exceed_max_length") != 1 {
		t.Errorf("%d bytes, want %d", len(c.Output), want)
	}
}

func TestConfig(t *testing.T) {
	for text, want := range map[string]string{
		"":    "transport_socket: must be set",
		inner: "",
		inner + "config {added_tlvs {type: 256 value: \"x\"} pass_through_tlvs {tlv_type: 300}}": "config.pass_through_tlvs.tlv_type[0]: must be less than 256\nconfig.added_tlvs[0].type: must be less than 256",
		inner + "tlv_as_pool_key: true": "tlv_as_pool_key: field tlv_as_pool_key is not implemented",
		`transport_socket {name: "x" typed_config {[type.googleapis.com/envoy.config.core.v3.ProxyProtocolConfig]{}}}`: "transport_socket.typed_config: transport socket envoy.config.core.v3.ProxyProtocolConfig is not implemented",
	} {
		if _, _, got := build(t, text); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// TestKey: requests of different clients do not share a connection.
func TestKey(t *testing.T) {
	f, _, _ := build(t, inner)
	key := func(from string) string {
		return f.Key(&transport.Options{ProxyProtocol: &streaminfo.ProxyProtocol{Source: at(from), Destination: at("6.7.8.9:10")}})
	}
	one, again := key("1.2.3.4:5"), key("1.2.3.4:5")
	if one == key("1.2.3.4:6") || one != again || f.Key(nil) != "" || f.Secure() || f.SupportsALPN() {
		t.Error("wrong keys")
	}
}
