package listener

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/l4/conn"
)

const internalListener = `name: "in" internal_listener {} filter_chains {ECHO}`

// A client is a connection to an internal listener from the second worker.
type client struct {
	*conn.Conn
	got string
}

func (c *client) InitializeRead(network.ReadCallbacks)  {}
func (c *client) OnNewConnection() network.FilterStatus { return network.Continue }
func (c *client) OnData(data *buffer.Buffer, _ bool) network.FilterStatus {
	c.got += data.String()
	data.Drain(data.Len())
	return network.StopIteration
}

func (r *rig) connect(to address.Address, passed transport.Passed) *client {
	l := r.loops[2]
	p, err := r.manager.Connect(l, to, passed)
	c := &client{Conn: conn.DialPipe(l, to, err, 0, conn.Config{Pipe: p})}
	c.AddReadFilter(c)
	return c
}

func (c *client) send(text string) {
	var b buffer.Buffer
	b.AppendString(text)
	c.Write(&b, false)
}

func TestInternal(t *testing.T) {
	r := newRig(t)
	r.manager.options.InternalBuffer = 1000
	to := address.Internal("in", "endpoint")
	if got := r.add(internalListener); len(got) != 1 || got[0] != "envoy://in/" {
		t.Errorf("addresses %q", got)
	}
	fields, _ := structpb.NewStruct(map[string]any{"k": "v"})
	c := r.connect(to, transport.Passed{Metadata: map[string]*structpb.Struct{"m": fields}, FilterState: map[string]streaminfo.Shared{"s": {Value: "state", Transitive: true}}})
	text := strings.Repeat("x", 5000)
	c.send(text)
	r.until("answered", func() bool { return c.got == text })
	const prefix = "listener.envoy_internal_in."
	if r.stats.Value(prefix+"downstream_cx_active") != 1 || r.stats.Value(prefix+"worker_1.downstream_cx_total") != 1 {
		t.Error(r.stats)
	}
	server := r.manager.active[0].workers[1].first.conn
	info, stream := server.Info(), server.Stream()
	if info.Remote.String() != "envoy://internal_client_address/" || info.Local != to || info.DirectLocal != to || info.Listener.Name != "in" {
		t.Errorf("%+v", info)
	}
	if stream.Metadata["m"].GetFields()["k"].GetStringValue() != "v" || info.FilterState["s"] != "state" || !info.SharedState["s"] || stream.Metadata["m"] == fields {
		t.Errorf("passed %v, %v", stream.Metadata, info.FilterState)
	}

	// A listener that is removed refuses connections.
	r.manager.Remove("in")
	r.turn()
	refused := r.connect(to, transport.Passed{})
	r.until("refused", func() bool { return refused.State() == network.Closed })
	if want := "immediate connect error: Invalid argument|remote address:envoy://in/endpoint"; refused.TransportFailure() != want {
		t.Errorf("%q", refused.TransportFailure())
	}
	if c.State() != network.Open {
		t.Error("a connection did not survive the removal of its listener")
	}
	c.Close(network.NoFlush, "")
	r.untilStat(prefix+"downstream_cx_active", 0)
}

// TestInternalUnknown: who is not a worker, or asks for what is no internal listener, gets
// nothing.
func TestInternalUnknown(t *testing.T) {
	r := newRig(t)
	r.manager.options.InternalBuffer = 1000
	r.add(internalListener)
	r.add(`name: "out" address {ADDRESS} filter_chains {ECHO}`)
	for _, name := range []string{"out", "nothing", ""} {
		if p, err := r.manager.Connect(r.loops[1], address.Internal(name, ""), transport.Passed{}); p != nil || err == nil {
			t.Errorf("connected to %q", name)
		}
	}
	if p, err := r.manager.Connect(r.loops[0], address.Internal("in", ""), transport.Passed{}); p != nil || err == nil {
		t.Error("the main goroutine is connected")
	}
}

// TestInternalLimits: the limits are for connections from outside, listener filters and
// the choice of a filter chain are for all.
func TestInternalLimits(t *testing.T) {
	r := newRig(t)
	r.manager.options.InternalBuffer = 1000
	r.runtime["envoy.resource_limits.listener.in.connection_limit"] = "0"
	r.add(`name: "in" internal_listener {} stat_prefix: "mine" PING
		filter_chains {filter_chain_match {application_protocols: "ping" source_type: EXTERNAL} ECHO}`)
	c := r.connect(address.Internal("in", ""), transport.Passed{})
	c.send("PING and more")
	r.until("answered", func() bool { return c.got == "PING and more" })
	other := r.connect(address.Internal("in", ""), transport.Passed{})
	other.send("x")
	r.until("turned down", func() bool { return other.State() == network.Closed })
	if r.stats.Value("listener.mine.downstream_cx_total") != 1 || r.stats.Value("listener.mine.downstream_cx_overflow") != 0 {
		t.Error(r.stats)
	}
	c.Close(network.NoFlush, "")
	r.untilStat("listener.mine.downstream_cx_active", 0)
}

func TestInternalConfig(t *testing.T) {
	for text, want := range map[string]string{
		internalListener: "internal_listener: internal listener registry is not initialized: " +
			"bootstrap_extensions must have envoy.bootstrap.internal_listener",
		internalListener + ` address {ADDRESS}`: "address: address should not be used when an internal listener config is provided",
		internalListener + ` enable_reuse_port {} transparent {} freebind {} tcp_backlog_size {} tcp_fast_open_queue_length {}
			socket_options {} connection_balance_config {exact_balance {}}`: "connection_balance_config: an internal listener has no sockets\n" +
			"enable_reuse_port: an internal listener has no sockets\nfreebind: an internal listener has no sockets\n" +
			"tcp_backlog_size: an internal listener has no sockets\ntcp_fast_open_queue_length: an internal listener has no sockets\n" +
			"transparent: an internal listener has no sockets\nsocket_options: an internal listener has no sockets",
		`name: "x" address {envoy_internal_address {server_listener_name: "x"}} filter_chains {ECHO}`: "address.envoy_internal_address: " +
			"use internal_listener field instead of address for internal listeners",
	} {
		r := newRig(t)
		if text != internalListener {
			r.manager.options.InternalBuffer = 1
		}
		msg := parse(t, text)
		if err := r.manager.Add(msg, conf.Path{}, false); err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
	}
}
