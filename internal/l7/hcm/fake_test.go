package hcm

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h1"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// fakeConn is a connection without a socket: what is written collects in sent.
type fakeConn struct {
	loop      *loop.Fake
	info      streaminfo.Connection
	stream    streaminfo.Stream
	callbacks []network.Callbacks
	reader    network.ReadFilter
	in        buffer.Buffer
	sent      strings.Builder
	disabled  int
	closed    string // type and details
	state     network.State
}

func newFakeConn(l *loop.Fake) *fakeConn {
	c := &fakeConn{loop: l, state: network.Open}
	c.in.Init(l.Buffers())
	c.info.Remote = address.FromAddrPort(netip.MustParseAddrPort("192.0.2.1:4000"))
	c.info.Local = address.FromAddrPort(netip.MustParseAddrPort("192.0.2.9:80"))
	c.info.DirectRemote = c.info.Remote
	c.info.Accepted = l.Now()
	return c
}

func (c *fakeConn) ID() uint64                           { return 1 }
func (c *fakeConn) Dispatcher() event.Dispatcher         { return c.loop }
func (c *fakeConn) Info() *streaminfo.Connection         { return &c.info }
func (c *fakeConn) Stream() *streaminfo.Stream           { return &c.stream }
func (c *fakeConn) State() network.State                 { return c.state }
func (c *fakeConn) EnableHalfClose(bool)                 {}
func (c *fakeConn) AddCallbacks(cb network.Callbacks)    { c.callbacks = append(c.callbacks, cb) }
func (c *fakeConn) RemoveCallbacks(network.Callbacks)    {}
func (c *fakeConn) SetDelayedCloseTimeout(time.Duration) {}
func (c *fakeConn) SetStats(*network.ConnectionStats)    {}
func (c *fakeConn) AboveHighWatermark() bool             { return false }
func (c *fakeConn) BufferLimit() int                     { return 1000 }
func (c *fakeConn) Unsent() int                          { return 0 }
func (c *fakeConn) TransportFailure() string             { return "" }
func (c *fakeConn) Connection() network.Connection       { return c }
func (c *fakeConn) ContinueReading()                     {}
func (c *fakeConn) InjectRead(*buffer.Buffer, bool)      {}
func (c *fakeConn) Upstream() *network.UpstreamChoice    { return new(network.UpstreamChoice) }
func (c *fakeConn) AddReadFilter(f network.ReadFilter)   { c.reader = f }
func (c *fakeConn) AddWriteFilter(network.WriteFilter)   {}
func (c *fakeConn) AddFilter(network.Filter)             {}

func (c *fakeConn) Write(data *buffer.Buffer, _ bool) {
	if c.state == network.Open {
		c.sent.WriteString(data.String())
	}
	data.Drain(data.Len())
}

func (c *fakeConn) Close(t network.CloseType, details string) {
	if c.state != network.Open {
		return
	}
	c.state, c.info.LocalCloseReason = network.Closed, details
	c.closed = fmt.Sprintf("%d %s", t, details)
	c.raise(network.LocalClose)
}

func (c *fakeConn) raise(e network.Event) {
	for _, cb := range c.callbacks {
		cb.OnEvent(e)
	}
}

// remoteClose is what the connection does when the client goes away.
func (c *fakeConn) remoteClose() {
	c.state = network.Closed
	c.raise(network.RemoteClose)
}

func (c *fakeConn) ReadDisable(disable bool) {
	if disable {
		c.disabled++
		return
	}
	if c.disabled--; c.disabled == 0 {
		c.loop.Post(c.deliver)
	}
}

func (c *fakeConn) deliver() {
	if c.disabled == 0 && c.in.Len() > 0 && c.state == network.Open {
		c.reader.OnData(&c.in, false)
	}
}

// receive takes bytes from the client.
func (c *fakeConn) receive(s string) {
	c.in.AppendString(s)
	c.deliver()
	c.loop.Run()
}

// fixedTable has one route for everything.
type fixedTable struct {
	r        *route.Route
	internal []string
}

