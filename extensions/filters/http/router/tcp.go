package router

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/extensions/common/proxyheader"
)

// terminatesConnect reports whether the tunnel that a request asks for ends here: its
// bytes go to a TCP connection of their own. It may be a POST if the route says so.
func terminatesConnect(f *route.Forward, h *httpmsg.Headers) bool {
	c := connectOf(f)
	if c == nil {
		return false
	}
	method := h.Get(httpmsg.Method)
	return method == "CONNECT" || method == "POST" && c.AllowPost
}

// connectOf returns how the route terminates CONNECT, nil if it does not.
func connectOf(f *route.Forward) *route.Connect {
	for i := range f.Upgrades {
		if u := &f.Upgrades[i]; u.Connect != nil && u.Enabled {
			return u.Connect
		}
	}
	return nil
}

// proxyHeader returns what a connection begins with.
func (u *upstreamRequest) proxyHeader() []byte {
	down := u.f.cb.Connection().Info()
	switch connectOf(u.f.forward).ProxyHeader {
	case 1:
		return proxyheader.AppendVersion1(nil, down.Remote, down.Local)
	case 2:
		return proxyheader.AppendVersion2(nil, down.Remote, down.Local, nil)
	default:
		return nil
	}
}

// tcpCallbacks makes an upstream stream of the TCP connection that an attempt waits
// for.
type tcpCallbacks struct {
	u       *upstreamRequest
	handler upstream.ResponseHandler // of the stream
}

// OnConnectionReady implements upstream.ConnectionPoolCallbacks. The other side of
// the tunnel is answered for the server, which does not speak HTTP.
func (t *tcpCallbacks) OnConnectionReady(c network.ClientConnection, host upstream.Host) {
	s := &tcpStream{conn: c, handler: t.handler, header: t.u.proxyHeader()}
	s.in.Init(c.Dispatcher().Buffers())
	info := c.Info()
	s.info = upstream.StreamConnection{ID: info.ID, Local: info.Local, Remote: info.Remote}
	c.EnableHalfClose(true)
	c.AddReadFilter(s)
	c.AddCallbacks(s)
	t.u.OnStreamReady(s, host)
	if s.handler != nil {
		h := s.handler.ResponseHeaders()
		h.SetStatusCode(200)
		s.handler.OnHeaders(false)
	}
}

// OnConnectionFailure implements upstream.ConnectionPoolCallbacks.
func (t *tcpCallbacks) OnConnectionFailure(f upstream.PoolFailure, reason string, host upstream.Host) {
	t.u.OnStreamFailure(f, reason, host)
}

// A tcpStream is an upstream.RequestStream on a TCP connection, without headers and
// trailers.
type tcpStream struct {
	conn    network.ClientConnection
	handler upstream.ResponseHandler // nil once the stream is over
	info    upstream.StreamConnection
	header  []byte // precedes all
	// in holds what the handler is given: a close takes the connection's own buffer.
	in buffer.Buffer
	// sentEnd and gotEnd are the closed halves.
	sentEnd, gotEnd bool
}

var (
	_ upstream.RequestStream = (*tcpStream)(nil)
	_ network.ReadFilter     = (*tcpStream)(nil)
	_ network.Callbacks      = (*tcpStream)(nil)
)

// EncodeHeaders implements upstream.RequestStream, as do the methods that follow.
func (s *tcpStream) EncodeHeaders(_ *httpmsg.Headers, endStream bool) error {
	if len(s.header) > 0 || endStream {
		s.send(s.header, endStream)
	}
	return nil
}

// EncodeData sends a piece of the tunnel.
func (s *tcpStream) EncodeData(data *buffer.Buffer, endStream bool) {
	s.info.Meter.Sent += uint64(data.Len())
	s.conn.Write(data, endStream)
	s.sentEnd = endStream
	s.closeIfDone()
}

// EncodeTrailers ends the tunnel; the trailers are lost.
func (s *tcpStream) EncodeTrailers(*httpmsg.Headers) { s.send(nil, true) }

func (s *tcpStream) send(text []byte, endStream bool) {
	var out buffer.Buffer
	out.Init(s.conn.Dispatcher().Buffers())
	out.Append(text)
	s.EncodeData(&out, endStream)
}

// Reset closes the connection.
func (s *tcpStream) Reset(httpmsg.ResetReason) {
	s.handler = nil
	s.conn.Close(network.NoFlush, "router_reset")
}

// ReadDisable stops or resumes reading from the server.
func (s *tcpStream) ReadDisable(disable bool) {
	if s.conn.State() == network.Open {
		s.conn.ReadDisable(disable)
	}
}

// Connection describes the connection.
func (s *tcpStream) Connection() *upstream.StreamConnection { return &s.info }

// InitializeRead implements network.ReadFilter.
func (s *tcpStream) InitializeRead(network.ReadCallbacks) {}

// OnNewConnection implements network.ReadFilter.
func (s *tcpStream) OnNewConnection() network.FilterStatus { return network.Continue }

// OnData implements network.ReadFilter.
func (s *tcpStream) OnData(data *buffer.Buffer, endStream bool) network.FilterStatus {
	s.info.Meter.Received += uint64(data.Len())
	s.gotEnd = endStream
	s.in.Move(data)
	if s.handler != nil {
		s.handler.OnData(&s.in, endStream)
	}
	s.in.Drain(s.in.Len())
	s.closeIfDone()
	return network.StopIteration
}

// closeIfDone closes the connection when both halves are.
func (s *tcpStream) closeIfDone() {
	if s.gotEnd && s.sentEnd {
		s.handler = nil
		s.conn.Close(network.FlushWrite, "")
	}
}

// OnEvent implements network.Callbacks.
func (s *tcpStream) OnEvent(e network.Event) {
	h := s.handler
	if e == network.Connected || h == nil {
		return
	}
	s.handler = nil
	h.OnReset(httpmsg.ResetConnectionTermination, s.conn.TransportFailure())
}

// OnWriteBufferHigh implements network.Callbacks.
func (s *tcpStream) OnWriteBufferHigh() {
	if s.handler != nil {
		s.handler.OnWriteBufferHigh()
	}
}

// OnWriteBufferLow implements network.Callbacks.
func (s *tcpStream) OnWriteBufferLow() {
	if s.handler != nil {
		s.handler.OnWriteBufferLow()
	}
}
