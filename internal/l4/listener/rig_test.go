package listener

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	echov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/echo/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/internal/l4/drain"
	"github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// A rig is a manager with two workers, all of whose loops the test turns.
type rig struct {
	built   int // transports that are not released
	t       *testing.T
	now     time.Time
	loops   []*event.Loop // main first
	manager *Manager
	stats   *metrics.Scope
	runtime httpfilter.Runtime
	server  *drain.Decision
	logs    []string // access log entries
	oplog   []string
	healthy atomic.Bool
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, now: time.Unix(1e9, 0), stats: metrics.New(3), runtime: httpfilter.Runtime{}}
	before := descriptors(t)
	for i, name := range []string{"main_thread", "worker_0", "worker_1"} {
		l, err := event.New(event.Config{Name: name, Shard: i, Clock: func() time.Time { return r.now }, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		r.loops = append(r.loops, l)
	}
	r.server = drain.New(drain.Config{Time: time.Minute, Now: func() time.Time { return r.now }})
	var registry extension.Registry
	if err := registry.Add(echoFactory{}, pingFactory{r}, rawFactory{}, passwordFactory{r}); err != nil {
		t.Fatal(err)
	}
	r.manager = NewManager(Options{
		Context: extension.Context{Registry: &registry, Stats: r.stats, Runtime: r.runtime, Log: r, Server: r, AccessLogs: r},
		Main:    r.loops[0], Workers: r.loops[1:], Drain: r.server, ConnectionIDs: new(atomic.Uint64), Open: new(atomic.Int64),
		Resolve: func(a *anypb.Any, path conf.Path, errs *conf.Errors) proto.Message {
			msg, err := a.UnmarshalNew()
			if err != nil {
				errs.Add(path, "%v", err)
				return nil
			}
			return msg
		},
	})
	t.Cleanup(func() {
		closed := false
		r.manager.Close(func() { closed = true })
		r.until("closed", func() bool { return closed })
		for _, l := range r.loops {
			if n := l.Buffers().InUse(); n != 0 {
				t.Errorf("%s: %d buffer blocks are in use", l.Name(), n)
			}
			l.Close()
		}
		for _, name := range r.stats.Names() {
			if strings.HasSuffix(name, "_active") && r.stats.Value(name) != 0 {
				t.Errorf("%s is %d", name, r.stats.Value(name))
			}
		}
		if n := r.manager.options.Open.Load(); n != 0 {
			t.Errorf("%d connections are counted as open", n)
		}
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors, %d before", after, before)
		}
	})
	return r
}

// descriptors counts the open descriptors; the test's own connections are closed
// before.
func descriptors(t *testing.T) int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // not Linux
	}
	n := 0
	for _, f := range files {
		if target, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

func (r *rig) turn() {
	for _, l := range r.loops {
		l.Turn()
	}
}

// until turns the loops until f returns true.
func (r *rig) until(what string, f func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !f(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("not %s; statistics:\n%s%s", what, r.stats, strings.Join(r.oplog, "\n"))
		}
		r.turn()
		runtime.Gosched()
	}
}

func (r *rig) untilStat(name string, want uint64) {
	r.t.Helper()
	r.until(fmt.Sprintf("%s = %d", name, want), func() bool { return r.stats.Value(name) == want })
}

// parse reads a listener; name and address are of no interest to most tests.
func parse(t *testing.T, text string) *listenerv3.Listener {
	t.Helper()
	msg := &listenerv3.Listener{}
	text = strings.ReplaceAll(text, "ADDRESS", `socket_address {address: "127.0.0.1" port_value: 0}`)
	text = strings.ReplaceAll(text, "ECHO", `filters {name: "echo" typed_config {[type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo] {}}}`)
	text = strings.ReplaceAll(text, "PING", `listener_filters {name: "ping" typed_config {[type.googleapis.com/google.protobuf.Struct] {}}}`)
	if err := prototext.Unmarshal([]byte(text), msg); err != nil {
		t.Fatal(err)
	}
	return msg
}

// add adds a listener, starts the manager and returns the addresses of the
// listener.
func (r *rig) add(text string) []string {
	r.t.Helper()
	msg := parse(r.t, text)
	if err := r.manager.Add(msg, conf.Path{}, false); err != nil {
		r.t.Fatal(err)
	}
	if !r.manager.started {
		if err := r.manager.Start(); err != nil {
			r.t.Fatal(err)
		}
		r.untilStat("listener_manager.workers_started", 1)
	}
	r.turn()
	r.turn()
	var addresses []string
	for _, s := range r.manager.Listeners() {
		if s.Name == msg.GetName() && !s.Draining {
			for _, a := range s.Addresses {
				addresses = append(addresses, a.String())
			}
		}
	}
	return addresses
}

func (r *rig) dial(addr string) *net.TCPConn {
	r.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// receive turns the loops until c has received n bytes or an error.
func (r *rig) receive(c net.Conn, n int) (string, error) {
	r.t.Helper()
	buf := make([]byte, n)
	got, err := 0, error(nil)
	r.until("received", func() bool {
		if got == n || err != nil {
			return true
		}
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		m, readErr := c.Read(buf[got:])
		got += m
		if !errors.Is(readErr, os.ErrDeadlineExceeded) {
			err = readErr
		}
		return false
	})
	return string(buf[:got]), err
}

func (r *rig) wantEcho(c net.Conn, text string) {
	r.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		r.t.Fatal(err)
	}
	if got, err := r.receive(c, len(text)); got != text {
		r.t.Errorf("got %q, %v back, want %q", got, err, text)
	}
}

