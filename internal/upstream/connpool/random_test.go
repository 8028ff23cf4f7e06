package connpool

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/keepalive"
)

// TestRandom does whatever comes to its mind to pools with small limits, and looks
// after each step whether the limits hold. In the end every request has one
// outcome, and nothing is left that is counted.
func TestRandom(t *testing.T) {
	for seed := range uint64(600) {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { randomRun(t, seed) }) {
			return
		}
	}
}

func randomRun(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 5))
	var log strings.Builder
	l := limits{
		connections: int64(random.IntN(5)), pending: 1 + int64(random.IntN(8)), requests: 1 + int64(random.IntN(5)),
		perHost: 1 + int64(random.IntN(6)), perConnection: uint32(random.IntN(4)),
		idle: time.Duration(random.IntN(3)) * time.Second, duration: time.Duration(random.IntN(3)) * 4 * time.Second,
		protocol: [...]Protocol{HTTP1, HTTP2, ByALPN}[seed%3], streams: uint32(random.IntN(4)),
	}
	if seed%4 == 0 {
		l.preconnect = 1 + random.Float64()*2
	}
	if random.IntN(3) == 0 {
		l.keepAlive = &keepalive.Settings{Interval: 3 * time.Second, Timeout: time.Second}
	}
	h := newHarness(l, func(format string, args ...any) { fmt.Fprintf(&log, format+"\n", args...) })
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("panic: %v", r)
		}
		if t.Failed() {
			t.Logf("limits %+v\n%s", l, log.String())
		}
	}()
	for step := range 300 {
		if what := h.randomStep(random, step); what != "" {
			h.log("> %s", what)
		}
		h.invariants(t, l)
		if t.Failed() {
			return
		}
	}
	h.settle(t)
}

// randomStep does one thing to a random worker, connection or request, if that
// fits its state.
func (h *harness) randomStep(random *rand.Rand, step int) string {
	if len(h.conns) == 0 || random.IntN(4) == 0 {
		w := random.IntN(workers)
		if h.held[w] {
			return ""
		}
		name := fmt.Sprint("r", step)
		h.log("> request %d %s", w, name)
		h.request(w, name, random.IntN(4) == 0, random.IntN(10) == 0)
		return ""
	}
	c := h.conns[max(0, len(h.conns)-1-random.IntN(12))]
	switch random.IntN(13) {
	case 0, 1, 2:
		if c.usable(network.Connecting) {
			h.log("> up %d", c.id)
			c.negotiate(random)
			c.connected()
		}
	case 3:
		if c.usable(network.Connecting) {
			h.log("> refuse %d", c.id)
			c.refused()
		}
	case 4, 5, 6:
		if c.peer != nil {
			c.peer.randomFrame(random)
		} else if c.usable(network.Open) && c.filter != nil && strings.Count(c.sent, "GET") > c.replies {
			h.log("> reply %d", c.id)
			c.reply(random.IntN(10) == 0)
		}
	case 7:
		if c.usable(network.Open) {
			h.log("> eof %d", c.id)
			c.end(network.RemoteClose, "")
		}
	case 8, 9:
		return h.randomRequest(random)
	case 10:
		w := random.IntN(workers)
		h.held[w] = !h.held[w]
		return fmt.Sprint("hold ", w, h.held[w])
	case 11:
		h.run()
	case 12:
		if random.IntN(4) == 0 {
			h.held = [workers]bool{}
			h.advance(time.Second)
			return "advance"
		}
	}
	return ""
}

// negotiate lets the host speak HTTP/2 or not, if it is asked.
func (c *fakeConn) negotiate(random *rand.Rand) {
	if c.h.pool.main.protocol == ByALPN && random.IntN(2) == 0 {
		c.info.TLS = &streaminfo.TLS{ALPN: "h2"}
	}
}

// randomFrame lets the host answer a stream, or do worse.
func (p *http2Peer) randomFrame(random *rand.Rand) {
	if !p.c.usable(network.Open) {
		return
	}
	say := func(what string) {
		p.c.h.log("> frame %d %s", p.c.id, what)
		p.send(nil, strings.Fields(what))
	}
	switch n := random.IntN(20); {
	case n == 0:
		say(fmt.Sprint("0 SETTINGS ", random.IntN(4)))
	case n == 1:
		say(fmt.Sprint("0 GOAWAY ", 2*random.IntN(8)+1))
	case n == 2:
		say("2 JUNK")
	case n == 3:
		say("0 PONG")
	case len(p.open) == 0:
	case n < 7:
		say(fmt.Sprint(p.open[random.IntN(len(p.open))], " RST ", random.IntN(12)))
	default:
		id := p.open[random.IntN(len(p.open))]
		p.c.h.log("> reply %d %d", p.c.id, id)
		p.reply(fmt.Sprint(id))
	}
}

// reap ends the requests that got their response, and whose stream is gone since.
func (h *harness) reap() {
	for _, r := range h.requests {
		if s, ok := r.stream.(*http2Stream); ok && r.responded && (!s.active || s.handler != r) {
			r.end("done before the request was")
		}
	}
}

func (c *fakeConn) reply(last bool) {
	c.replies = strings.Count(c.sent, "GET")
	text := response
	if last {
		text = strings.Replace(response, "\r\n", "\r\nconnection: close\r\n", 1)
	}
	c.deliver(text)
}

