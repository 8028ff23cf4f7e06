package connpool_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h1"
	"github.com/nuncio-proxy/nuncio/internal/upstream/connpool"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

const loops = 3

type nothing struct{}

func (nothing) Record(int, uint64) {}

func cells() []*atomic.Uint64 {
	c := make([]*atomic.Uint64, loops+1)
	for i := range c {
		c[i] = new(atomic.Uint64)
	}
	return c
}

func freshStats() *upstream.Stats {
	s := &upstream.Stats{UpstreamCxConnectMs: nothing{}, UpstreamCxLengthMs: nothing{}, UpstreamRqPerCx: nothing{}}
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		switch v.Field(i).Interface().(type) {
		case *stats.Counter:
			v.Field(i).Set(reflect.ValueOf(stats.NewCounter(cells())))
		case *stats.Gauge:
			v.Field(i).Set(reflect.ValueOf(stats.NewGauge(cells())))
		}
	}
	return s
}

// client sends a number of requests, one after the other, on one loop.
type client struct {
	loop              *event.Loop
	pool              *connpool.Pools
	request, response httpmsg.Headers
	left              int
	failed            *atomic.Int64
	finished          func()
}

func (c *client) next() {
	if c.left == 0 {
		c.finished()
		return
	}
	c.left--
	c.pool.NewStream(c.loop, &upstream.Pick{}, c, c)
}

func (c *client) OnStreamReady(s upstream.RequestStream, _ upstream.Host) {
	if err := s.EncodeHeaders(&c.request, true); err != nil {
		c.failed.Add(1)
	}
}

func (c *client) OnStreamFailure(upstream.PoolFailure, string, upstream.Host) {
	c.failed.Add(1)
	c.loop.Post(c.next)
}

func (c *client) ResponseHeaders() *httpmsg.Headers { c.response.Reset(); return &c.response }
func (c *client) OnInterim()                        {}
func (c *client) OnHeaders(bool)                    {}
func (c *client) OnData(data *buffer.Buffer, end bool) {
	data.Drain(data.Len())
	if end {
		c.loop.Post(c.next)
	}
}
func (c *client) OnTrailers(*httpmsg.Headers)         {}
func (c *client) OnReset(httpmsg.ResetReason, string) { c.failed.Add(1); c.loop.Post(c.next) }
func (c *client) OnWriteBufferHigh()                  {}
func (c *client) OnWriteBufferLow()                   {}

// TestLoops runs many clients on several real loops over fewer connections than
// clients, so that connections move between the loops all the time.
func TestLoops(t *testing.T) {
	const clients, each, limit = 4, 300, 5
	var most, open atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			most.Store(max(most.Load(), open.Add(1)))
		case http.StateClosed:
			open.Add(-1)
		}
	}
	server.Start()
	defer server.Close()

	numbers := freshStats()
	var resources upstream.Resources
	gauge := func() *stats.Gauge { return stats.NewGauge(cells()) }
	resources.Connections.Init(limit, gauge(), nil)
	resources.PendingRequests.Init(1000, gauge(), nil)
	resources.Requests.Init(1000, gauge(), nil)
	settings := h1.ClientDefaults()
	var ids atomic.Uint64
	h := host.New(host.Config{Address: address.FromAddrPort(netip.MustParseAddrPort(server.Listener.Addr().String()))})
	pool := connpool.New(&connpool.Config{
		Dial:  connpool.NewDialer(connpool.DialConfig{ConnectTimeout: 5 * time.Second, BufferLimit: 1 << 20, NextID: func() uint64 { return ids.Add(1) }}),
		HTTP1: &settings, IdleTimeout: time.Hour, MaxConnectionsPerHost: [2]int64{1000, 1000},
		Stats: numbers, Bytes: &network.ConnectionStats{}, Shards: loops,
	}, h, upstream.Default, &resources)

	ctx, stop := context.WithCancel(t.Context())
	var running, done sync.WaitGroup
	var failed atomic.Int64
	all := make([]*event.Loop, loops)
	for i := range all {
		l, err := event.New(event.Config{Name: "worker", Shard: i, OnPanic: func(_ any, v any, stack []byte) { t.Errorf("%v\n%s", v, stack) }})
		if err != nil {
			t.Fatal(err)
		}
		all[i] = l
		running.Go(func() { l.Run(ctx) })
	}
	for i := range loops * clients {
		c := &client{loop: all[i%loops], pool: pool, left: each, failed: &failed, finished: done.Done}
		c.request.AddID(httpmsg.Method, "GET")
		c.request.AddID(httpmsg.Path, "/")
		c.request.AddID(httpmsg.Authority, "x")
		done.Add(1)
		c.loop.Post(c.next)
	}
	done.Wait()
	if n := numbers.UpstreamRqTotal.Value(); n != loops*clients*each || failed.Load() != 0 {
		t.Errorf("%d requests, %d failed", n, failed.Load())
	}
	if most.Load() > limit || resources.Connections.Current() > limit {
		t.Errorf("%d connections at once", most.Load())
	}
	if n := numbers.UpstreamCxTotal.Value(); n > limit {
		t.Errorf("%d connections were made", n)
	}
	pool.Drain()
	for resources.Connections.Current() != 0 { // until the loops have done it
		var turn sync.WaitGroup
		for _, l := range all {
			turn.Add(1)
			l.Post(turn.Done)
		}
		turn.Wait()
	}
	if numbers.UpstreamRqActive.Value() != 0 || numbers.UpstreamCxActive.Value() != 0 || numbers.UpstreamRqPendingActive.Value() != 0 {
		t.Error("something is still counted as active")
	}
	stop()
	running.Wait()
	for _, l := range all {
		l.Close()
	}
}
