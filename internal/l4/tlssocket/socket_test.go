package tlssocket

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

// versions are those that a test runs with.
var versions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

func eachVersion(t *testing.T, f func(t *testing.T, server, client *tls.Config)) {
	for _, v := range versions {
		t.Run(tls.VersionName(v), func(t *testing.T) {
			s, c := serverConfig(), clientConfig()
			s.MaxVersion, c.MaxVersion = v, v
			f(t, s, c)
		})
	}
}

// TestExchange: whatever the sizes in which bytes come and go, what arrives is what was
// written, and the end is told.
func TestExchange(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		for _, sizes := range []struct{ slice, capacity, bytes int }{{1, 1 << 20, 3000}, {7, 100, 20_000}, {1 << 20, 1 << 20, 1 << 20}, {5000, 3000, 300_000}} {
			t.Run(fmt.Sprint(sizes), func(t *testing.T) {
				r := newRig(t, server, client)
				for _, e := range []*end{r.server, r.client} {
					e.slice, e.capacity = sizes.slice, sizes.capacity
				}
				text := strings.Repeat("0123456789abcdef", sizes.bytes/16)
				r.client.write(text) // before the handshake
				r.server.write("hello")
				r.start()
				r.until("handshake", r.bothUp)
				r.until("transfer", func() bool { return r.server.received.Len() == len(text) && r.client.received.Len() == 5 })
				r.server.write(text)
				r.server.endStream = true
				r.until("end", func() bool { return r.client.err != nil })
				r.client.write("late")
				r.until("half-closed", func() bool { return r.server.received.Len() == len(text)+4 })
				if r.client.err != io.EOF || r.client.received.String() != "hello"+text || r.server.received.String() != text+"late" {
					t.Errorf("server %s, client %s", r.server, r.client)
				}
				if r.server.info.TLS.Version == "" || len(r.client.info.TLS.PeerCertificates) != 1 || len(r.server.context.done) != 1 || r.server.context.done[0] != nil {
					t.Error("the session is not told of")
				}
			})
		}
	})
}

// TestEnds: a connection that ends at any byte of the handshake, or behind it, fails
// without a reason of TLS, and leaves nothing.
func TestEnds(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		for _, how := range []error{io.EOF, errors.New("reset")} {
			for at := 0; ; at++ {
				r := newRig(t, server, client)
				r.start()
				n := 0
				for !r.server.up && r.server.err == nil {
					r.loop.Run()
					r.client.work()
					// One byte at a time, up to the end.
					if raw := r.server.raw; n < at && len(raw) > 0 {
						r.server.raw, r.server.slice, r.server.readable = raw[:1], 1, true
						r.server.work()
						r.server.raw = append(r.server.raw, raw[1:]...)
						n++
					} else if n == at {
						r.server.raw, r.server.rawErr, r.server.readable = nil, how, true
						r.server.work()
					}
					r.server.writable = true
					r.server.work1()
					runtime.Gosched()
				}
				if r.server.up {
					if at < 200 {
						t.Errorf("up after %d bytes", at)
					}
					break
				}
				if want := how; (want == io.EOF && r.server.err != io.ErrUnexpectedEOF || want != io.EOF && r.server.err != want) || r.server.socket.Failure() != "" {
					t.Fatalf("after %d bytes: %s", at, r.server)
				}
				r.check()
				at += 6
			}
		}
	})
}

// work1 writes only.
func (e *end) work1() {
	paused := e.paused
	e.paused = true
	e.work()
	e.paused = paused
}

// TestClosedDuringHandshake: the goroutine ends at once.
func TestClosedDuringHandshake(t *testing.T) {
	r := newRig(t, serverConfig(), clientConfig())
	r.start()
	r.until("hello", func() bool { return r.client.sent > 0 })
	if r.metrics.Value("nuncio_tls_handshakes_active") == 0 {
		t.Error("no handshake is active")
	}
	r.client.close(true)
	r.server.close(true)
	r.all.Wait()
	if r.client.peer.rawErr == nil || r.client.socket.Failure() != "" {
		t.Errorf("client %s", r.client)
	}
}