// randomRequest finishes, resets or cancels a request, in the order of the names.
func (h *harness) randomRequest(random *rand.Rand) string {
	var open []*request
	for _, r := range h.requests {
		if r.outcome == "" {
			open = append(open, r)
		}
	}
	if len(open) == 0 {
		return ""
	}
	slices.SortFunc(open, func(a, b *request) int { return strings.Compare(a.name, b.name) })
	r := open[random.IntN(len(open))]
	switch {
	case r.cancel != nil:
		h.log("> cancel %s", r.name)
		cancel := r.cancel
		r.end("cancelled")
		cancel.Cancel()
	case r.conn != nil:
		r.conn.Close(network.NoFlush, "")
	case !r.sent && random.IntN(2) == 0:
		h.log("> finish %s", r.name)
		r.finish()
	case r.stream != nil && random.IntN(3) == 0:
		h.log("> reset %s", r.name)
		r.reset()
	}
	return ""
}

// invariants checks what holds after every step.
func (h *harness) invariants(t *testing.T, l limits) {
	h.reap()
	forced := int64(0) // connections beyond the limit
	if l.protocol != HTTP1 {
		forced = workers // each may have one of HTTP/2
	}
	for _, limit := range []struct {
		name         string
		current, max int64
	}{
		{"connections", h.resources.Connections.Current(), max(l.connections, 1) + forced},
		{"connections of the host", h.pool.connections.Load(), max(l.perHost, 1) + forced},
		{"pending requests", h.resources.PendingRequests.Current(), l.pending},
		{"needed", h.pool.main.needed.Load(), l.pending},
	} {
		if limit.current < 0 || limit.current > limit.max {
			t.Errorf("%s: %d of %d", limit.name, limit.current, limit.max)
		}
	}
	streams, open := int64(0), int64(0)
	for _, r := range h.requests {
		if r.stream != nil {
			streams++
		}
		if r.stream != nil || r.conn != nil && r.outcome == "" {
			open++
		}
	}
	if streams > l.requests {
		t.Errorf("%d streams, allowed are %d", streams, l.requests)
	}
	if n := h.host.Stats().RqActive.Load(); n != open {
		t.Errorf("%d active requests counted, there are %d", n, open)
	}
	alive := int64(0)
	for _, c := range h.conns {
		if c.state != network.Closed {
			alive++
		}
	}
	if n := h.host.Stats().CxActive.Load(); n != alive {
		t.Errorf("%d active connections counted, there are %d", n, alive)
	}
}

func (h *harness) unsettled() bool {
	for _, c := range h.conns {
		if c.state == network.Connecting {
			return true
		}
	}
	for _, r := range h.requests {
		if r.outcome == "" {
			return true
		}
	}
	return false
}

// settle lets every peer answer, until all requests have their outcome, and then
// removes the host.
func (h *harness) settle(t *testing.T) {
	h.log("> settle")
	h.held = [workers]bool{}
	for rounds := 0; rounds < 1000 && h.unsettled(); rounds++ {
		h.run()
		for _, c := range h.conns {
			switch {
			case c.usable(network.Connecting):
				c.connected()
			case c.usable(network.Open) && c.filter == nil:
				c.Close(network.NoFlush, "")
			case c.usable(network.Open) && c.peer != nil:
				c.peer.send(nil, []string{"0", "SETTINGS", "2"})
				for c.usable(network.Open) && len(c.peer.open) > 0 {
					c.peer.reply(fmt.Sprint(c.peer.open[0]))
				}
			case c.usable(network.Open) && strings.Count(c.sent, "GET") > c.replies:
				c.reply(false)
			}
		}
		for _, r := range h.requests {
			if r.outcome == "" && r.stream != nil && !r.sent {
				r.finish()
			}
		}
		h.reap()
	}
	for _, r := range h.requests {
		if r.outcome == "" {
			t.Errorf("%s has no outcome", r.name)
		}
	}
	h.pool.Drain()
	h.run()
	for i, c := range h.conns {
		if c.state != network.Closed {
			t.Errorf("connection %d is still there", i+1)
		}
	}
	for name, g := range h.metrics.gauges {
		if n := g.Value(); n != 0 && !(name == "cx_open" && h.resources.Connections.Max() == 0) {
			t.Errorf("gauge %s is %d", name, n)
		}
	}
	for name, r := range map[string]*upstream.Resource{"connections": &h.resources.Connections,
		"pending": &h.resources.PendingRequests, "requests": &h.resources.Requests} {
		if r.Current() != 0 {
			t.Errorf("%d %s are still taken", r.Current(), name)
		}
	}
	if hs := h.host.Stats(); hs.RqPendingActive.Load() != 0 || hs.RqActive.Load() != 0 || hs.CxActive.Load() != 0 {
		t.Error("the host is still busy")
	}
	for i, w := range h.workers {
		if n := w.ArmedTimers(); n != 0 {
			t.Errorf("worker %d has %d timers", i, n)
		}
		if n := w.Buffers().InUse(); n != 0 {
			t.Errorf("worker %d has %d blocks", i, n)
		}
	}
	counters := h.metrics.counters
	if a, b := counters["UpstreamCxTotal"].Value(), counters["UpstreamCxDestroy"].Value(); a != b {
		t.Errorf("%d connections, %d ends", a, b)
	}
	if n := uint64(len(h.metrics.recorded["UpstreamCxLengthMs"].values)); n != counters["UpstreamCxTotal"].Value() {
		t.Errorf("%d lengths of connections", n)
	}
}
