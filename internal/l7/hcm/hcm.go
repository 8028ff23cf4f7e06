// Package hcm is the HTTP connection manager: the network filter that turns the
// bytes of a downstream connection into requests, takes them through the HTTP
// filters and sends the responses back.
//
// A manager serves one connection, a stream one request and its response, a path
// one of the two through the filters. All of them live on the worker of the
// connection. Streams are recycled with their filters, so that a request in steady
// state allocates only its header blocks.
package hcm

import (
	"errors"
	"net/http"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/why"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
)

// drainState says how far a connection is on its way to its end.
type drainState uint8

const (
	notDraining drainState = iota
	// draining: the peer was told; new requests are still served until the drain
	// timeout (HTTP/1 goes to closing at once).
	draining
	// closing: no request is served any more; the connection ends with the last stream.
	closing
)

// A manager serves one downstream connection.
type manager struct {
	cfg   *config
	w     *worker
	conn  network.Connection
	reads network.ReadCallbacks
	d     event.Dispatcher
	shard int

	codec serverCodec   // nil until the first bytes
	http2 *http2        // nil if the codec is another one
	out   buffer.Buffer // what the codec encoded and the connection has not taken
	// streams is the list of open streams, newest first.
	streams  *stream
	active   int
	requests int // streams so far
	drain    drainState
	// softDrain is set when the next request is the last one.
	softDrain bool
	// expected is set when the last stream was planned to be the last, and its request is
	// complete: the connection is closed without a delay.
	expected bool
	// dispatching is set while the codec reads: it must not lose its connection then.
	dispatching bool
	closed      bool
	clientCert  clientCertElement // of the last request that told it

	idle, maxDuration event.Timer // nil when there is no such timeout
	drainTimer        event.Timer // nil until the connection drains
}

// worker is what the managers of one worker share. It belongs to that worker.
type worker struct {
	free  []*stream
	http2 h2.Streams // of the codecs of HTTP/2
	// ended holds streams that are recycled at the end of the turn.
	ended   []*stream
	recycle func()
	// date is the value of the date header, made once a second.
	date     string
	dateUnix int64
	// answer is what the recorder of answers is told, used again for each.
	answer why.Answer
}

// maxFreeStreams bounds the streams that a worker keeps for later.
const maxFreeStreams = 1024

func (w *worker) dateHeader(now time.Time) string {
	if unix := now.Unix(); unix != w.dateUnix || w.date == "" {
		w.dateUnix, w.date = unix, now.UTC().Format(http.TimeFormat)
	}
	return w.date
}

func (w *worker) recycleEnded() {
	for i, s := range w.ended {
		w.ended[i] = nil
		s.explain()
		if s.reset() && len(w.free) < maxFreeStreams {
			w.free = append(w.free, s)
		}
	}
	w.ended = w.ended[:0]
}

// newManager builds the connection manager of c.
func newManager(cfg *config, c network.Connection) *manager {
	d := c.Dispatcher()
	m := &manager{cfg: cfg, w: cfg.workers[d.Shard()], conn: c, d: d, shard: d.Shard()}
	m.out.Init(d.Buffers())
	return m
}

var (
	_ network.ReadFilter    = (*manager)(nil)
	_ network.IdleCloser    = (*manager)(nil)
	_ network.Callbacks     = (*manager)(nil)
	_ codec.ServerCallbacks = (*manager)(nil)
)

// InitializeRead implements network.ReadFilter.
func (m *manager) InitializeRead(cb network.ReadCallbacks) {
	m.reads = cb
	m.conn.AddCallbacks(m)
	m.conn.SetDelayedCloseTimeout(m.cfg.delayedCloseTimeout)
	m.conn.SetStats(&m.cfg.connStats)
	st := m.cfg.stats
	st.cxTotal.Inc(m.shard)
	st.cxActive.Inc(m.shard)
	if m.conn.Info().Secure {
		st.cxSSLTotal.Inc(m.shard)
		st.cxSSLActive.Inc(m.shard)
	}
	if m.cfg.idleTimeout > 0 {
		m.idle = m.d.NewTimer(m.onIdleTimeout)
		m.idle.Enable(m.cfg.idleTimeout)
	}
	if m.cfg.maxConnectionDuration > 0 {
		m.maxDuration = m.d.NewTimer(m.onMaxDuration)
		m.maxDuration.Enable(m.cfg.maxConnectionDuration + m.upTo(m.cfg.maxConnectionJitter))
	}
}

// OnNewConnection implements network.ReadFilter.
func (m *manager) OnNewConnection() network.FilterStatus { return network.Continue }

