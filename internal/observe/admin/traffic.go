package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// traffic counts admin's own connections and requests, as a connection manager with
// the stat_prefix "admin" on a listener of that name would.
type traffic struct {
	now func() time.Time

	// http.admin.
	cxTotal, cxHTTP1Total, cxDestroy, cxDestroyLocal, cxDestroyRemote, cxRxBytes, cxTxBytes *stats.Counter
	rqTotal, rqHTTP1Total, rqCompleted                                                      *stats.Counter
	rqClass                                                                                 [6]*stats.Counter // [2]: 2xx
	cxActive, cxHTTP1Active, rqActive                                                       *stats.Gauge
	cxLength, rqTime                                                                        stats.Histogram

	// listener.admin., in part the same again
	listener                           [2]listenerCounts // the second of its only worker, main
	listenerDestroy, listenerCompleted *stats.Counter
	listenerClass                      [6]*stats.Counter
	listenerCxLength                   stats.Histogram
}

// listenerCounts are listener.admin.downstream_cx_*.
type listenerCounts struct {
	total  *stats.Counter
	active *stats.Gauge
}

func newTraffic(root stats.Scope, now func() time.Time) *traffic {
	s, l := root.Scope("http.admin."), root.Scope("listener.admin.")
	worker, manager := l.Scope("main_thread."), l.Scope("http.admin.")
	t := &traffic{
		now:     now,
		cxTotal: s.Counter("downstream_cx_total"), cxHTTP1Total: s.Counter("downstream_cx_http1_total"),
		cxDestroy: s.Counter("downstream_cx_destroy"), cxDestroyLocal: s.Counter("downstream_cx_destroy_local"),
		cxDestroyRemote: s.Counter("downstream_cx_destroy_remote"),
		cxRxBytes:       s.Counter("downstream_cx_rx_bytes_total"), cxTxBytes: s.Counter("downstream_cx_tx_bytes_total"),
		rqTotal: s.Counter("downstream_rq_total"), rqHTTP1Total: s.Counter("downstream_rq_http1_total"),
		rqCompleted: s.Counter("downstream_rq_completed"),
		cxActive:    s.Gauge("downstream_cx_active"), cxHTTP1Active: s.Gauge("downstream_cx_http1_active"),
		rqActive: s.Gauge("downstream_rq_active"),
		cxLength: s.Histogram("downstream_cx_length_ms", stats.Milliseconds),
		rqTime:   s.Histogram("downstream_rq_time", stats.Milliseconds),

		listenerDestroy: l.Counter("downstream_cx_destroy"), listenerCompleted: manager.Counter("downstream_rq_completed"),
		listenerCxLength: l.Histogram("downstream_cx_length_ms", stats.Milliseconds),
	}
	for i, scope := range []stats.Scope{l, worker} {
		t.listener[i] = listenerCounts{scope.Counter("downstream_cx_total"), scope.Gauge("downstream_cx_active")}
	}
	for class := 1; class <= 5; class++ {
		name := "downstream_rq_" + string(rune('0'+class)) + "xx"
		t.rqClass[class], t.listenerClass[class] = s.Counter(name), manager.Counter(name)
	}
	return t
}

// begin counts a request, and the function that it returns its end.
func (t *traffic) begin(r *http.Request) (end func()) {
	start := t.now()
	if c, counted := r.Context().Value(connKey{}).(*conn); counted && !c.http1.Swap(true) {
		t.cxHTTP1Total.Inc(stats.Any)
		t.cxHTTP1Active.Inc(stats.Any)
	}
	t.rqTotal.Inc(stats.Any)
	t.rqHTTP1Total.Inc(stats.Any)
	t.rqActive.Inc(stats.Any)
	return func() {
		t.rqActive.Dec(stats.Any)
		t.rqTime.Record(stats.Any, milliseconds(t.now().Sub(start)))
	}
}

// answered counts an answer when its status is known: /stats shows its own.
func (t *traffic) answered(status int) {
	t.rqCompleted.Inc(stats.Any)
	t.listenerCompleted.Inc(stats.Any)
	if class := status / 100; class >= 1 && class <= 5 {
		t.rqClass[class].Inc(stats.Any)
		t.listenerClass[class].Inc(stats.Any)
	}
}

func milliseconds(d time.Duration) uint64 { return uint64(max(d.Milliseconds(), 0)) }

// countingListener counts the connections of a listener.
type countingListener struct {
	net.Listener
	traffic *traffic
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := l.traffic
	t.cxTotal.Inc(stats.Any)
	t.cxActive.Inc(stats.Any)
	for _, n := range t.listener {
		n.total.Inc(stats.Any)
		n.active.Inc(stats.Any)
	}
	return &conn{Conn: c, traffic: t, start: t.now()}, nil
}

// A conn counts what goes over it and how it ends. net/http reads it on one goroutine
// at a time and closes it from any, also twice.
type conn struct {
	net.Conn
	traffic *traffic
	start   time.Time
	http1   atomic.Bool // a request was read
	remote  atomic.Bool // the client ended it
	closed  atomic.Bool
}

type connKey struct{}

// withConn is the http.Server's ConnContext: handlers find their connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.traffic.cxRxBytes.Add(stats.Any, uint64(n))
	var timeout net.Error
	if err != nil && !errors.Is(err, net.ErrClosed) && !(errors.As(err, &timeout) && timeout.Timeout()) {
		c.remote.Store(true)
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.traffic.cxTxBytes.Add(stats.Any, uint64(n))
	return n, err
}

// CloseWrite lets net/http end a connection without losing its last bytes.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return c.Conn.Close()
	}
	t := c.traffic
	t.cxDestroy.Inc(stats.Any)
	t.listenerDestroy.Inc(stats.Any)
	if c.remote.Load() {
		t.cxDestroyRemote.Inc(stats.Any)
	} else {
		t.cxDestroyLocal.Inc(stats.Any)
	}
	t.cxActive.Dec(stats.Any)
	if c.http1.Load() {
		t.cxHTTP1Active.Dec(stats.Any)
	}
	for _, n := range t.listener {
		n.active.Dec(stats.Any)
	}
	length := milliseconds(t.now().Sub(c.start))
	t.cxLength.Record(stats.Any, length)
	t.listenerCxLength.Record(stats.Any, length)
	return c.Conn.Close()
}
