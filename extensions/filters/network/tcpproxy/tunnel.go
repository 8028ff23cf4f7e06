package tcpproxy

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// Where response headers and trailers go in the filter state.
const (
	responseHeadersKey  = "envoy.tcp_proxy.propagate_response_headers"
	responseTrailersKey = "envoy.tcp_proxy.propagate_response_trailers"
)

// A tunnel is the upstream side of a filter whose bytes go through HTTP: it asks for a
// stream, sends a request on it, and carries bytes when that was answered.
type tunnel struct {
	filter            *filter
	request, response httpmsg.Headers
	stream            upstream.RequestStream // nil: none
	counted           streaminfo.Meter       // of the stream, what the stream info has
	open              bool                   // the answer was good
	high              bool                   // the stream takes no more
	sentEnd, gotEnd   bool
}

var (
	_ outlet                       = (*tunnel)(nil)
	_ upstream.StreamPoolCallbacks = (*tunnel)(nil)
	_ upstream.ResponseHandler     = (*tunnel)(nil)
)

// OnStreamFailure implements upstream.StreamPoolCallbacks.
func (t *tunnel) OnStreamFailure(why upstream.PoolFailure, reason string, host upstream.Host) {
	t.filter.failed(why, reason, host)
}

// OnStreamReady implements upstream.StreamPoolCallbacks.
func (t *tunnel) OnStreamReady(s upstream.RequestStream, host upstream.Host) {
	f, c := t.filter, s.Connection()
	f.pending, t.stream, t.counted, t.high = nil, s, streaminfo.Meter{}, false
	f.attempted(host)
	u := &f.stream.Upstream
	u.LocalAddress, u.ConnectionID, u.TLS = c.Local, c.ID, c.TLS
	u.ConnectStart, u.ConnectEnd, u.PoolReady = c.ConnectStart, c.ConnectEnd, f.down.Dispatcher().Now()
	scheme := "http"
	if c.TLS != nil {
		scheme = "https"
	}
	if h1, ok := s.(upstream.TunnelStream); ok {
		h1.EnableTunnel()
	}
	f.config.tunneling.fill(f, &t.request, scheme, c.Version >= httpmsg.HTTP2)
	if err := s.EncodeHeaders(&t.request, false); err != nil {
		t.fail(err.Error())
		return
	}
	t.measure()
}

// fail ends a request that has opened no tunnel.
func (t *tunnel) fail(reason string) {
	t.drop()
	t.filter.stream.Flags |= streaminfo.UpstreamConnectionFailure
	t.filter.attemptFailed(reason)
}

// drop ends the stream.
func (t *tunnel) drop() {
	if s := t.stream; s != nil {
		t.stream = nil
		if !(t.sentEnd && t.gotEnd) {
			s.Reset(httpmsg.ResetLocalReset)
			t.measureOf(s)
		}
	}
}

// giveUp ends a request that has no answer: the client is gone.
func (t *tunnel) giveUp() {
	if t.stream != nil {
		t.drop()
		t.filter.stream.Flags |= streaminfo.UpstreamConnectionFailure
	}
}

// measure adds the bytes on the wire to the stream info. As in Envoy they come on top of
// those that go through the tunnel.
func (t *tunnel) measure() {
	if t.stream != nil {
		t.measureOf(t.stream)
	}
}

func (t *tunnel) measureOf(s upstream.RequestStream) {
	if c := s.Connection(); c != nil {
		b := &t.filter.stream.Upstream.Bytes
		b.Sent += c.Meter.Sent - t.counted.Sent
		b.Received += c.Meter.Received - t.counted.Received
		t.counted = c.Meter
	}
}

// --- the response -----------------------------------------------------------------

// ResponseHeaders implements upstream.ResponseHandler, as do the methods that follow.
func (t *tunnel) ResponseHeaders() *httpmsg.Headers {
	t.response.Reset()
	return &t.response
}

