package admin_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/internal/observe/admin"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// TestTraffic has a connection that the client ends and one that admin ends.
func TestTraffic(t *testing.T) {
	f := newFake()
	root := metrics.New(1)
	f.config.Stats, f.config.Now = root, time.Now
	s, err := admin.New(f.config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(l)
	var sent, received int
	talk := func(c net.Conn, request string) {
		t.Helper()
		sent += len(request)
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	untilEnd := func(c net.Conn) {
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		received += len(b)
	}

	byClient, byAdmin := dial(), dial()
	talk(byClient, "GET /ready HTTP/1.1\r\nHost: a\r\n\r\nGET /nope HTTP/1.1\r\nHost: a\r\n\r\n")
	if err := byClient.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	untilEnd(byClient)
	talk(byAdmin, "GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	untilEnd(byAdmin)
	s.Close(time.Minute)

	for name, want := range map[string]uint64{
		"http.admin.downstream_cx_total": 2, "http.admin.downstream_cx_http1_total": 2, "http.admin.downstream_cx_active": 0,
		"http.admin.downstream_cx_http1_active": 0, "http.admin.downstream_cx_destroy": 2,
		"http.admin.downstream_cx_destroy_local": 1, "http.admin.downstream_cx_destroy_remote": 1,
		"http.admin.downstream_cx_rx_bytes_total": uint64(sent), "http.admin.downstream_cx_tx_bytes_total": uint64(received),
		"http.admin.downstream_rq_total": 3, "http.admin.downstream_rq_http1_total": 3, "http.admin.downstream_rq_active": 0,
		"http.admin.downstream_rq_2xx": 2, "http.admin.downstream_rq_4xx": 1, "http.admin.downstream_rq_completed": 3,
		"listener.admin.downstream_cx_total": 2, "listener.admin.downstream_cx_active": 0, "listener.admin.downstream_cx_destroy": 2,
		"listener.admin.main_thread.downstream_cx_total": 2, "listener.admin.main_thread.downstream_cx_active": 0,
		"listener.admin.http.admin.downstream_rq_2xx": 2, "listener.admin.http.admin.downstream_rq_completed": 3,
	} {
		if got := root.Value(name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	for name, want := range map[string]int{
		"http.admin.downstream_rq_time": 3, "http.admin.downstream_cx_length_ms": 2, "listener.admin.downstream_cx_length_ms": 2,
	} {
		if got := root.Recorded(name); len(got) != want {
			t.Errorf("%s has %v, want %d values", name, got, want)
		}
	}
}

// TestPathsAreNormalized, as by the connection manager that is before Envoy's admin.
func TestPathsAreNormalized(t *testing.T) {
	url := newFake().start(t)
	for path, want := range map[string]string{
		"//ready": "200 OK", "/x/../ready": "200 OK", "/./ready": "200 OK", "/%72eady": "200 OK",
		"/ready/": "404 Not Found", "/READY": "404 Not Found",
	} {
		if got := ask(t, url, "GET "+path); got.status != want {
			t.Errorf("%s: %s, want %s", path, got.status, want)
		}
	}
}