// OnData implements network.ReadFilter.
func (m *manager) OnData(data *buffer.Buffer, _ bool) network.FilterStatus {
	if m.codec == nil && !m.chooseCodec(data) {
		return network.StopIteration
	}
	m.dispatch(data)
	return network.StopIteration
}

// dispatch lets the codec read.
func (m *manager) dispatch(data *buffer.Buffer) {
	m.dispatching = true
	err := m.codec.Dispatch(data) // even if it takes nothing: it stops the reading then
	for err == nil && data.Len() > 0 && m.codec.WantsRead() && !m.closed {
		err = m.codec.Dispatch(data)
	}
	m.dispatching = false
	if err != nil {
		m.protocolError(err)
		return
	}
	m.flush()
	m.closeIfDone()
}

// protocolError ends the connection after bytes that are no HTTP. The answer has
// been sent by the stream's OnProtocolError.
func (m *manager) protocolError(err error) {
	st, details := m.cfg.stats, detailsOf(err)
	if !isFlood(err) {
		st.cxProtocolError.Inc(m.shard)
	}
	if m.active > 0 {
		st.cxDestroyActiveRq.Inc(m.shard)
		st.cxDestroyLocalActiveRq.Inc(m.shard)
	}
	m.cfg.log.Debugf("[Cx%d] protocol error: %v", m.conn.ID(), err)
	m.conn.Stream().Flags |= streaminfo.DownstreamProtocolError
	m.drain = closing
	for m.streams != nil {
		s := m.streams
		s.info.Flags |= streaminfo.DownstreamProtocolError
		if s.info.ResponseDetails == "" {
			s.info.ResponseDetails = details
		}
		s.finish()
	}
	if m.http2 != nil {
		m.http2.OnClose(httpmsg.ResetProtocolError) // it must forget the streams before they serve others
	}
	m.flush()
	if m.http2 != nil && m.http2.abused {
		m.close(network.Abort, details)
		return
	}
	m.close(network.FlushWriteAndDelay, "codec error")
}

// isFlood reports whether a codec's error says that the client sent, or left, too much.
func isFlood(err error) bool {
	var e *codec.Error
	return errors.As(err, &e) && e.Flood
}

// detailsOf returns the response code details that a codec's error stands for.
func detailsOf(err error) string {
	var e *codec.Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return ""
}

// NewStream implements codec.ServerCallbacks.
func (m *manager) NewStream(enc codec.ResponseEncoder) codec.RequestDecoder {
	s := m.newStream()
	s.begin(m, enc)
	return s.codecSide
}

// newStream returns a stream that serves nobody.
func (m *manager) newStream() *stream {
	n := len(m.w.free)
	if n == 0 {
		return newStream(m)
	}
	s := m.w.free[n-1]
	m.w.free = m.w.free[:n-1]
	return s
}

// link and unlink keep the list of open streams.
func (m *manager) link(s *stream) {
	s.next = m.streams
	if s.next != nil {
		s.next.prev = s
	}
	m.streams = s
	m.active++
	m.requests++
	if m.idle != nil {
		m.idle.Disable()
	}
}

func (m *manager) unlink(s *stream) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		m.streams = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
	m.active--
}

// streamEnded is called when a stream has left the list.
func (m *manager) streamEnded() {
	if m.active == 0 && m.idle != nil && !m.closed {
		m.idle.Enable(m.cfg.idleTimeout)
	}
}

// flush gives the encoded output to the connection.
func (m *manager) flush() {
	if m.out.Len() > 0 {
		m.conn.Write(&m.out, false)
	}
}

// closeIfDone closes a connection that serves no further request, when its last
// stream has ended. While the codec reads, OnData calls again afterwards.
func (m *manager) closeIfDone() {
	if !m.busy() && !m.dispatching && !m.closed && (m.drain == closing || m.codec != nil && !m.codec.Reusable()) {
		how := network.FlushWriteAndDelay
		if (m.expected || m.codec != nil && m.codec.Awaited()) && !m.conn.Info().Secure {
			how = network.FlushWrite
		}
		m.close(how, "deferred_close_on_drained_connection")
	}
}

// busy reports whether a request is under way, or a response on its way to the client.
func (m *manager) busy() bool { return m.active > 0 || m.http2 != nil && m.http2.Active() > 0 }

func (m *manager) close(t network.CloseType, details string) {
	if m.closed {
		return
	}
	m.flush()
	m.conn.Close(t, details)
}

// CloseIfIdle implements network.IdleCloser.
func (m *manager) CloseIfIdle() {
	if !m.busy() && !m.dispatching {
		m.close(network.FlushWrite, "drained_idle_connection")
	}
}

