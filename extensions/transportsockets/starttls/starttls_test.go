package starttls

import (
	"strings"
	"testing"

	starttlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/starttls/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/extensions/common/passthrough"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	fake "github.com/nuncio-proxy/nuncio/testkit/transport"
)

// tlsFactory stands for TLS: a transport that writes in upper case.
type tlsFactory struct{ category string }

func (tlsFactory) Name() string       { return "envoy.transport_sockets.tls" }
func (f tlsFactory) Category() string { return f.category }
func (f tlsFactory) Config() proto.Message {
	if f.category == extension.UpstreamTransportSockets {
		return &tlsv3.UpstreamTlsContext{}
	}
	return &tlsv3.DownstreamTlsContext{}
}
func (tlsFactory) Fields() []conf.Fields { return nil }
func (tlsFactory) BuildDownstreamTransportSocket(proto.Message, extension.TransportSocketContext, conf.Path, *conf.Errors) transport.ServerFactory {
	return server{}
}
func (tlsFactory) BuildUpstreamTransportSocket(proto.Message, extension.TransportSocketContext, conf.Path, *conf.Errors) transport.ClientFactory {
	return client{}
}

type server struct{}

func (server) New() transport.Socket { return &upper{} }
func (server) Secure() bool          { return true }

type client struct{}

func (client) New(*transport.Options, transport.Host) transport.Socket { return &upper{} }
func (client) Secure() bool                                            { return true }
func (client) SupportsALPN() bool                                      { return true }
func (client) Key(*transport.Options) string                           { return "key" }

type upper struct{ passthrough.Plain }

func (u *upper) Write(from *buffer.Buffer, end bool) (int, error) {
	text := strings.ToUpper(from.String())
	from.Reset()
	from.AppendString(text)
	return u.Plain.Write(from, end)
}

func context(t *testing.T, factories ...extension.Factory) extension.TransportSocketContext {
	t.Helper()
	registry := &extension.Registry{}
	if err := registry.Add(factories...); err != nil {
		t.Fatal(err)
	}
	return extension.TransportSocketContext{Context: extension.Context{Registry: registry}}
}

// TestStart: bytes are plain until the transport is told to secure them.
func TestStart(t *testing.T) {
	ctx := context(t, tlsFactory{extension.DownstreamTransportSockets}, tlsFactory{extension.UpstreamTransportSockets})
	var errs conf.Errors
	down := Downstream{}.BuildDownstreamTransportSocket(&starttlsv3.StartTlsConfig{TlsSocketConfig: &tlsv3.DownstreamTlsContext{}}, ctx, conf.Path{}, &errs)
	up := Upstream{}.BuildUpstreamTransportSocket(&starttlsv3.UpstreamStartTlsConfig{TlsSocketConfig: &tlsv3.UpstreamTlsContext{}}, ctx, conf.Path{}, &errs)
	if errs.Err() != nil || down.Secure() || up.Secure() || up.SupportsALPN() || up.Key(nil) != "key" {
		t.Fatal(errs)
	}
	for name, s := range map[string]transport.Socket{"downstream": down.New(), "upstream": up.New(nil, nil)} {
		c := fake.New(loop.New(1))
		if !s.Start(c) {
			t.Errorf("%s: not up", name)
		}
		c.Write(s, "plain ", false)
		for range 2 {
			if !s.(transport.StartTLS).StartSecureTransport() {
				t.Errorf("%s: not possible", name)
			}
		}
		c.Write(s, "secure", true)
		if c.Output != "plain SECURE" || !c.OutputEnded || !c.WantsRead || !c.WantsWrite {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestConfig(t *testing.T) {
	var errs conf.Errors
	Downstream{}.BuildDownstreamTransportSocket(&starttlsv3.StartTlsConfig{}, context(t), conf.Path{}, &errs)
	Upstream{}.BuildUpstreamTransportSocket(&starttlsv3.UpstreamStartTlsConfig{}, context(t), conf.Path{}, &errs)
	Downstream{}.BuildDownstreamTransportSocket(&starttlsv3.StartTlsConfig{TlsSocketConfig: &tlsv3.DownstreamTlsContext{}}, context(t), conf.Path{}, &errs)
	Upstream{}.BuildUpstreamTransportSocket(&starttlsv3.UpstreamStartTlsConfig{TlsSocketConfig: &tlsv3.UpstreamTlsContext{}}, context(t), conf.Path{}, &errs)
	const missing, unknown = "tls_socket_config: must be set\n", "tls_socket_config: TLS is not registered\n"
	if got := errs.Error() + "\n"; got != missing+missing+unknown+unknown {
		t.Error(got)
	}
}
