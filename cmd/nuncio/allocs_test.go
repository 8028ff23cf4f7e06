package main

import (
	"context"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/extensions/all"
	"github.com/nuncio-proxy/nuncio/proxymain"
)

const allocsBootstrap = `
static_resources:
  listeners:
  - name: web
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          route_config:
            virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: up}}]}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: up
    load_assignment:
      cluster_name: up
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: UPSTREAM}}}}]}]
`

// TestAllocationsOfAProxiedRequest measures the whole proxy over real sockets: a
// request may allocate its two header blocks.
func TestAllocationsOfAProxiedRequest(t *testing.T) {
	client := proxied(t, allocsBootstrap, answer)
	request := []byte("GET /some/path HTTP/1.1\r\nhost: example.com\r\nuser-agent: test\r\naccept: */*\r\n\r\n")
	buf := make([]byte, 4096)
	wantAllocations(t, 2, func() {
		if _, err := client.Write(request); err != nil {
			t.Fatal(err)
		}
		// The answer is short: it comes in one piece.
		if _, err := client.Read(buf); err != nil {
			t.Fatal(err)
		}
	})
}

// proxied runs the proxy before an upstream whose connections serve has, and returns a
// connection to the proxy.
func proxied(t *testing.T, bootstrap string, serve func(net.Conn)) net.Conn {
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { upstream.Close() })
	go func() {
		for {
			c, err := upstream.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	_, port, _ := net.SplitHostPort(upstream.Addr().String())
	s, err := proxymain.New(proxymain.Config{
		BootstrapYAML: strings.Replace(bootstrap, "UPSTREAM", port, 1), Extensions: all.Factories(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if err := s.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", s.ListenerAddresses("web")[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return client
}

// wantAllocations checks how many allocations one exchange takes, when the proxy has
// warmed up.
func wantAllocations(t *testing.T, most float64, exchange func()) {
	t.Helper()
	const requests = 2000
	for range requests / 10 {
		exchange()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range requests {
		exchange()
	}
	runtime.ReadMemStats(&after)
	each := float64(after.Mallocs-before.Mallocs) / requests
	t.Logf("%.2f allocations for a request", each)
	// Statistics are flushed meanwhile, and the like: a tenth of a request's worth.
	if each > most+0.1 {
		t.Errorf("want at most %v", most)
	}
}

// answer serves one connection without allocating.
func answer(c net.Conn) {
	defer c.Close()
	response := []byte("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\nhello, world\n")
	buf := make([]byte, 4096)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
		if _, err := c.Write(response); err != nil {
			return
		}
	}
}
