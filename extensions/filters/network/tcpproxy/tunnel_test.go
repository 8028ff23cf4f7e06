package tcpproxy

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// request returns the last request for a tunnel, with its stream.
func (b *bench) request() *httpfilter.Attempt {
	b.t.Helper()
	a := b.cluster.Last()
	b.t.Cleanup(func() { a.Body.Drain(a.Body.Len()) })
	a.Ready()
	return a
}

const tunneled = plain + `tunneling_config {hostname: "target:443" `

func TestTunnel(t *testing.T) {
	for _, c := range []struct{ name, config, head string }{
		{"CONNECT", tunneled + "}", ":method: CONNECT\n:authority: target:443\n"},
		{"POST", tunneled + `use_post: true post_path: "/p"}`, ":method: POST\n:authority: target:443\n:path: /p\n"},
		{"POST without a path", tunneled + `use_post: true}`, ":method: POST\n:authority: target:443\n:path: /\n"},
		{"headers", tunneled + `headers_to_add {header {key: "X-A" value: "1"}}}`,
			":method: CONNECT\n:authority: target:443\nx-a: 1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, c.config)
			b.down.Receive("early", false)
			a := b.request()
			if got := a.SentText(); got != c.head+"...\n" || b.down.Unread() != "early" {
				t.Fatalf("sent %q, unread %q", got, b.down.Unread())
			}
			a.Interim(":status", "100")
			a.Respond(false, ":status", "200")
			b.loop.Run()
			a.Send("answer", false)
			b.down.Receive(" and late", true)
			if b.down.Output != "answer" || a.Body.String() != "early and late" || !a.Ended || b.down.OutputEnded {
				t.Errorf("%q, %q, %v", b.down.Output, a.Body.String(), a.Ended)
			}
			a.Send(" end", true)
			if b.down.Output != "answer end" || !b.down.OutputEnded || b.down.CloseType != network.FlushWrite || a.WasReset {
				t.Errorf("%q, closed %v", b.down.Output, b.down.CloseType)
			}
			b.wantLog("TcpConnectionEnd flags=- attempts=1 cluster=c host=127.0.0.1:8001 failure= reason= upstream_reason= rx=14 tx=10 up=10/14")
		})
	}
}

func TestTunnelRefused(t *testing.T) {
	for _, c := range []struct {
		name, failure string
		answer        func(a *httpfilter.Attempt)
	}{
		{"status", "tunnel_response:403", func(a *httpfilter.Attempt) { a.Respond(false, ":status", "403") }},
		{"without a body", "tunnel_response:200", func(a *httpfilter.Attempt) { a.Respond(true, ":status", "200") }},
		{"reset", "", func(a *httpfilter.Attempt) { a.Break(httpmsg.ResetRemoteReset, "") }},
		{"no connection", "why", func(a *httpfilter.Attempt) { a.Fail(upstream.RemoteConnectionFailure, "why") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, tunneled+"} max_connect_attempts {value: 2}")
			for range 2 {
				if c.failure == "why" {
					c.answer(b.cluster.Last())
				} else {
					c.answer(b.request())
				}
			}
			if !b.down.WasClosed || len(b.cluster.Attempts) != 2 {
				t.Errorf("closed %v after %d", b.down.WasClosed, len(b.cluster.Attempts))
			}
			b.wantLog("TcpConnectionEnd flags=UF,URX attempts=2 cluster=c host=127.0.0.1:8001 failure=" + c.failure +
				" reason=tcp_initializion_failure:0 upstream_reason= rx=0 tx=0 up=0/0")
		})
	}
}

func TestTunnelEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		end   func(b *bench, a *httpfilter.Attempt)
		down  network.CloseType
		reset bool
		flags string
	}{
		{"client resets", func(b *bench, _ *httpfilter.Attempt) { b.down.Raise(network.RemoteClose) }, 0, true, "-"},
		{"connection ends", func(_ *bench, a *httpfilter.Attempt) { a.Break(httpmsg.ResetConnectionTermination, "") }, network.FlushWrite, false, "-"},
		{"stream is reset", func(_ *bench, a *httpfilter.Attempt) { a.Break(httpmsg.ResetRemoteReset, "") }, network.AbortReset, false, "UR"},
		{"idle", func(b *bench, _ *httpfilter.Attempt) { b.loop.Advance(time.Hour) }, network.NoFlush, true, "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, tunneled+"}")
			a := b.request()
			a.Respond(false, ":status", "200")
			c.end(b, a)
			if b.down.CloseType != c.down || a.WasReset != c.reset || len(b.logs) != 1 || !strings.Contains(b.logs[0], "flags="+c.flags+" ") {
				t.Errorf("downstream %v, reset %v, logged %q", b.down.CloseType, a.WasReset, b.logs)
			}
		})
	}
}

func TestTunnelGivenUp(t *testing.T) {
	b := newBench(t, tunneled+"}")
	b.down.Raise(network.RemoteClose)
	if !b.cluster.Last().Cancelled {
		t.Error("not cancelled")
	}
	b = newBench(t, tunneled+"}")
	a := b.request()
	b.down.Raise(network.RemoteClose)
	if !a.WasReset || !strings.Contains(b.logs[0], "flags=UF attempts=1") {
		t.Errorf("reset %v, logged %q", a.WasReset, b.logs)
	}
}

func TestTunnelBackPressure(t *testing.T) {
	b := newBench(t, tunneled+"}")
	a := b.request()
	a.High() // of the head, which is not the client's matter
	a.Respond(false, ":status", "200")
	a.High()
	if b.down.ReadDisabled != 1 {
		t.Errorf("downstream disabled %d", b.down.ReadDisabled)
	}
	a.Low()
	a.Low()
	b.down.SetHigh(true)
	if b.down.ReadDisabled != 0 || a.Disabled != 1 {
		t.Errorf("disabled %d, %d", b.down.ReadDisabled, a.Disabled)
	}
	b.down.SetHigh(false)
	if a.Disabled != 0 {
		t.Errorf("upstream disabled %d", a.Disabled)
	}
}

func TestTunnelPropagates(t *testing.T) {
	b := newBench(t, tunneled+"propagate_response_headers: true propagate_response_trailers: true}")
	a := b.request()
	a.Respond(false, ":status", "200", "x-a", "1")
	a.SendTrailers("x-t", "2")
	state := b.down.Info().FilterState
	for key, want := range map[string]string{
		responseHeadersKey:  `{"headers":[{"key":":status","value":"200"},{"key":"x-a","value":"1"}]}`,
		responseTrailersKey: `{"headers":[{"key":"x-t","value":"2"}]}`,
	} {
		if got, err := json.Marshal(state[key]); err != nil || string(got) != want {
			t.Errorf("%s is %s, %v", key, got, err)
		}
	}
}

// TestTunnelBytes has what goes through the tunnel on top of what is on the wire.
func TestTunnelBytes(t *testing.T) {
	b := newBench(t, tunneled+"}")
	a := b.request()
	a.Count(streaminfo.Meter{Sent: 50, Received: 20})
	a.Respond(false, ":status", "200")
	a.Count(streaminfo.Meter{Sent: 50, Received: 23})
	a.Send("abc", false)
	if got := b.down.Stream().Upstream.Bytes; got.Sent != 50 || got.Received != 26 {
		t.Errorf("%+v", got)
	}
}

func TestBackoff(t *testing.T) {
	p := backoff{base: 10, max: 35}
	for attempts, longest := range []time.Duration{10, 10, 20, 35, 35} {
		if got := p.after(attempts, uint64(longest)-1); got != longest-1 {
			t.Errorf("after %d: %v", attempts, got)
		}
		if got := p.after(attempts, uint64(longest)); got != 0 {
			t.Errorf("after %d: %v", attempts, got)
		}
	}
	b := newBench(t, plain+"max_connect_attempts {value: 2} backoff_options {base_interval {seconds: 1}}")
	b.cluster.fail(b.cluster.waiting, upstream.ConnectTimeout)
	if b.cluster.asked != 1 {
		t.Error("asked at once")
	}
	b.loop.Advance(time.Second)
	if b.cluster.asked != 2 {
		t.Error("not asked again")
	}
}
