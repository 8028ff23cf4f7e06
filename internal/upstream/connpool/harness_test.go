package connpool

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h1"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
	"github.com/nuncio-proxy/nuncio/internal/l7/keepalive"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

const workers = 3

// metrics hands out metrics that belong to no store, and remembers them by name.
type metrics struct {
	counters map[string]*stats.Counter
	gauges   map[string]*stats.Gauge
	recorded map[string]*recorder
}

func cells() []*atomic.Uint64 {
	c := make([]*atomic.Uint64, workers+1)
	for i := range c {
		c[i] = new(atomic.Uint64)
	}
	return c
}

type recorder struct{ values []uint64 }

func (r *recorder) Record(_ int, v uint64) { r.values = append(r.values, v) }

// newStats makes the metrics of the fields of upstream.Stats that the pool writes.
func newStats(m *metrics) *upstream.Stats {
	s := &upstream.Stats{}
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch v.Field(i).Interface().(type) {
		case *stats.Counter:
			m.counters[name] = stats.NewCounter(cells())
			v.Field(i).Set(reflect.ValueOf(m.counters[name]))
		case *stats.Gauge:
			m.gauges[name] = stats.NewGauge(cells())
			v.Field(i).Set(reflect.ValueOf(m.gauges[name]))
		}
	}
	for name, h := range map[string]*stats.Histogram{"UpstreamCxConnectMs": &s.UpstreamCxConnectMs,
		"UpstreamCxLengthMs": &s.UpstreamCxLengthMs, "UpstreamRqPerCx": &s.UpstreamRqPerCx} {
		m.recorded[name] = &recorder{}
		*h = m.recorded[name]
	}
	return s
}

// fakeWorker is a fake loop with a shard of its own.
type fakeWorker struct {
	*loop.Fake
	shard int
}

func (w *fakeWorker) Shard() int { return w.shard }

// limits are the parameters of a test.
type limits struct {
	connections, pending, requests, perHost int64
	perConnection                           uint32
	idle, duration                          time.Duration
	internal                                bool // the host is an internal listener
	protocol                                Protocol
	streams                                 uint32              // of HTTP/2 at a time; 0 for the default
	keepAlive                               *keepalive.Settings // of HTTP/2
	preconnect                              float64
	ineligible                              bool // the host gets no connections ahead
}

func defaultLimits() limits {
	return limits{connections: 100, pending: 100, requests: 100, perHost: 1 << 40, idle: time.Hour}
}

// harness is a pool with fake workers and fake connections.
type harness struct {
	log       func(format string, args ...any)
	metrics   metrics
	workers   [workers]*fakeWorker
	held      [workers]bool // loops that do not run
	quiet     bool          // connections forget what is sent
	resources upstream.Resources
	host      *host.Host
	pool      *Pools
	conns     []*fakeConn
	requests  map[string]*request
}

func newHarness(l limits, log func(string, ...any)) *harness {
	h := &harness{log: log, requests: map[string]*request{}}
	h.metrics = metrics{map[string]*stats.Counter{}, map[string]*stats.Gauge{}, map[string]*recorder{}}
	for i := range h.workers {
		h.workers[i] = &fakeWorker{loop.New(uint64(i)), i}
	}
	gauge := func(name string) *stats.Gauge {
		h.metrics.gauges[name] = stats.NewGauge(cells())
		return h.metrics.gauges[name]
	}
	h.resources.Connections.Init(l.connections, gauge("cx_open"), nil)
	h.resources.PendingRequests.Init(l.pending, gauge("rq_pending_open"), nil)
	h.resources.Requests.Init(l.requests, gauge("rq_open"), nil)
	to := address.FromAddrPort(netip.MustParseAddrPort("10.0.0.1:80"))
	if l.internal {
		to = address.Internal("listener", "")
	}
	h.host = host.New(host.Config{Address: to})
	settings, settings2 := h1.ClientDefaults(), h2.ClientDefaults()
	if l.streams > 0 {
		settings2.MaxConcurrentStreams = l.streams
	}
	stats2 := newHTTP2Stats(&h.metrics)
	h.metrics.counters["skipped"] = stats.NewCounter(cells())
	ahead := Preconnect{Ratio: l.preconnect, Skipped: h.metrics.counters["skipped"], Eligible: func(*host.Host) bool { return !l.ineligible }}
	h.pool = New(&Config{
		Preconnect: ahead,
		Dial:       h.dial, HTTP1: &settings, IdleTimeout: l.idle,
		Protocol: l.protocol, HTTP2: &settings2, HTTP2Stats: func() *h2.Stats { return stats2 }, KeepAlive: l.keepAlive,
		TransportKey: func(_ transport.Host, o *transport.Options) string { return o.ServerName }, MaxConnectionDuration: l.duration,
		MaxRequestsPerConnection: l.perConnection, MaxConnectionsPerHost: [2]int64{l.perHost, l.perHost},
		Stats: newStats(&h.metrics), Bytes: &network.ConnectionStats{}, Shards: workers,
	}, h.host, upstream.Default, &h.resources)
	return h
}

