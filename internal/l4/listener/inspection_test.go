package listener

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// growFactory makes listener filters that want to see as many bytes as configured, and
// allow themselves one more each time. What they saw is in the log of the rig.
type growFactory struct{ r *rig }

func (growFactory) Name() string          { return "grow" }
func (growFactory) Category() string      { return extension.ListenerFilters }
func (growFactory) Config() proto.Message { return &wrapperspb.UInt32Value{} }
func (growFactory) Fields() []conf.Fields { return nil }
func (f growFactory) BuildListenerFilter(msg proto.Message, _ extension.NetworkContext, _ conf.Path, _ *conf.Errors) func() network.ListenerFilter {
	return func() network.ListenerFilter {
		return &grow{r: f.r, want: int(msg.(*wrapperspb.UInt32Value).GetValue()), limit: 1}
	}
}

type grow struct {
	r           *rig
	want, limit int
}

func (g *grow) OnAccept(network.ListenerFilterCallbacks) network.FilterStatus {
	return network.StopIteration
}

func (g *grow) OnData(peeked []byte) network.FilterStatus {
	g.r.oplog = append(g.r.oplog, string(peeked))
	if len(peeked) >= g.want {
		return network.Continue
	}
	g.limit = min(g.want, g.limit+1)
	return network.StopIteration
}

func (g *grow) MaxReadBytes() int { return g.limit }
func (g *grow) OnClose()          {}

// laterFactory makes listener filters that wait for a time and for no data.
type laterFactory struct{}

func (laterFactory) Name() string          { return "later" }
func (laterFactory) Category() string      { return extension.ListenerFilters }
func (laterFactory) Config() proto.Message { return &durationpb.Duration{} }
func (laterFactory) Fields() []conf.Fields { return nil }
func (laterFactory) BuildListenerFilter(msg proto.Message, _ extension.NetworkContext, _ conf.Path, _ *conf.Errors) func() network.ListenerFilter {
	return func() network.ListenerFilter { return later{msg.(*durationpb.Duration)} }
}

type later struct{ d *durationpb.Duration }

func (l later) OnAccept(cb network.ListenerFilterCallbacks) network.FilterStatus {
	if _, ok := cb.OriginalDestination(); ok {
		panic("there is no redirection")
	}
	cb.Dispatcher().NewTimer(func() { cb.Continue(true) }).Enable(l.d.AsDuration())
	return network.StopIteration
}

func (later) OnData([]byte) network.FilterStatus { panic("no data was asked for") }
func (later) MaxReadBytes() int                  { return 0 }
func (later) OnClose()                           {}

const (
	growFilter  = `listener_filters {name: "grow" typed_config {[type.googleapis.com/google.protobuf.UInt32Value] {value: N}}}`
	laterFilter = `listener_filters {name: "later" typed_config {[type.googleapis.com/google.protobuf.Duration] {seconds: 1}}}`
)

func inspectionRig(t *testing.T, filters string) (*rig, string) {
	r := newRig(t)
	if err := r.manager.options.Context.Registry.Add(growFactory{r}, laterFactory{}); err != nil {
		t.Fatal(err)
	}
	return r, r.add(`name: "l" address {ADDRESS} per_connection_buffer_limit_bytes {value: 2} default_filter_chain {ECHO} ` + filters)[0]
}

// TestGrowingFilter: a filter may need more as it reads, and more than the connection's
// limit; the next one sees everything again.
func TestGrowingFilter(t *testing.T) {
	r, a := inspectionRig(t, strings.ReplaceAll(growFilter, "N", "3")+strings.ReplaceAll(growFilter, "N", "2"))
	c := r.dial(a)
	c.Write([]byte("ab"))
	r.until("looked", func() bool { return len(r.oplog) == 2 })
	c.Write([]byte("cd"))
	if got, err := r.receive(c, 4); got != "abcd" {
		t.Errorf("%q, %v", got, err)
	}
	if want := []string{"a", "ab", "abc", "a", "ab"}; !slices.Equal(r.oplog, want) {
		t.Errorf("seen %q", r.oplog)
	}
}

// TestLaterFilter: the connection's buffer fills while a filter waits, and is read on
// for the next one.
func TestLaterFilter(t *testing.T) {
	const size = 100_000 // more than is read at once
	r, a := inspectionRig(t, laterFilter+strings.ReplaceAll(growFilter, "N", "3")+strings.ReplaceAll(laterFilter, "1", "2"))
	c := r.dial(a)
	c.Write([]byte("a"))
	r.untilStat("listener.127.0.0.1_0.downstream_pre_cx_active", 1)
	for range 10 {
		r.turn()
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write([]byte(strings.Repeat("b", size)))
		sent <- err
	}()
	r.now = r.now.Add(1001e6)
	r.until("looked", func() bool { return slices.Contains(r.oplog, "abb") })
	r.now = r.now.Add(2001e6)
	if got, err := r.receive(c, size+1); got != "a"+strings.Repeat("b", size) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestDisabledFilter(t *testing.T) {
	r, a := inspectionRig(t, `listener_filters {name: "ping" typed_config {[type.googleapis.com/google.protobuf.Struct] {}}
		filter_disabled {any_match: true}}`)
	r.wantEcho(r.dial(a), "no ping")
}

func TestPredicate(t *testing.T) {
	tcp := &streaminfo.Connection{Local: address.FromAddrPort(netip.MustParseAddrPort("1.2.3.4:80"))}
	unix := &streaminfo.Connection{Local: address.Unix("/x")}
	for _, tc := range []struct {
		text      string
		tcp, unix bool
	}{
		{`any_match: true`, true, true},
		{`not_match {any_match: true}`, false, false},
		{`destination_port_range {start: 80 end: 81}`, true, false},
		{`destination_port_range {start: 79 end: 80}`, false, false},
		{`destination_port_range {start: 0 end: 80}`, false, false},
		{`or_match {rules {not_match {any_match: true}} rules {destination_port_range {start: 1 end: 100}}}`, true, false},
		{`or_match {rules {not_match {any_match: true}} rules {not_match {any_match: true}}}`, false, false},
		{`and_match {rules {any_match: true} rules {destination_port_range {start: 1 end: 100}}}`, true, false},
		{`and_match {rules {any_match: true} rules {any_match: true}}`, true, true},
	} {
		msg := &listenerv3.ListenerFilterChainMatchPredicate{}
		if err := prototext.Unmarshal([]byte(tc.text), msg); err != nil {
			t.Fatal(err)
		}
		b := builder{errs: &conf.Errors{}}
		p := b.predicate(msg, conf.Path{})
		if b.errs.Err() != nil || p(tcp) != tc.tcp || p(unix) != tc.unix {
			t.Errorf("%s: %v, %v", tc.text, b.errs, p)
		}
	}
	b := builder{errs: &conf.Errors{}}
	b.predicate(&listenerv3.ListenerFilterChainMatchPredicate{}, conf.Path{}.Field("filter_disabled"))
	if got := b.errs.Error(); got != "filter_disabled.rule: must be set" {
		t.Error(got)
	}
}