// OnInterim does nothing: the answer follows.
func (t *tunnel) OnInterim() { t.measure() }

// OnHeaders opens the tunnel, or counts as a failed attempt to connect.
func (t *tunnel) OnHeaders(endStream bool) {
	f, status := t.filter, t.response.StatusCode()
	t.measure()
	if f.config.tunneling.propagateHeaders {
		f.down.Info().SetFilterState(responseHeadersKey, newPropagated(&t.response))
	}
	opened := status == 200
	if t.stream.Connection().Version < httpmsg.HTTP2 {
		opened = status/100 == 2
	}
	if !opened || endStream {
		t.fail("tunnel_response:" + strconv.Itoa(status))
		return
	}
	t.open = true
	f.connected(t)
}

// OnData passes bytes on to the client.
func (t *tunnel) OnData(data *buffer.Buffer, endStream bool) {
	t.measure()
	t.gotEnd = endStream
	t.filter.receive(data, endStream)
	t.endIfDone()
}

// OnTrailers ends what comes from the tunnel.
func (t *tunnel) OnTrailers(trailers *httpmsg.Headers) {
	f := t.filter
	if f.config.tunneling.propagateTrailers {
		f.down.Info().SetFilterState(responseTrailersKey, newPropagated(trailers))
	}
	var none buffer.Buffer
	none.Init(f.down.Dispatcher().Buffers())
	t.OnData(&none, true)
}

// OnReset ends the tunnel, or the attempt to open one.
func (t *tunnel) OnReset(reason httpmsg.ResetReason, transportFailure string) {
	t.measure()
	t.stream = nil
	if !t.open {
		t.fail(transportFailure)
		return
	}
	t.closed(reason == httpmsg.ResetRemoteReset)
}

// OnWriteBufferHigh stops reading from the client.
func (t *tunnel) OnWriteBufferHigh() {
	if t.open && !t.high {
		t.high = true
		t.filter.upstreamHigh()
	}
}

// OnWriteBufferLow goes on reading.
func (t *tunnel) OnWriteBufferLow() {
	if t.high {
		t.high = false
		t.filter.upstreamLow()
	}
}

// closed says that the tunnel is over.
func (t *tunnel) closed(reset bool) {
	f := t.filter
	f.up = nil
	if !f.downClosed {
		f.disconnected(reset)
	}
}

// endIfDone ends the tunnel when both directions have ended.
func (t *tunnel) endIfDone() {
	if t.sentEnd && t.gotEnd && t.stream != nil {
		t.stream = nil
		t.closed(false)
	}
}

// --- the request ------------------------------------------------------------------

// Write implements outlet.
func (t *tunnel) Write(data *buffer.Buffer, endStream bool) {
	if t.stream == nil {
		data.Drain(data.Len())
		return
	}
	s := t.stream
	t.sentEnd = endStream
	s.EncodeData(data, endStream)
	t.measureOf(s)
	t.endIfDone()
}

// Close implements outlet. Nothing is flushed: the stream is reset.
func (t *tunnel) Close(network.CloseType, string) {
	t.drop()
	t.filter.up = nil
}

// ReadDisable implements outlet.
func (t *tunnel) ReadDisable(disable bool) {
	if t.stream != nil && !t.gotEnd {
		t.stream.ReadDisable(disable)
	}
}

// propagated are headers or trailers in the filter state.
type propagated struct {
	Headers []propagatedField `json:"headers"`
}

type propagatedField struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// newPropagated copies h, which belongs to the stream.
func newPropagated(h *httpmsg.Headers) json.Marshaler {
	p := &propagated{Headers: []propagatedField{}}
	for _, f := range h.Fields() {
		p.Headers = append(p.Headers, propagatedField{strings.Clone(f.Name), strings.Clone(f.Value)})
	}
	return p
}

// MarshalJSON shows the fields in access logs.
func (p *propagated) MarshalJSON() ([]byte, error) {
	type plain propagated
	return json.Marshal((*plain)(p))
}