// TestClosedByCallback: who is told that the connection is up closes it.
func TestClosedByCallback(t *testing.T) {
	r := newRig(t, serverConfig(), clientConfig())
	r.server.connected = func() { r.server.close(true) }
	r.client.write("x")
	r.start()
	r.until("close", func() bool { return r.server.closed })
	r.until("end", func() bool { return r.client.err != nil })
	if r.client.err != io.EOF || r.server.received.Len() > 0 {
		t.Errorf("server %s, client %s", r.server, r.client)
	}
}

func TestNotReady(t *testing.T) {
	r := newRig(t, nil, nil)
	r.start()
	r.turn()
	for _, e := range []*end{r.server, r.client} {
		if e.err != transport.ErrFailed || e.socket.Failure() != "TLS error: Secret is not supplied by SDS" {
			t.Error(e)
		}
	}
}

// TestFailures: the texts are those of Envoy.
func TestFailures(t *testing.T) {
	plain := func(text string) func(*rig) {
		return func(r *rig) { r.server.raw, r.server.readable = []byte(text), true }
	}
	for _, test := range []struct {
		name           string
		change         func(server, client *tls.Config)
		act            func(*rig)
		server, client string
	}{
		{"untrusted", func(_, c *tls.Config) { c.RootCAs = nil }, nil,
			"TLS_error:|268436498:SSL routines:OPENSSL_internal:SSLV3_ALERT_BAD_CERTIFICATE:TLS_error_end", "CERTIFICATE_VERIFY_FAILED"},
		{"refused", func(_, c *tls.Config) {
			c.InsecureSkipVerify = true
			c.VerifyConnection = func(tls.ConnectionState) error { return &VerifyError{"verify cert failed: SAN matcher"} }
		}, nil, "ALERT", "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: SAN matcher:TLS_error_end"},
		{"version", func(s, c *tls.Config) { s.MinVersion, c.MaxVersion = tls.VersionTLS13, tls.VersionTLS12 }, nil,
			"TLS_error:|268435696:SSL routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL:TLS_error_end",
			"TLS_error:|268436526:SSL routines:OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION:TLS_error_end"},
		{"cipher", func(s, c *tls.Config) {
			s.MaxVersion = tls.VersionTLS12
			s.CipherSuites, c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
		}, nil, "TLS_error:|268435640:SSL routines:OPENSSL_internal:NO_SHARED_CIPHER:TLS_error_end",
			"TLS_error:|268436496:SSL routines:OPENSSL_internal:SSLV3_ALERT_HANDSHAKE_FAILURE:TLS_error_end"},
		{"no certificate", func(s, _ *tls.Config) { s.ClientAuth, s.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }, nil,
			"TLS_error:|268435648:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE:peer did not provide required client certificate:TLS_error_end",
			"ALERT"},
		{"HTTP", nil, plain("GET / HTTP/1.1\r\n"), "TLS_error:|268435612:SSL routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end", "-"},
		{"CONNECT", nil, plain("CONNECT a:1 HTTP/1.1\r\n"), "TLS_error:|268435611:SSL routines:OPENSSL_internal:HTTPS_PROXY_REQUEST:TLS_error_end", "-"},
		{"other", nil, plain("\x00\x01\x02\x03\x04\x05"), "TLS_error:|268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end", "-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, c := serverConfig(), clientConfig()
			if test.change != nil {
				test.change(s, c)
			}
			r := newRig(t, s, c)
			if test.act != nil {
				r.server.socket.Start(r.server)
				test.act(r)
				r.client.closed = true
			} else {
				r.start()
			}
			r.until("failure", func() bool { return r.server.err != nil && (r.client.err != nil || test.client == "-") })
			for _, pair := range [][2]string{{test.server, r.server.socket.Failure()}, {test.client, r.client.socket.Failure()}} {
				want := pair[0]
				if want != "-" && !strings.Contains(pair[1], want) {
					t.Errorf("got %q, want %q", pair[1], pair[0])
				}
			}
			if len(r.server.context.done)+len(r.server.context.failed) == 0 {
				t.Error("not counted")
			}
			r.client.closed = false
		})
	}
}

