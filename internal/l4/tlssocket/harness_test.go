package tlssocket

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// certificate returns a self-signed certificate for the name "test".
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"test"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func serverConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{certificate()}, DynamicRecordSizingDisabled: true}
}

func clientConfig() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(certificate().Leaf)
	return &tls.Config{RootCAs: roots, ServerName: "test", DynamicRecordSizingDisabled: true}
}

// A fixed is a Context with one configuration.
type fixed struct {
	config   *tls.Config // nil: not ready
	describe func()
	done     []error
	failed   []error
}

func (f *fixed) Describe(session *streaminfo.TLS, state *tls.ConnectionState) error {
	if f.describe != nil {
		f.describe()
	}
	session.ALPN, session.Version, session.PeerCertificates = state.NegotiatedProtocol, tls.VersionName(state.Version), state.PeerCertificates
	return nil
}
func (f *fixed) Done(_ *tls.ConnectionState, err error, _ int) { f.done = append(f.done, err) }
func (f *fixed) Failed(err error, _ int)                       { f.failed = append(f.failed, err) }

type fixedServer struct{ *fixed }

func (f fixedServer) Config(*streaminfo.Connection, *streaminfo.TLS) *tls.Config { return f.config }

type fixedClient struct{ *fixed }

func (f fixedClient) Config(*streaminfo.Connection, *streaminfo.TLS, *transport.Options, transport.Host) *tls.Config {
	return f.config
}

// A rig is two ends of a connection on a fake loop.
type rig struct {
	t              testing.TB
	loop           *loop.Fake
	all            *Handshakes
	metrics        *metrics.Scope
	server, client *end
}

func newRig(t testing.TB, server, client *tls.Config) *rig {
	r := &rig{t: t, loop: loop.New(1), metrics: metrics.New(1)}
	r.all = NewHandshakes(HandshakesConfig{Concurrency: 2, MaxWaiting: 100, Scope: r.metrics})
	r.server = &end{rig: r, context: &fixed{config: server}}
	r.client = &end{rig: r, context: &fixed{config: client}}
	r.server.peer, r.client.peer = r.client, r.server
	r.server.socket = NewServer(fixedServer{r.server.context}, r.all)
	r.client.socket = NewClient(fixedClient{r.client.context}, r.all, nil, nil)
	for _, e := range []*end{r.server, r.client} {
		e.out.Init(r.loop.Buffers())
		e.slice, e.capacity = 1<<20, 1<<20
	}
	t.Cleanup(r.check)
	return r
}

// check sees that nothing is left.
func (r *rig) check() {
	r.server.close(true)
	r.client.close(true)
	r.all.Wait()
	r.loop.Run()
	r.server.out.Reset()
	r.client.out.Reset()
	if n := r.loop.Buffers().InUse(); n != 0 {
		r.t.Errorf("%d blocks in use", n)
	}
	if r.metrics.Value("nuncio_tls_handshakes_active") != 0 || r.all.waiting.Load() != 0 || len(r.all.slots) != 0 {
		r.t.Error("handshakes are left")
	}
}

func (r *rig) start() {
	for _, e := range []*end{r.server, r.client} {
		if e.socket.Start(e) {
			e.Connected()
		}
		e.writable = true
	}
}

// turn moves what can be moved.
func (r *rig) turn() {
	r.loop.Run()
	r.client.work()
	r.server.work()
}

// until turns until f returns true.
func (r *rig) until(what string, f func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); runtime.Gosched() {
		r.turn()
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: nothing happens; server %s, client %s", what, r.server, r.client)
		}
	}
}

func (r *rig) bothUp() bool { return r.server.up && r.client.up }

// An end is a connection as its transport socket sees it, and the raw socket.
type end struct {
	rig       *rig
	context   *fixed
	peer      *end
	socket    *Socket
	info      streaminfo.Connection
	connected func()

	raw      []byte // on its way here
	rawErr   error  // behind raw
	slice    int    // what one ReadRaw returns at most
	capacity int    // of raw
	sent     int    // raw bytes

	up, closed         bool
	readable, writable bool
	paused             bool // nobody reads
	out                buffer.Buffer
	endStream          bool
	received           strings.Builder
	err                error // of Read or Write
}

var _ transport.Callbacks = (*end)(nil)

func (e *end) String() string {
	return fmt.Sprintf("up=%t received=%d unsent=%d err=%v failure=%q", e.up, e.received.Len(), e.out.Len()+e.socket.Unsent(), e.err, e.socket.Failure())
}

func (e *end) ReadRaw(into [][]byte) (n int, err error) {
	for _, p := range into {
		took := copy(p[:min(len(p), e.slice-n)], e.raw)
		e.raw = e.raw[took:]
		n += took
	}
	if n > 0 {
		e.peer.writable = true
		return n, nil
	}
	if e.rawErr != nil {
		return 0, e.rawErr
	}
	return 0, transport.ErrAgain
}

func (e *end) WriteRaw(from [][]byte) (n int, err error) {
	for _, p := range from {
		fits := min(len(p), e.peer.capacity-len(e.peer.raw))
		e.peer.raw = append(e.peer.raw, p[:fits]...)
		e.peer.readable = true
		n += fits
		if fits < len(p) {
			err = transport.ErrAgain
			break
		}
	}
	e.sent += n
	return n, err
}

func (e *end) CloseWriteRaw() error         { e.peer.rawErr = io.EOF; e.peer.readable = true; return nil }
func (e *end) Dispatcher() event.Dispatcher { return e.rig.loop }
func (e *end) Info() *streaminfo.Connection { return &e.info }
func (e *end) Readable()                    { e.readable = true }
func (e *end) Writable()                    { e.writable = true }
func (e *end) Connected() {
	e.up, e.writable = true, true
	if e.connected != nil {
		e.connected()
	}
}

// work does what a connection does when its socket is ready.
func (e *end) work() {
	if e.writable && !e.closed && (e.err == nil || e.err == io.EOF) {
		e.writable = false
		if _, err := e.socket.Write(&e.out, e.endStream); err != nil && err != transport.ErrAgain {
			e.err = err
		}
	}
	for e.readable && !e.closed && e.err == nil && !e.paused {
		var in buffer.Buffer
		in.Init(e.rig.loop.Buffers())
		n, err := e.socket.Read(&in, 1<<16)
		if n != in.Len() {
			e.rig.t.Errorf("Read returned %d with %d bytes", n, in.Len())
		}
		e.received.Write(in.AppendTo(nil))
		in.Reset()
		switch err {
		case nil:
		case transport.ErrAgain:
			e.readable = false
		default:
			e.err = err
		}
	}
}

func (e *end) write(text string) {
	e.out.AppendString(text)
	e.writable = true
}

// close ends the connection.
func (e *end) close(orderly bool) {
	if e.closed {
		return
	}
	e.closed = true
	e.socket.Close(orderly)
	_ = e.CloseWriteRaw()
}
