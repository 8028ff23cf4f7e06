package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// protocols are what net/http speaks without TLS.
func protocols(http2 bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(!http2)
	p.SetUnencryptedHTTP2(http2)
	return p
}

// serveHTTP starts a server of net/http, and returns its port. It is to be stopped before
// the proxy is looked at.
func serveHTTP(t *testing.T, http2 bool, h http.HandlerFunc) (port string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, Protocols: protocols(http2)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, func() {
		s.Close()
		<-done
	}
}

// A pair is a client and a server that speak HTTP/1.1 or HTTP/2 with a proxy in between.
type pair struct {
	*proxy
	client *http.Client
	path   string
}

// pairs runs f with all combinations of protocols; fields are those of
// Http2ProtocolOptions on both sides.
func pairs(t *testing.T, fields string, handler http.HandlerFunc, f func(t *testing.T, p pair)) {
	h1, stop1 := serveHTTP(t, false, handler)
	h2, stop2 := serveHTTP(t, true, handler)
	options := "http2_protocol_options: {" + fields + "}"
	p := run(t, setup{
		listeners: front(hcm{
			routes: `[{match: {prefix: "/h1"}, route: {cluster: h1, timeout: 0s}}, {match: {prefix: "/h2"}, route: {cluster: h2, timeout: 0s}}]`,
			fields: "http_protocol_options: {enable_trailers: true}, " + options,
		}),
		clusters: []cluster{
			{name: "h1", dead: []string{h1}, fields: "http_protocol_options: {enable_trailers: true}"},
			{name: "h2", dead: []string{h2}, fields: options},
		},
	})
	t.Cleanup(stop1)
	t.Cleanup(stop2)
	for _, client := range []bool{false, true} {
		for _, server := range []string{"/h1", "/h2"} {
			t.Run(fmt.Sprintf("http2=%v%s", client, server), func(t *testing.T) {
				f(t, pair{proxy: p, client: newHTTPClient(t, client), path: "http://" + p.addr("front") + server})
			})
		}
	}
}

// newHTTPClient returns a client whose connections end with the test. CloseIdleConnections of
// net/http does not do: it leaves an HTTP/2 connection whose last stream it still counts.
func newHTTPClient(t *testing.T, http2 bool) *http.Client {
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	})
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			open = append(open, c)
		}
		return c, err
	}
	return &http.Client{Transport: &http.Transport{Protocols: protocols(http2), DialContext: dial}}
}

// echo sends the body back, and in a trailer the one that came.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "X-Back")
	c := http.NewResponseController(w)
	if err := c.EnableFullDuplex(); err != nil && r.ProtoMajor == 1 {
		panic(err)
	}
	w.WriteHeader(201)
	if _, err := io.Copy(w, r.Body); err != nil {
		return
	}
	w.Header().Set("X-Back", r.Trailer.Get("X-There"))
}