func (t fixedTable) Name() string { return "fixed" }
func (t fixedTable) Match(*httpmsg.Headers, *streaminfo.Stream, uint64) *route.Route {
	return t.r
}

func (t fixedTable) Explain(*httpmsg.Headers, *streaminfo.Stream, uint64) *route.Explanation {
	return nil
}

// VirtualHost implements route.Table.
func (t fixedTable) VirtualHost(*httpmsg.Headers) *route.VirtualHost { return nil }

func (t fixedTable) InternalOnlyHeaders() []string { return t.internal }

// fakeIDs gives all requests the same id.
type fakeIDs struct{}

func (fakeIDs) SetRequestID(h *httpmsg.Headers, edge, keepExternal bool, _ event.Dispatcher) {
	if h.Get(httpmsg.XRequestID) == "" || edge && !keepExternal {
		h.Set(httpmsg.XRequestID, "ID")
	}
}

func (fakeIDs) SetInResponse(response, request *httpmsg.Headers) {
	response.Set(httpmsg.XRequestID, request.Get(httpmsg.XRequestID))
}

// noClusters is no cluster at all.
type noClusters struct{ upstream.Clusters }

func (noClusters) Get(string) upstream.Cluster { return nil }

// harness is a connection manager on a fake connection.
type harness struct {
	t     testing.TB
	loop  *loop.Fake
	cfg   *config
	conn  *fakeConn
	store *metrics.Scope
	log   []string // access log: code, flags, details
}

type quiet struct{}

func (quiet) Debugf(string, ...any) {}
func (quiet) Infof(string, ...any)  {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}

// Log implements accesslog.Logger.
func (h *harness) Log(e *format.Entry) {
	s := e.Stream
	h.log = append(h.log, fmt.Sprintf("%d %s %s", s.ResponseCode, s.Flags.Append(nil), s.ResponseDetails))
}

// newHarness builds a manager with these filters; change edits its configuration.
func newHarness(t testing.TB, change func(*config), filters ...httpfilter.Builder) *harness {
	t.Helper()
	h := &harness{t: t, loop: loop.New(1), store: metrics.New(1)}
	root := h.store
	w := new(worker)
	w.recycle = w.recycleEnded
	h.cfg = &config{
		timesRoutes: func() bool { return false },
		stats:       newConnStats(root.Scope("http.t."), root.Scope("listener.l.http.t.")),
		codecStats:  h1.NewStats(root), http1: h1.ServerDefaults(), log: quiet{}, workers: []*worker{w},
		routes: fixedTable{r: &route.Route{Forward: &route.Forward{Cluster: "c"}}}, accessLogs: []accesslog.Logger{h},
		drainTimeout: 5 * time.Second, idleTimeout: time.Hour, streamIdleTimeout: 5 * time.Minute, delayedCloseTimeout: time.Second,
		serverName: "envoy", generateRequestID: true, requestIDs: fakeIDs{}, clusters: noClusters{},
	}
	for i, f := range filters {
		h.cfg.filters = append(h.cfg.filters, filterConfig{name: fmt.Sprintf("f%d", i), build: f})
	}
	h.cfg.stats.openTracing(root.Scope("http.t."))
	if change != nil {
		change(h.cfg)
	}
	h.connect()
	return h
}

// connect opens another connection.
func (h *harness) connect() {
	h.conn = newFakeConn(h.loop)
	m := newManager(h.cfg, h.conn)
	h.conn.reader = m
	m.InitializeRead(h.conn)
	m.OnNewConnection()
}

// checkClean fails if the streams of the worker left anything behind.
func (h *harness) checkClean() {
	h.t.Helper()
	h.loop.Run()
	if n := h.loop.Buffers().InUse(); n != 0 {
		h.t.Errorf("%d buffers left", n)
	}
	if g := h.cfg.stats.rqActive.Value(); g != 0 {
		h.t.Errorf("downstream_rq_active is %d", g)
	}
	if h.conn.state == network.Closed && h.loop.ArmedTimers() != 0 {
		h.t.Errorf("%d timers left", h.loop.ArmedTimers())
	}
}