// run turns the loops that are not held until nothing happens.
func (h *harness) run() {
	for range 6 {
		for i, w := range h.workers {
			if !h.held[i] {
				w.Run()
			}
		}
	}
}

func (h *harness) advance(d time.Duration) {
	for _, w := range h.workers {
		w.Advance(d)
	}
}

// fakeConn is a connection whose peer is the test.
type fakeConn struct {
	network.ClientConnection // what the pool does not use is not there
	h                        *harness
	id                       int
	d                        event.Dispatcher
	info                     streaminfo.Connection
	state                    network.State
	attached                 bool
	timedOut                 bool
	callbacks                []network.Callbacks
	filter                   network.ReadFilter
	disabled                 int
	replies                  int
	sent                     string
	in                       buffer.Buffer
	name, offered            string     // SNI and ALPN
	peer                     *http2Peer // nil if the connection does not speak HTTP/2
}

func (h *harness) dial(d event.Dispatcher, to transport.Host, o *transport.Options) Conn {
	c := &fakeConn{h: h, id: len(h.conns) + 1, d: d, attached: true}
	if o != nil {
		c.name, c.offered = o.ServerName, strings.Join(o.ALPNFallback, ",")
	}
	c.in.Init(d.Buffers())
	c.info.Remote = to.Address()
	h.conns = append(h.conns, c)
	h.log("c%d dialled by worker %d", c.id, d.Shard())
	return c
}

func (c *fakeConn) ID() uint64                            { return uint64(c.id) }
func (c *fakeConn) Info() *streaminfo.Connection          { return &c.info }
func (c *fakeConn) State() network.State                  { return c.state }
func (c *fakeConn) SetStats(*network.ConnectionStats)     {}
func (c *fakeConn) SetDelayedCloseTimeout(time.Duration)  {}
func (c *fakeConn) AddCallbacks(cb network.Callbacks)     { c.callbacks = append(c.callbacks, cb) }
func (c *fakeConn) AddReadFilter(f network.ReadFilter)    { c.filter = f }
func (c *fakeConn) TransportFailure() string              { return c.info.TransportFailure }
func (c *fakeConn) TimedOut() bool                        { return c.timedOut }
func (c *fakeConn) Close(_ network.CloseType, why string) { c.end(network.LocalClose, why) }

func (c *fakeConn) ReadDisable(disable bool) {
	if disable {
		c.disabled++
		return
	}
	c.disabled--
	c.d.Post(func() { c.deliver("") })
}

func (c *fakeConn) Write(data *buffer.Buffer, _ bool) {
	switch {
	case c.state != network.Open || c.h.quiet:
	case c.peer != nil:
		c.peer.receive(data.String())
	default:
		c.sent += data.String()
		if strings.HasPrefix(c.sent, preface) {
			c.peer = &http2Peer{c: c}
			c.peer.receive(c.sent[len(preface):])
			c.sent = ""
		}
	}
	data.Drain(data.Len())
}

func (c *fakeConn) Detach() bool {
	if c.state != network.Open || !c.attached {
		return false
	}
	c.attached = false
	return true
}

func (c *fakeConn) Attach(d event.Dispatcher) error {
	c.h.log("c%d moved from worker %d to %d", c.id, c.d.Shard(), d.Shard())
	c.d, c.attached = d, true
	c.in.Init(d.Buffers())
	return nil
}

// end closes the connection, from either side.
func (c *fakeConn) end(e network.Event, why string) {
	if c.state == network.Closed {
		return
	}
	side := "remotely"
	if e == network.LocalClose {
		side = "locally"
	}
	c.h.log("c%d closed %s", c.id, strings.TrimSpace(side+" "+why))
	c.state = network.Closed
	for _, cb := range c.callbacks {
		cb.OnEvent(e)
	}
	c.in.Reset()
	for _, r := range c.h.requests {
		if r.on == c && r.outcome == "" && r.responded {
			r.end("done before the request was")
		}
	}
}

func (c *fakeConn) connected() {
	c.state = network.Open
	for _, cb := range c.callbacks {
		cb.OnEvent(network.Connected)
	}
}

func (c *fakeConn) refused() {
	c.info.TransportFailure = "delayed connect error: Connection refused"
	c.end(network.RemoteClose, "")
}

func (c *fakeConn) timeout() {
	c.timedOut = true
	c.end(network.LocalClose, "")
}

// deliver makes the peer send something.
func (c *fakeConn) deliver(text string) {
	c.in.AppendString(text)
	if c.disabled == 0 && c.state == network.Open && c.in.Len() > 0 {
		c.filter.OnData(&c.in, false)
	}
}

// usable reports whether the test may play the peer: the worker is not held.
func (c *fakeConn) usable(s network.State) bool {
	return c.state == s && c.attached && !c.h.held[c.d.Shard()]
}

// request is the user of a stream or connection.
type request struct {
	h         *harness
	name      string
	on        *fakeConn
	body      bool // a body follows the headers
	cancel    upstream.Cancel
	stream    upstream.RequestStream
	conn      network.ClientConnection
	headers   httpmsg.Headers
	outcome   string // how it ended, "" while it is under way
	responded bool
	sent      bool
}