// TestPairs moves bodies that are larger than all windows and buffers, with trailers, over
// all pairs of protocols.
func TestPairs(t *testing.T) {
	t.Parallel()
	body := noise(20 << 20)
	pairs(t, "", echo, func(t *testing.T, p pair) {
		exchange := func(body string) error {
			// Without a length the body is chunked in HTTP/1.1, as trailers need it.
			r, err := http.NewRequest("POST", p.path+"/echo", io.NopCloser(strings.NewReader(body)))
			if err != nil {
				return err
			}
			r.Trailer = http.Header{"X-There": {"t"}}
			answer, err := p.client.Do(r)
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			got, err := io.ReadAll(answer.Body)
			switch {
			case err != nil:
				return err
			case answer.StatusCode != 201 || string(got) != body:
				return fmt.Errorf("status %d, %d of %d bytes", answer.StatusCode, len(got), len(body))
			case answer.Trailer.Get("X-Back") != "t":
				return fmt.Errorf("trailers %v", answer.Trailer)
			}
			return nil
		}
		if err := exchange(body); err != nil {
			t.Error(err)
		}
		const n = 20
		results := make(chan error, n)
		for i := range n {
			go func() { results <- exchange(body[:(i+1)*50_000]) }()
		}
		for range n {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

// bulk is what an exchange would move that nobody stops.
const bulk = 256 << 20

// TestSlowClient: a client that does not read stops the server's response, and no other.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	var written atomic.Int64
	handler := func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/bulk") {
			return
		}
		piece := make([]byte, 64<<10)
		for written.Load() < bulk {
			n, err := w.Write(piece)
			if err != nil {
				return
			}
			written.Add(int64(n))
		}
	}
	pairs(t, "initial_stream_window_size: 65535, initial_connection_window_size: 1048576", handler, func(t *testing.T, p pair) {
		written.Store(0)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", p.path+"/bulk", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := p.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		for range 300 {
			other, err := p.client.Get(p.path + "/other")
			if err != nil {
				t.Fatal(err)
			}
			other.Body.Close()
		}
		if n := written.Load(); n >= bulk {
			t.Errorf("the server could send all of %d bytes", n)
		}
		if n, err := io.Copy(io.Discard, io.LimitReader(answer.Body, 32<<20)); err != nil || n != 32<<20 {
			t.Errorf("%d bytes: %v", n, err)
		}
	})
}

// TestSlowServer: a server that does not read stops the client's request, and no other.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	handler := func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/bulk") {
			<-release
			io.Copy(io.Discard, r.Body)
		}
	}
	pairs(t, "initial_stream_window_size: 65535, initial_connection_window_size: 1048576", handler, func(t *testing.T, p pair) {
		release = make(chan struct{})
		var sent atomic.Int64
		result := make(chan error, 1)
		go func() {
			r, err := http.NewRequest("POST", p.path+"/bulk", io.NopCloser(io.LimitReader(counting{&sent}, bulk)))
			if err != nil {
				result <- err
				return
			}
			answer, err := p.client.Do(r)
			if err == nil {
				answer.Body.Close()
			}
			result <- err
		}()
		for range 300 {
			other, err := p.client.Get(p.path + "/other")
			if err != nil {
				t.Fatal(err)
			}
			other.Body.Close()
		}
		if n := sent.Load(); n >= bulk {
			t.Errorf("the client could send all of %d bytes", n)
		}
		close(release)
		if err := <-result; err != nil || sent.Load() != bulk {
			t.Errorf("%d bytes were sent: %v", sent.Load(), err)
		}
	})
}

// counting is an endless body.
type counting struct{ n *atomic.Int64 }

func (c counting) Read(p []byte) (int, error) {
	n := min(int64(len(p)), bulk-c.n.Load())
	c.n.Add(n)
	return int(n), nil
}

// TestDrainOfHTTP2: /healthcheck/fail lets requests of HTTP/2 end, and asks for no more.
func TestDrainOfHTTP2(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		http.NewResponseController(w).Flush()
		<-release
		io.WriteString(w, "done")
	}
	port, stop := serveHTTP(t, true, handler)
	p := run(t, setup{
		listeners: front(hcm{routes: toCluster("up", ""), fields: "drain_timeout: 0.1s"}),
		clusters:  []cluster{{name: "up", dead: []string{port}, fields: "http2_protocol_options: {}"}},
	})
	t.Cleanup(stop)
	client := newHTTPClient(t, true)
	first, err := client.Get("http://" + p.addr("front") + "/1")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Body.Close()
	p.adminPost("/healthcheck/fail")
	second, err := client.Get("http://" + p.addr("front") + "/2")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Body.Close()
	close(release)
	for _, answer := range []*http.Response{first, second} {
		if text, err := bufio.NewReader(answer.Body).ReadString(0); text != "done" || !errors.Is(err, io.EOF) {
			t.Errorf("%q, %v", text, err)
		}
	}
	eventually(t, "the end of the connection", func() bool { return p.stats()["http.http.downstream_cx_http2_active"] == 0 })
	p.wantStats(map[string]int64{"http.http.downstream_cx_drain_close": 1})
}
