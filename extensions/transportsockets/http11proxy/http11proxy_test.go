package http11proxy

import (
	"io"
	"net/netip"
	"strings"
	"testing"

	http11proxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/http_11_proxy/v3"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/extensions/common/passthrough"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	fake "github.com/nuncio-proxy/nuncio/testkit/transport"
)

// secureFactory makes transports that count as secure, and are plain.
type secureFactory struct{}

func (secureFactory) Name() string          { return "secure" }
func (secureFactory) Category() string      { return extension.UpstreamTransportSockets }
func (secureFactory) Config() proto.Message { return &emptypb.Empty{} }
func (secureFactory) Fields() []conf.Fields { return nil }
func (secureFactory) BuildUpstreamTransportSocket(proto.Message, extension.TransportSocketContext, conf.Path, *conf.Errors) transport.ClientFactory {
	return secure{}
}

type secure struct{}

func (secure) New(*transport.Options, transport.Host) transport.Socket { return &passthrough.Plain{} }
func (secure) Secure() bool                                            { return true }
func (secure) SupportsALPN() bool                                      { return true }
func (secure) Key(*transport.Options) string                           { return "inner" }

type host struct{}

func (host) Address() address.Address { return at("10.0.0.1:443") }
func (host) Hostname() string         { return "" }

func at(a string) address.Address { return address.FromAddrPort(netip.MustParseAddrPort(a)) }

func build(t *testing.T, text string) (transport.Proxied, string) {
	t.Helper()
	m := &http11proxyv3.Http11ProxyUpstreamTransport{}
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	registry := &extension.Registry{}
	if err := registry.Add(secureFactory{}); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	f := Factory{}.BuildUpstreamTransportSocket(m, extension.TransportSocketContext{Context: extension.Context{Registry: registry}}, conf.Path{}, &errs)
	if f == nil {
		return nil, errs.Error()
	}
	return f.(transport.Proxied), errs.Error()
}

const (
	tls   = `transport_socket {name: "x" typed_config {[type.googleapis.com/google.protobuf.Empty] {}}} `
	proxy = `default_proxy_address {socket_address {address: "10.0.0.9" port_value: 3128}} `
)

func TestConnect(t *testing.T) {
	asked := &transport.Options{HTTP11Proxy: at("10.0.0.8:1"), HTTP11Target: "example.com"}
	for _, test := range []struct {
		name, config string
		options      *transport.Options
		via, want    string
	}{
		{"default", tls + proxy, nil, "10.0.0.9:3128", "CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 10.0.0.1:443\r\n\r\n"},
		{"asked", tls + proxy, asked, "10.0.0.8:1", "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"},
		{"asked with port", tls, &transport.Options{HTTP11Proxy: at("10.0.0.8:1"), HTTP11Target: "a:8443"}, "10.0.0.8:1", "CONNECT a:8443 HTTP/1.1\r\nHost: a:8443\r\n\r\n"},
		{"plain", proxy, nil, "10.0.0.9:3128", ""},
		{"no proxy", tls, nil, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, errs := build(t, test.config)
			if errs != "" || f.Via(test.options).String() != test.via {
				t.Fatal(errs, f.Via(test.options))
			}
			for slice := range 5 {
				c := fake.New(loop.New(1))
				c.Slice = slice
				s := f.New(test.options, host{})
				s.Start(c)
				left, err := c.Write(s, "data", false)
				if test.want != "" {
					if left != "data" || err != transport.ErrAgain || s.(transport.Movable).Detach() {
						t.Errorf("left %q, %v", left, err)
					}
					c.Input = "HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello"
				} else {
					c.Input = "hello"
				}
				got, err := c.Read(s)
				if got != "hello" || err != transport.ErrAgain || test.want != "" && !c.WantsWrite {
					t.Errorf("read %q, %v", got, err)
				}
				c.Write(s, left, true)
				if c.Output != test.want+"data" || !c.OutputEnded {
					t.Errorf("sent %q", c.Output)
				}
				if m := s.(transport.Movable); !m.Detach() {
					t.Error("does not leave its worker")
				} else {
					m.Attach(c)
				}
			}
		})
	}
}

// TestRefused: what is not a success of CONNECT ends the connection.
func TestRefused(t *testing.T) {
	f, _ := build(t, tls+proxy)
	for input, want := range map[string]error{
		"HTTP/1.1 403 Forbidden\r\n\r\n": transport.ErrFailed, "HTTP/1.1 2000\r\n\r\n": transport.ErrFailed, "SSH-2.0\r\n\r\n": transport.ErrFailed,
		"HTTP/1.1 200 OK\r\n": io.ErrUnexpectedEOF, "": io.ErrUnexpectedEOF,
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("a", 3000): transport.ErrFailed,
	} {
		c := fake.New(loop.New(1))
		s := f.New(nil, host{})
		s.Start(c)
		c.Input, c.InputEnd = input, io.EOF
		if got, err := c.Read(s); got != "" || err != want {
			t.Errorf("%.40q: read %q, %v", input, got, err)
		}
		if _, err := c.Write(s, "x", false); want == transport.ErrFailed && err != want {
			t.Errorf("%.40q: write %v", input, err)
		}
		s.Close(true)
	}
}

func TestConfig(t *testing.T) {
	for text, want := range map[string]string{
		`default_proxy_address {socket_address {address: "name" port_value: 1}}`: "default_proxy_address: must be an IP address and a port",
		`default_proxy_address {pipe {path: "/x"}}`:                              "default_proxy_address: must be an IP address and a port",
		tls: "",
	} {
		if _, got := build(t, text); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
	f, _ := build(t, tls)
	if f.Key(nil) != "inner" || !f.Secure() || !f.SupportsALPN() ||
		f.Key(&transport.Options{HTTP11Proxy: at("10.0.0.8:1"), HTTP11Target: "a"}) == f.Key(&transport.Options{HTTP11Proxy: at("10.0.0.8:1"), HTTP11Target: "b"}) {
		t.Error("wrong key")
	}
}