// TestCorrupted: a record that was changed on its way ends the connection.
func TestCorrupted(t *testing.T) {
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		r := newRig(t, server, client)
		r.start()
		r.until("handshake", r.bothUp)
		r.turn()
		r.client.write("text")
		r.client.work()
		r.server.raw[len(r.server.raw)-1] ^= 1
		r.until("failure", func() bool { return r.server.err != nil })
		if r.server.socket.Failure() != "TLS_error:|268435595:SSL routines:OPENSSL_internal:DECRYPTION_FAILED_OR_BAD_RECORD_MAC:TLS_error_end" || len(r.server.context.failed) != 1 {
			t.Error(r.server)
		}
		r.until("alert", func() bool { return r.client.err != nil })
		if !strings.Contains(r.client.socket.Failure(), "268436476:SSL routines:OPENSSL_internal:SSLV3_ALERT_BAD_RECORD_MAC") {
			t.Error(r.client)
		}
	})
}

// TestPanic: a panic in a handshake ends that one.
func TestPanic(t *testing.T) {
	r := newRig(t, serverConfig(), clientConfig())
	var told any
	r.all.onPanic = func(value any, _ []byte) { told = value }
	r.server.context.describe = func() { panic("no") }
	r.start()
	r.until("failure", func() bool { return r.server.err != nil })
	if told != "no" || r.server.err != transport.ErrFailed {
		t.Error(told, r.server)
	}
}

// TestStorm: of many handshakes only some compute at once, and those that are too many
// are refused.
func TestStorm(t *testing.T) {
	r := newRig(t, serverConfig(), clientConfig())
	var ends []*end
	for range 20 {
		e := &end{rig: r, context: &fixed{config: clientConfig()}, slice: 1 << 20, capacity: 1 << 20}
		e.peer = &end{capacity: 1 << 20, rig: r}
		e.socket = NewClient(fixedClient{e.context}, r.all, nil, nil)
		ends = append(ends, e)
	}
	r.all.maxWaiting = 5
	for range cap(r.all.slots) {
		r.all.slots <- struct{}{}
	}
	for _, e := range ends {
		e.socket.Start(e)
	}
	refused := func() (n int) {
		for _, e := range ends {
			if strings.Contains(e.socket.Failure(), "too many TLS handshakes") {
				n++
			}
		}
		return n
	}
	work := func() {
		r.loop.Run()
		for _, e := range ends {
			e.work()
		}
	}
	r.until("refusals", func() bool { work(); return refused() == 15 })
	if r.metrics.Value("nuncio_tls_handshakes_rejected") != 15 || r.metrics.Value("nuncio_tls_handshakes_active") != 5 {
		t.Error("not counted")
	}
	for range cap(r.all.slots) {
		r.all.release()
	}
	r.until("the others", func() bool {
		work()
		n := 0
		for _, e := range ends {
			if e.sent > 0 {
				n++
			}
		}
		return n == 5
	})
	for _, e := range ends {
		e.socket.Close(true)
	}
}

// TestSilentPeersDoNotCompute: handshakes that wait for their peers keep nobody from
// computing.
func TestSilentPeersDoNotCompute(t *testing.T) {
	r := newRig(t, serverConfig(), clientConfig())
	var silent []*Socket
	for range 10 {
		e := &end{rig: r, context: &fixed{config: clientConfig()}, slice: 1 << 20, capacity: 1 << 20}
		e.peer = &end{capacity: 1 << 20, rig: r}
		e.socket = NewClient(fixedClient{e.context}, r.all, nil, nil)
		e.socket.Start(e)
		silent = append(silent, e.socket)
	}
	r.start()
	r.until("handshake", r.bothUp)
	for _, s := range silent {
		s.Close(true)
	}
}

// TestMove: an idle socket goes to another loop, one with bytes in it does not.
func TestMove(t *testing.T) {
	r := newRig(t, serverConfig(), clientConfig())
	r.start()
	if r.client.socket.Detach() {
		t.Error("left during the handshake")
	}
	r.until("handshake", r.bothUp)
	r.turn()
	if !r.client.socket.Detach() {
		t.Fatal("did not leave")
	}
	r.loop = loop.New(2)
	r.server.close(false)
	r.server.closed = false
	r.client.socket.Attach(r.client)
	r.client.rawErr = nil
	r.client.write("x")
	r.turn()
	if len(r.server.raw) == 0 {
		t.Error("nothing is written on the new loop")
	}
}

