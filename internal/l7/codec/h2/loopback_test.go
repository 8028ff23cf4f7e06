package h2

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
)

// A loopback joins a client and a server that echoes every request.
type loopback struct {
	t              *testing.T
	rng            *rand.Rand
	client, server *user
	toServer       buffer.Buffer
	toClient       buffer.Buffer
	high           [2]bool // what the connections' outputs were told
	calls          []*call
	reset          int
}

// A call is a request whose body comes back.
type call struct {
	l          *loopback
	e          *exchanger
	left       int // bytes that are not sent
	sent, back uint32
	total, got int
	ended      bool // the request is complete
	complete   bool // the response is
	trailers   bool
	disabled   bool
	aborted    bool
}

func newLoopback(t *testing.T, seed uint64, client, server Settings) *loopback {
	l := &loopback{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
	l.client, l.server = newUser(false, client), newUser(true, server)
	l.client.quiet, l.server.quiet = true, true
	l.server.opened = l.echo
	return l
}

// echo answers a request with its body.
func (l *loopback) echo(e *exchanger) {
	started := false
	paused := false
	e.onData = func(data *buffer.Buffer, end bool) {
		if !started {
			started = true
			e.response.EncodeHeaders(headersOf([][2]string{{":status", "200"}}), false)
		}
		e.response.EncodeData(data, end)
	}
	e.onBlocked = func(blocked bool) {
		if paused != blocked && !e.over {
			paused = blocked
			e.stream.ReadDisable(blocked)
		}
	}
}

func (l *loopback) start(size int) {
	c := &call{l: l, left: size, total: size, trailers: l.rng.IntN(3) == 0}
	c.e = l.client.request()
	if err := c.e.requestEnc.EncodeHeaders(headersOf(get), false); err != nil {
		l.t.Fatal(err)
	}
	c.e.onData = func(data *buffer.Buffer, end bool) {
		p := data.AppendTo(nil)
		c.got += len(p)
		c.back = crc32.Update(c.back, crc32.IEEETable, p)
		if c.complete {
			l.t.Errorf("%s: data behind the end", c.e.name)
		}
		c.complete = end
	}
	c.e.onReset = func() { c.aborted = true }
	l.calls = append(l.calls, c)
}

// send sends a piece of the body, or the end.
func (c *call) send() {
	if c.ended || c.e.over || c.e.blocked {
		return
	}
	n := min(c.left, c.l.rng.IntN(40000))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(c.l.rng.Uint32())
	}
	c.sent = crc32.Update(c.sent, crc32.IEEETable, p)
	c.left -= n
	c.ended = c.left == 0
	var data buffer.Buffer
	data.Append(p)
	c.e.requestEnc.EncodeData(&data, c.ended && !c.trailers)
	if c.ended && c.trailers && !c.e.over {
		c.e.requestEnc.EncodeTrailers(headersOf([][2]string{{"x", "y"}}))
	}
	if data.Len() > 0 {
		c.l.t.Errorf("%s: data is left", c.e.name)
	}
}

// move carries bytes from one side to the other, through a socket that takes what it
// likes.
func (l *loopback) move(from, to *user, wire *buffer.Buffer, side int) {
	wire.Move(&from.out)
	n := min(wire.Len(), 1+l.rng.IntN(30000))
	var in buffer.Buffer
	in.MoveN(wire, n)
	from.unsent = wire.Len()
	if high := from.unsent > 100_000 || l.high[side] && from.unsent > 50_000; high != l.high[side] {
		l.high[side] = high
		if high {
			from.codec().OnWriteBufferHigh()
		} else {
			from.codec().OnWriteBufferLow()
		}
	}
	to.woken = false
	to.step(&in)
	if to.dead {
		l.t.Fatalf("connection failed: %v", to.lines)
	}
}

func (l *loopback) turn() {
	l.move(l.client, l.server, &l.toServer, 0)
	l.move(l.server, l.client, &l.toClient, 1)
}

func (l *loopback) idle() bool {
	for _, u := range []*user{l.client, l.server} {
		if u.woken || u.out.Len() > 0 {
			return false
		}
	}
	return l.toServer.Len() == 0 && l.toClient.Len() == 0
}

// disturb does what users do at any time.
func (l *loopback) disturb(c *call) {
	switch l.rng.IntN(40) {
	case 0, 1, 2:
		if !c.e.over {
			c.disabled = !c.disabled
			c.e.stream.ReadDisable(c.disabled)
		}
	case 3:
		if l.rng.IntN(20) == 0 && !c.e.over {
			l.reset++
			c.aborted = true
			c.e.stream.Reset(0)
		}
	case 4:
		if s := l.server.streams[fmt.Sprint(c.e.stream.(requestEncoder).id)]; s != nil && l.rng.IntN(20) == 0 && !s.over && !c.e.over {
			l.reset++
			s.over = true
			s.stream.Reset(0)
		}
	}
}

// TestLoopback sends many bodies there and back at once, with small windows, sockets
// that block, readers that stop and streams that are reset.
func TestLoopback(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			client, server := ClientDefaults(), ServerDefaults()
			for _, s := range []*Settings{&client, &server} {
				s.InitialStreamWindow, s.InitialConnectionWindow = 65535, 65535+uint32(seed%5)*50_000
				s.MaxConcurrentStreams = 30
			}
			l := newLoopback(t, seed, client, server)
			l.run(60)
			l.check()
		})
	}
}

func (l *loopback) run(calls int) {
	started := 0
	for turns := 0; ; turns++ {
		if turns > 200_000 {
			l.t.Fatalf("no end: client %d, server %d streams", l.client.client.Active(), l.server.server.Active())
		}
		for started < calls && l.client.client.CanOpen() && l.rng.IntN(3) > 0 {
			l.start(l.rng.IntN(150_000))
			started++
		}
		busy := false
		for _, c := range l.calls {
			c.send()
			l.disturb(c)
			if started == calls && c.disabled && !c.e.over && l.rng.IntN(10) == 0 {
				c.disabled = false
				c.e.stream.ReadDisable(false)
			}
			busy = busy || !c.e.over
		}
		l.turn()
		if started == calls && !busy && l.idle() {
			return
		}
	}
}

func (l *loopback) check() {
	for _, c := range l.calls {
		if c.aborted {
			continue
		}
		if !c.complete || c.got != c.total || c.back != c.sent {
			l.t.Errorf("%s: complete %t, %d of %d bytes, checksums %x %x", c.e.name, c.complete, c.got, c.total, c.back, c.sent)
		}
	}
	for name, u := range map[string]*user{"client": l.client, "server": l.server} {
		conn := u.conn()
		if len(conn.streams) > 0 || conn.reader.open || conn.queue.head != nil || len(conn.retired) > 0 {
			l.t.Errorf("%s: not idle", name)
		}
		if r := conn.receive; r.left+r.consumed != r.size {
			l.t.Errorf("%s: connection window has lost %d bytes", name, r.size-r.left-r.consumed)
		}
		for _, g := range []string{"streams_active", "pending_send_bytes", "deferred_stream_close"} {
			if n := u.scope.gauges[g].Value(); n != 0 {
				l.t.Errorf("%s: %s %d", name, g, n)
			}
		}
	}
	// What both sides think of each other's window is the same.
	a, b := l.client.conn(), l.server.conn()
	if a.sendWindow != int64(b.receive.left) || b.sendWindow != int64(a.receive.left) {
		l.t.Errorf("windows differ: %d %d, %d %d", a.sendWindow, b.receive.left, b.sendWindow, a.receive.left)
	}
}
