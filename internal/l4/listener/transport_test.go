package listener

import (
	"io"
	"testing"
	"time"

	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/transport"
)

// rawFactory makes plain transports.
type rawFactory struct{}

func (rawFactory) Name() string          { return "envoy.transport_sockets.raw_buffer" }
func (rawFactory) Category() string      { return extension.DownstreamTransportSockets }
func (rawFactory) Config() proto.Message { return &rawbufferv3.RawBuffer{} }
func (rawFactory) Fields() []conf.Fields { return nil }
func (rawFactory) BuildDownstreamTransportSocket(proto.Message, extension.TransportSocketContext, conf.Path, *conf.Errors) transport.ServerFactory {
	return nil
}

// passwordFactory makes transports that are up when the peer has sent the password, and
// plain then.
type passwordFactory struct{ r *rig }

func (passwordFactory) Name() string          { return "password" }
func (passwordFactory) Category() string      { return extension.DownstreamTransportSockets }
func (passwordFactory) Config() proto.Message { return &wrapperspb.StringValue{} }
func (passwordFactory) Fields() []conf.Fields { return nil }
func (f passwordFactory) BuildDownstreamTransportSocket(msg proto.Message, ctx extension.TransportSocketContext, _ conf.Path, _ *conf.Errors) transport.ServerFactory {
	f.r.built++
	ctx.Closed(func() { f.r.built-- })
	return passwords(msg.(*wrapperspb.StringValue).GetValue())
}

type passwords string

func (p passwords) New() transport.Socket { return &password{left: string(p)} }
func (p passwords) Secure() bool          { return true }

type password struct {
	cb   transport.Callbacks
	left string // of the password
	bad  bool
}

func (p *password) Start(cb transport.Callbacks) bool { p.cb = cb; return false }
func (p *password) Read(into *buffer.Buffer, _ int) (n int, err error) {
	var b [1]byte
	for err == nil {
		var read int
		if read, err = p.cb.ReadRaw([][]byte{b[:]}); read == 0 {
			continue
		}
		if p.left == "" {
			into.Append(b[:])
			n++
		} else if p.left[0] != b[0] {
			p.bad = true
			return 0, transport.ErrFailed
		} else if p.left = p.left[1:]; p.left == "" {
			p.cb.Connected()
		}
	}
	return n, err
}
func (p *password) Write(from *buffer.Buffer, _ bool) (n int, err error) {
	if p.left != "" {
		return 0, transport.ErrAgain
	}
	for from.Len() > 0 && err == nil {
		var sent int
		sent, err = p.cb.WriteRaw([][]byte{from.Front()})
		from.Drain(sent)
		n += sent
	}
	return n, err
}
func (p *password) Unsent() int { return 0 }
func (p *password) Close(bool)  {}
func (p *password) Failure() string {
	if p.bad {
		return "wrong password"
	}
	return ""
}

const passwordSocket = `transport_socket_connect_timeout {seconds: 1}
	transport_socket {name: "password" typed_config {[type.googleapis.com/google.protobuf.StringValue] {value: "P\111NG me"}}}`

// TestTransportSocket: the bytes that listener filters have seen are the transport's; one
// that does not come up in time ends the connection.
func TestTransportSocket(t *testing.T) {
	r := newRig(t)
	a := r.add(`name: "l" address {ADDRESS} PING filter_chains {ECHO ` + passwordSocket + `}`)
	c := r.dial(a[0])
	io.WriteString(c, "PING")
	r.untilStat("listener.127.0.0.1_0.downstream_cx_active", 1)
	io.WriteString(c, " mehello")
	if got, err := r.receive(c, 5); got != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	slow := r.dial(a[0])
	io.WriteString(slow, "PING m")
	r.untilStat("listener.127.0.0.1_0.downstream_cx_active", 2)
	r.now = r.now.Add(1001 * time.Millisecond)
	r.untilStat("listener.127.0.0.1_0.downstream_cx_transport_socket_connect_timeout", 1)
	r.wantClosed(slow, false)
	wrong := r.dial(a[0])
	io.WriteString(wrong, "PING you")
	r.wantClosed(wrong, false)
	r.wantEcho(c, "still here")
}

// TestTransportSocketIsReleased: the transport of a filter chain that nobody uses any
// more is told so, that of one that stays is not.
func TestTransportSocketIsReleased(t *testing.T) {
	r := newRig(t)
	want := func(n int) {
		t.Helper()
		if r.built != n {
			t.Errorf("%d transports are in use, not %d", r.built, n)
		}
	}
	listener := func(chains string) string { return `name: "l" address {ADDRESS} ` + chains }
	kept := `filter_chains {name: "a" ECHO ` + passwordSocket + `}`
	r.add(listener(kept + `filter_chains {name: "b" filter_chain_match {source_type: EXTERNAL} ECHO ` + passwordSocket + `}`))
	want(2)
	r.add(listener(kept))
	want(2)
	r.now = r.now.Add(time.Minute)
	r.until("drained", func() bool { return r.built == 1 })
	if !r.manager.Remove("l") {
		t.Error("not removed")
	}
	r.now = r.now.Add(time.Minute)
	r.until("drained", func() bool { return r.built == 0 })
}