// TestSlowReader: little is encrypted ahead, and reading goes on.
func TestSlowReader(t *testing.T) {
	r := newRig(t, serverConfig(), clientConfig())
	r.start()
	r.until("handshake", r.bothUp)
	r.turn()
	r.client.paused, r.client.capacity = true, 1000
	r.server.write(strings.Repeat("x", 1<<20))
	for range 10 {
		r.turn()
	}
	if n := r.server.socket.Unsent(); n > maxUnsent+maxRecord+100 {
		t.Errorf("%d encrypted bytes wait", n)
	}
	r.client.write("still read")
	r.until("read", func() bool { return r.server.received.String() == "still read" })
	r.client.paused, r.client.readable, r.client.capacity = false, true, 1<<20
	r.until("all", func() bool { return r.client.received.Len() == 1<<20 })
}

// TestCost: an idle connection is small, and a message costs what crypto/tls allocates.
func TestCost(t *testing.T) {
	const connections = 200
	rigs := make([]*rig, connections)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	s, c := serverConfig(), clientConfig()
	before := heap()
	for i := range rigs {
		r := newRig(t, s, c)
		r.start()
		r.until("handshake", r.bothUp)
		r.client.write("GET /")
		r.turn()
		r.server.write("200 OK")
		r.turn()
		r.turn()
		r.loop.Buffers().Trim()
		rigs[i] = r
	}
	if each := int(heap()-before) / connections / 2; each > 20<<10 {
		t.Errorf("an idle end of a connection takes %d bytes", each)
	} else {
		t.Logf("an idle end of a connection takes %d bytes", each)
	}

	r := rigs[0]
	var in buffer.Buffer
	in.Init(r.loop.Buffers())
	store := make([]byte, 0, 1<<10)
	n := testing.AllocsPerRun(100, func() {
		r.server.raw = store
		r.client.out.AppendString("request")
		r.client.socket.Write(&r.client.out, false)
		r.server.socket.Read(&in, 1<<16)
		in.Drain(in.Len())
	})
	t.Logf("%v allocations per message", n)
	if n > 4 { // two are of crypto/tls; with the race detector its pool makes some more
		t.Errorf("%v allocations per message", n)
	}
}

// FuzzServer feeds bytes to a socket that expects a handshake.
func FuzzServer(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 3)
	f.Add([]byte{22, 3, 1, 0, 5, 1, 0, 0, 1, 3}, 1)
	f.Add([]byte{21, 3, 1, 0, 2, 2, 40}, 100)
	f.Fuzz(func(t *testing.T, data []byte, slice int) {
		r := newRig(t, serverConfig(), nil)
		r.server.slice = 1 + max(slice, 0)%100
		r.server.socket.Start(r.server)
		r.server.raw, r.server.rawErr, r.server.readable = data, io.EOF, true
		deadline := time.Now().Add(10 * time.Second)
		for r.server.err == nil && time.Now().Before(deadline) {
			r.loop.Run()
			r.server.work()
			runtime.Gosched()
		}
		if r.server.err == nil {
			t.Error("it does not end")
		}
		r.client.closed = true
	})
}

// A callback that pauses leaves its turn to others, and ends with its connection.
func TestPause(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		config := serverConfig()
		waiting, goOn := make(chan struct{}), make(chan struct{})
		var aborted atomic.Bool
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			return nil, Pause(hello.Conn, func(gone <-chan struct{}) {
				close(waiting)
				select {
				case <-goOn:
				case <-gone:
					aborted.Store(true)
				}
			})
		}
		r := newRig(t, config, clientConfig())
		r.start()
		r.until("the callback waits, and the client for it", func() bool {
			select {
			case <-waiting:
			default:
				return false
			}
			return len(r.all.slots) == 0
		})
		if leaves {
			r.server.close(false)
			r.client.close(false)
			r.all.Wait()
		} else {
			close(goOn)
			r.until("both are up", r.bothUp)
		}
		if aborted.Load() != leaves {
			t.Errorf("aborted: %v", aborted.Load())
		}
	}
}

func TestPauseOutsideOfAHandshake(t *testing.T) {
	called := false
	if err := Pause(nil, func(<-chan struct{}) { called = true }); err != nil || !called {
		t.Error(called, err)
	}
}
