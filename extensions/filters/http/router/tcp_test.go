package router

import (
	"net/netip"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// tunnel is a bench whose route terminates CONNECT.
func tunnel(t *testing.T, allowPost bool) *bench {
	return newBench(t, nil, func(b *bench) {
		b.route.Forward.Upgrades = []route.Upgrade{{Type: "connect", Enabled: true, Connect: &route.Connect{AllowPost: allowPost}}}
	})
}

func (b *bench) connect() { b.stream.Request(false, ":method", "CONNECT", ":authority", "host:443") }

func (b *bench) lastConnection() *filtertest.Connection {
	b.t.Helper()
	if len(b.cluster.Connections) == 0 || len(b.cluster.Attempts) > 0 {
		b.t.Fatalf("%d connections, %d streams", len(b.cluster.Connections), len(b.cluster.Attempts))
	}
	return b.cluster.Connections[len(b.cluster.Connections)-1]
}

func TestConnectTermination(t *testing.T) {
	t.Run("both ways, the server ends", func(t *testing.T) {
		b := tunnel(t, false)
		b.connect()
		b.stream.Body("early ", false)
		c := b.lastConnection()
		c.Ready()
		b.stream.Body("late", false)
		c.Receive("answer", false)
		if c.Output != "early late" || !c.HalfClose {
			t.Errorf("sent %q", c.Output)
		}
		b.wantReply("200 [-] via_upstream\n\nanswer\n...")
		c.Receive("!", true)
		b.wantReply("200 [-] via_upstream\n\nanswer!")
		if !c.WasClosed {
			t.Error("the connection is left open")
		}
		b.wantStats("cluster.a.upstream_rq_200=1", "cluster.a.external.upstream_rq_200=1")
		if up := &b.stream.Info.Upstream; up.HasVersion || up.Bytes.Sent != 10 || up.Bytes.Received != 7 {
			t.Errorf("upstream %+v", up)
		}
	})
	t.Run("the client ends first", func(t *testing.T) {
		b := tunnel(t, false)
		b.connect()
		c := b.lastConnection()
		c.Ready()
		b.stream.Body("all", true)
		if c.Output != "all" || !c.OutputEnded || c.WasClosed {
			t.Errorf("sent %q, ended %v, closed %v", c.Output, c.OutputEnded, c.WasClosed)
		}
		c.Receive("rest", true)
		b.wantReply("200 [-] via_upstream\n\nrest")
		if c.CloseType != network.FlushWrite {
			t.Error("the connection is cut")
		}
	})
	t.Run("the server breaks", func(t *testing.T) {
		b := tunnel(t, false)
		b.connect()
		b.lastConnection().Ready()
		b.lastConnection().Raise(network.RemoteClose)
		b.wantReply("reset: local reset [UC] upstream_reset_after_response_started{connection_termination}")
	})
	t.Run("the server refuses", func(t *testing.T) {
		b := tunnel(t, false)
		b.connect()
		b.lastConnection().Fail(upstream.RemoteConnectionFailure, "delayed connect error: Connection refused")
		b.wantReply(`503 [UF] upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}

upstream connect error or disconnect/reset before headers. reset reason: remote connection failure`)
		b.wantStats("cluster.a.upstream_rq_503=1")
	})
	t.Run("the client leaves", func(t *testing.T) {
		b := tunnel(t, false)
		b.connect()
		c := b.lastConnection()
		b.stream.Leave()
		if !c.Cancelled {
			t.Error("the connection is still waited for")
		}
		b.stream.Recycle()
		b.connect()
		c = b.lastConnection()
		c.Ready()
		b.stream.Leave()
		if !c.WasClosed {
			t.Error("the connection is left open")
		}
	})
	t.Run("back-pressure", func(t *testing.T) {
		b := tunnel(t, false)
		b.connect()
		c := b.lastConnection()
		c.Ready()
		c.SetHigh(true)
		b.stream.High()
		if b.stream.Paused != 1 || c.ReadDisabled != 1 {
			t.Errorf("paused %d and %d times", b.stream.Paused, c.ReadDisabled)
		}
		c.SetHigh(false)
		b.stream.Low()
		if b.stream.Paused != 0 || c.ReadDisabled != 0 {
			t.Errorf("paused %d and %d times", b.stream.Paused, c.ReadDisabled)
		}
	})
	t.Run("POST", func(t *testing.T) {
		b := tunnel(t, true)
		b.post()
		b.lastConnection().Ready()
		b.stream.Body("data", true)
		b.lastConnection().Receive("answer", true)
		b.wantReply("200 [-] via_upstream\n\nanswer")
		if got := b.lastConnection().Output; got != "data" {
			t.Errorf("sent %q", got)
		}
	})
	t.Run("other requests are not tunnelled", func(t *testing.T) {
		b := tunnel(t, false)
		b.post()
		b.stream.Leave()
		b.stream.Recycle()
		b.get()
		if len(b.cluster.Connections) != 0 || len(b.cluster.Attempts) != 2 {
			t.Errorf("%d connections, %d streams", len(b.cluster.Connections), len(b.cluster.Attempts))
		}
	})
}

func TestConnectProxyHeader(t *testing.T) {
	for version, want := range map[int]string{
		1: "PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n",
		2: "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x00\x50",
	} {
		b := newBench(t, nil, func(b *bench) {
			b.route.Forward.Upgrades = []route.Upgrade{{Type: "connect", Enabled: true, Connect: &route.Connect{ProxyHeader: version}}}
		})
		info := b.stream.Connection().Info()
		info.Remote, info.Local = address.FromAddrPort(netip.MustParseAddrPort("192.0.2.1:1000")), address.FromAddrPort(netip.MustParseAddrPort("192.0.2.2:80"))
		b.connect()
		c := b.lastConnection()
		c.Ready()
		b.stream.Body("hello", false)
		if c.Output != want+"hello" {
			t.Errorf("version %d: %q", version, c.Output)
		}
		c.Receive("", true)
		if n := b.stream.Info.Upstream.Bytes.Sent; n != uint64(len(c.Output)) {
			t.Errorf("counted %d", n)
		}
	}
}
