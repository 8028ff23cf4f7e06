package cluster

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// exchange is one request and its response.
type exchange struct {
	request, response httpmsg.Headers
	body              string
	done              chan struct{}
}

func (x *exchange) OnStreamReady(s upstream.RequestStream, _ upstream.Host) {
	if s.EncodeHeaders(&x.request, true) != nil {
		close(x.done)
	}
}
func (x *exchange) OnStreamFailure(upstream.PoolFailure, string, upstream.Host) { close(x.done) }
func (x *exchange) ResponseHeaders() *httpmsg.Headers                           { return &x.response }
func (x *exchange) OnInterim()                                                  {}
func (x *exchange) OnHeaders(bool)                                              {}
func (x *exchange) OnData(data *buffer.Buffer, end bool) {
	x.body += data.String()
	if end {
		close(x.done)
	}
}
func (x *exchange) OnTrailers(*httpmsg.Headers)         { close(x.done) }
func (x *exchange) OnReset(httpmsg.ResetReason, string) { close(x.done) }
func (x *exchange) OnWriteBufferHigh()                  {}
func (x *exchange) OnWriteBufferLow()                   {}

// TestRequest sends a request through a cluster, on a real loop to a real server.
func TestRequest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello "+r.URL.Path)
	}))
	defer server.Close()
	l, err := event.New(event.Config{Name: "worker_0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		l.Run(ctx)
		close(ended)
	}()
	var ids atomic.Uint64
	scope := metrics.New(1)
	m := NewManager(Options{Dispatcher: newBench().loop, Stats: scope, Runtime: noRuntime{}, Shards: 1,
		NextConnectionID: func() uint64 { return ids.Add(1) }})
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	m.Add(mustParse(t, "name: a\n"+strings.NewReplacer("10.0.0.1", "127.0.0.1", "port_value: 80", "port_value: "+port).Replace(oneHost)), nil)
	x := &exchange{done: make(chan struct{})}
	x.request.AddID(httpmsg.Method, "GET")
	x.request.AddID(httpmsg.Path, "/x")
	x.request.AddID(httpmsg.Authority, "a")
	l.Post(func() { m.Get("a").NewStream(l, &upstream.Pick{}, x, x) })
	<-x.done
	if x.body != "hello /x" || x.response.StatusCode() != 200 {
		t.Errorf("%d %q", x.response.StatusCode(), x.body)
	}
	m.Close()
	for drained := false; !drained; {
		turn := make(chan struct{})
		l.Post(func() { close(turn) })
		<-turn
		drained = scope.Value("cluster.a.upstream_cx_active") == 0
	}
	if sent, got := scope.Value("cluster.a.upstream_cx_tx_bytes_total"), scope.Value("cluster.a.upstream_cx_rx_bytes_total"); sent == 0 || got == 0 {
		t.Errorf("%d bytes sent, %d received", sent, got)
	}
	if b := scope.Value("cluster.a.upstream_cx_rx_bytes_buffered"); b != 0 {
		t.Errorf("%d bytes are still buffered", b)
	}
	stop()
	<-ended
	l.Close()
}