// wantClosed expects the end of c, by a reset if reset is true.
func (r *rig) wantClosed(c net.Conn, reset bool) {
	r.t.Helper()
	got, err := r.receive(c, 1)
	if got != "" || err == nil || errors.Is(err, io.EOF) == reset {
		r.t.Errorf("got %q, %v", got, err)
	}
}

func (r *rig) Debugf(string, ...any)        {}
func (r *rig) Infof(string, ...any)         {}
func (r *rig) Warnf(f string, args ...any)  { r.oplog = append(r.oplog, fmt.Sprintf(f, args...)) }
func (r *rig) Errorf(f string, args ...any) { r.oplog = append(r.oplog, fmt.Sprintf(f, args...)) }
func (r *rig) HealthCheckFailed() bool      { return !r.healthy.Load() }
func (r *rig) ServiceCluster() string       { return "" }
func (r *rig) ServiceNode() string          { return "" }
func (r *rig) ServiceZone() string          { return "" }
func (r *rig) Node() *corev3.Node           { return nil }
func (r *rig) Shards() int                  { return 3 }
func (r *rig) Log(e *format.Entry) {
	r.logs = append(r.logs, fmt.Sprintf("%s %s %s %d %d", e.Stream.Downstream.Listener.Name, e.Stream.Flags.Append(nil),
		e.Stream.ResponseDetails, e.Stream.BytesReceived, e.Stream.End.Sub(e.Stream.Start)/time.Millisecond))
}

func (r *rig) Build(config []*accesslogv3.AccessLog, _ conf.Path, _ *conf.Errors) []accesslog.Logger {
	if len(config) == 0 {
		return nil
	}
	return []accesslog.Logger{r}
}

func (r *rig) BuildFilter(*accesslogv3.AccessLogFilter, conf.Path, *conf.Errors) accesslog.Filter {
	return nil
}

// echoFactory makes filters that send back what they get.
type echoFactory struct{}

func (echoFactory) Name() string          { return "envoy.filters.network.echo" }
func (echoFactory) Category() string      { return extension.NetworkFilters }
func (echoFactory) Config() proto.Message { return &echov3.Echo{} }
func (echoFactory) Fields() []conf.Fields { return nil }
func (echoFactory) Terminal() bool        { return true }
func (echoFactory) BuildNetworkFilter(proto.Message, extension.NetworkContext, conf.Path, *conf.Errors) network.FilterBuilder {
	return func(_ network.Connection, m network.FilterManager) { m.AddReadFilter(&echo{}) }
}

type echo struct {
	cb   network.ReadCallbacks
	used bool
}

// CloseIfIdle closes connections that nothing came on.
func (e *echo) CloseIfIdle() {
	if !e.used {
		e.cb.Connection().Close(network.FlushWrite, "idle")
	}
}

func (e *echo) InitializeRead(cb network.ReadCallbacks) { e.cb = cb }
func (e *echo) OnNewConnection() network.FilterStatus   { return network.Continue }
func (e *echo) OnData(data *buffer.Buffer, end bool) network.FilterStatus {
	e.used = true
	e.cb.Connection().Write(data, end)
	return network.StopIteration
}

// pingFactory makes listener filters that want to see "PING" or "DRAIN", which
// the latter takes away; they turn down anything else.
type pingFactory struct{ r *rig }

func (pingFactory) Name() string          { return "ping" }
func (pingFactory) Category() string      { return extension.ListenerFilters }
func (pingFactory) Config() proto.Message { return &structpb.Struct{} }
func (pingFactory) Fields() []conf.Fields { return nil }
func (f pingFactory) BuildListenerFilter(proto.Message, extension.NetworkContext, conf.Path, *conf.Errors) func() network.ListenerFilter {
	return func() network.ListenerFilter { return &ping{r: f.r} }
}

type ping struct {
	r  *rig
	cb network.ListenerFilterCallbacks
}

func (p *ping) OnAccept(cb network.ListenerFilterCallbacks) network.FilterStatus {
	p.cb = cb
	return network.StopIteration
}

func (p *ping) OnData(peeked []byte) network.FilterStatus {
	text := string(peeked)
	switch {
	case strings.HasPrefix(text, "PING"):
		p.cb.Info().ApplicationProtocols = []string{"ping"}
		return network.Continue
	case text == "DRAIN":
		p.cb.Drain(5)
		return network.Continue
	case strings.HasPrefix("PING", text), strings.HasPrefix("DRAIN", text):
		return network.StopIteration
	}
	p.cb.Continue(false)
	return network.StopIteration
}

func (p *ping) MaxReadBytes() int { return 5 }
func (p *ping) OnClose()          { p.r.oplog = append(p.r.oplog, "ping.OnClose") }

// Types that configurations in tests pack.
var _ = []proto.Message{&tlsv3.DownstreamTlsContext{}, &rawv3.RawBuffer{}}