// request asks for a stream, or for a connection. The client may speak HTTP/2 ("h2"),
// and the request may ask for a name of the server ("sni=NAME").
func (h *harness) request(worker int, name string, body, isTCP bool, as ...string) {
	pick := &upstream.Pick{}
	for _, a := range as {
		if sni, ok := strings.CutPrefix(a, "sni="); ok {
			pick.Transport = &transport.Options{ServerName: sni}
		} else {
			pick.Downstream = &streaminfo.Connection{Version: httpmsg.HTTP2, HasVersion: true}
		}
	}
	r := &request{h: h, name: name, body: body}
	h.requests[name] = r
	var cancel upstream.Cancel
	if isTCP {
		cancel = h.pool.NewConnection(h.workers[worker], pick, r)
	} else {
		cancel = h.pool.NewStream(h.workers[worker], pick, r, r)
	}
	if r.outcome == "" && r.stream == nil && r.conn == nil {
		r.cancel = cancel
		h.log("%s waits", name)
	}
}

func (r *request) end(outcome string) {
	r.h.log("%s %s", r.name, outcome)
	if r.outcome != "" {
		panic(r.name + " ended twice: " + r.outcome + ", " + outcome)
	}
	r.outcome, r.stream, r.cancel = outcome, nil, nil
}

func (r *request) OnStreamReady(s upstream.RequestStream, _ upstream.Host) {
	r.stream, r.cancel = s, nil
	c := s.Connection()
	r.on = r.h.conns[c.ID-1]
	r.h.log("%s has c%d reused=%v", r.name, c.ID, c.Reused)
	if c.ConnectStart.IsZero() || c.ConnectEnd.Before(c.ConnectStart) {
		r.h.log("%s: connected from %v to %v", r.name, c.ConnectStart, c.ConnectEnd)
	}
	var q httpmsg.Headers
	q.AddID(httpmsg.Method, "GET")
	q.AddID(httpmsg.Path, "/"+r.name)
	q.AddID(httpmsg.Authority, "x")
	r.sent = !r.body
	if err := s.EncodeHeaders(&q, !r.body); err != nil {
		panic(err)
	}
}

var failures = [...]string{"no healthy host", "overflow", "local failure", "remote failure", "timeout"}

func (r *request) OnStreamFailure(f upstream.PoolFailure, reason string, _ upstream.Host) {
	r.end(fmt.Sprintf("failed: %s (%s)", failures[f], reason))
}

func (r *request) OnConnectionReady(c network.ClientConnection, _ upstream.Host) {
	r.h.log("%s has c%d", r.name, c.ID())
	r.conn, r.cancel = c, nil
	c.AddCallbacks(r)
}

func (r *request) OnConnectionFailure(f upstream.PoolFailure, reason string, h upstream.Host) {
	r.OnStreamFailure(f, reason, h)
}

func (r *request) OnEvent(network.Event) { r.end("over") }

func (r *request) finish() {
	var b buffer.Buffer
	r.sent = true
	s := r.stream
	if r.responded {
		r.end("done")
	}
	s.EncodeData(&b, true)
}

func (r *request) reset() {
	s := r.stream
	r.end("gave up")
	s.Reset(httpmsg.ResetLocalReset)
}

func (r *request) ResponseHeaders() *httpmsg.Headers { r.headers.Reset(); return &r.headers }
func (r *request) OnInterim()                        { r.h.log("%s interim", r.name) }

func (r *request) OnHeaders(end bool) {
	r.h.log("%s headers %d", r.name, r.headers.StatusCode())
	r.complete(end)
}

func (r *request) OnData(data *buffer.Buffer, end bool) {
	if data.Len() > 0 {
		r.h.log("%s data %q", r.name, data.String())
	}
	data.Drain(data.Len())
	r.complete(end)
}

func (r *request) OnTrailers(*httpmsg.Headers) { r.complete(true) }

func (r *request) complete(end bool) {
	r.responded = end
	if end && r.sent {
		r.end("done")
	}
}

func (r *request) OnReset(reason httpmsg.ResetReason, _ string) { r.end("reset: " + reason.String()) }
func (r *request) OnWriteBufferHigh()                           { r.h.log("%s high", r.name) }
func (r *request) OnWriteBufferLow()                            { r.h.log("%s low", r.name) }

// nonZero lists the metrics that are not zero.
func (h *harness) nonZero() []string {
	var lines []string
	for name, c := range h.metrics.counters {
		if c.Value() > 0 {
			lines = append(lines, fmt.Sprintf("%s %d", name, c.Value()))
		}
	}
	for name, g := range h.metrics.gauges {
		if g.Value() > 0 {
			lines = append(lines, fmt.Sprintf("%s %d", name, g.Value()))
		}
	}
	for name, r := range h.metrics.recorded {
		if len(r.values) > 0 {
			lines = append(lines, fmt.Sprintf("%s %v", name, r.values))
		}
	}
	slices.Sort(lines)
	return lines
}