// endKeepAlive makes the response that is sent next the last one of an HTTP/1
// connection. The streams of HTTP/2 end one by one.
func (m *manager) endKeepAlive() {
	if m.http2 == nil {
		m.startDrain()
	}
}

// startDrain stops the serving of further requests; in HTTP/1 the response that is
// sent next says so, in HTTP/2 a GOAWAY.
func (m *manager) startDrain() {
	if m.drain != closing {
		m.drain = closing
		if m.codec != nil {
			m.codec.GoAway()
		}
	}
}

func (m *manager) onIdleTimeout() {
	m.cfg.stats.cxIdleTimeout.Inc(m.shard)
	m.beginDrain("on_idle_timeout")
}

func (m *manager) onMaxDuration() {
	m.cfg.stats.cxMaxDurationReached.Inc(m.shard)
	if m.cfg.http1SafeMaxDuration && m.codec != nil && m.http2 == nil {
		if m.drain == notDraining {
			m.softDrain = true
			m.cfg.stats.cxSoftDrain.Inc(m.shard)
		}
		return
	}
	m.beginDrain("max_connection_duration_reached")
}

// upTo returns a random part of d.
func (m *manager) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(m.d.Random() % uint64(d))
}

// beginDrain ends a connection without cutting a request that is on its way: in
// HTTP/1 the next response says that the connection closes, in HTTP/2 a GOAWAY asks for
// no further requests; then it is closed after the drain timeout.
func (m *manager) beginDrain(details string) {
	if m.codec == nil {
		m.close(network.FlushWrite, details)
		return
	}
	if m.drain == notDraining {
		m.drain = draining
		if m.http2 != nil {
			m.http2.ShutdownNotice()
			m.flush()
		}
		m.drainTimer = m.d.NewTimer(func() {
			m.startDrain()
			m.flush()
			m.closeIfDone()
		})
		m.drainTimer.Enable(m.cfg.drainTimeout + m.upTo(m.cfg.drainJitter))
	}
}

// OnEvent implements network.Callbacks.
func (m *manager) OnEvent(e network.Event) {
	if e == network.Connected || m.closed {
		return
	}
	m.closed = true
	m.countClose(e)
	details := "downstream_remote_disconnect"
	if e == network.LocalClose {
		details = "downstream_local_disconnect(" + m.conn.Info().LocalCloseReason + ")"
	}
	for m.streams != nil {
		m.streams.connectionClosed(streaminfo.DownstreamConnectionTermination, details)
	}
	if m.idle != nil {
		m.idle.Disable()
	}
	if m.maxDuration != nil {
		m.maxDuration.Disable()
	}
	if m.drainTimer != nil {
		m.drainTimer.Disable()
	}
	if m.http2 != nil {
		m.http2.keepAlive.Stop()
	}
	if m.codec != nil {
		m.codec.OnClose(httpmsg.ResetConnectionTermination)
	}
	m.out.Drain(m.out.Len())
}

func (m *manager) countClose(e network.Event) {
	st := m.cfg.stats
	st.cxDestroy.Inc(m.shard)
	st.cxActive.Dec(m.shard)
	if m.conn.Info().Secure {
		st.cxSSLActive.Dec(m.shard)
	}
	switch {
	case m.http2 != nil:
		st.cxHTTP2Active.Dec(m.shard)
	case m.codec != nil:
		st.cxHTTP1Active.Dec(m.shard)
	}
	if m.softDrain {
		st.cxSoftDrain.Dec(m.shard)
	}
	if e == network.LocalClose {
		st.cxDestroyLocal.Inc(m.shard)
	} else {
		st.cxDestroyRemote.Inc(m.shard)
	}
	if m.active > 0 { // whoever closed: an error of the client ends its requests first
		st.cxDestroyActiveRq.Inc(m.shard)
		st.cxDestroyRemoteActiveRq.Inc(m.shard)
	}
	st.cxLengthMs.Record(m.shard, uint64(m.d.Now().Sub(m.conn.Info().Accepted).Milliseconds()))
}

// OnWriteBufferHigh implements network.Callbacks.
func (m *manager) OnWriteBufferHigh() {
	if m.codec != nil {
		m.codec.OnWriteBufferHigh()
	}
}

// OnWriteBufferLow implements network.Callbacks.
func (m *manager) OnWriteBufferLow() {
	if m.codec != nil {
		m.codec.OnWriteBufferLow()
		m.flush()
		m.closeIfDone() // a response that waited may have been the last
	}
}
