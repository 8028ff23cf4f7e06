package conn

import (
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/internal/l4/sock"
)

// A pipeRig is the two connections at the ends of a pipe.
type pipeRig struct {
	*rig
	client, server *Conn
	got            [2]string // by client and server
	ended          [2]bool
}

func newPipeRig(t *testing.T, limit int) *pipeRig {
	r := &pipeRig{rig: newLoop(t, true)}
	from, to := address.Internal("client", ""), address.Internal("server", "1")
	client, server := event.NewPipe(r.loop, limit, from, to)
	r.client = DialPipe(r.loop, to, nil, 0, Config{ID: 1, BufferLimit: 1 << 20, Pipe: client})
	r.server = NewServer(r.loop, sock.Socket{FD: -1, Local: to, Remote: from}, Config{ID: 2, BufferLimit: 1 << 20, Pipe: server})
	r.client.AddCallbacks(r)
	for i, c := range []*Conn{r.client, r.server} {
		c.EnableHalfClose(true)
		c.AddReadFilter(&sink{onData: func(data *buffer.Buffer, end bool) {
			r.got[i] += data.String()
			r.ended[i] = r.ended[i] || end
			data.Drain(data.Len())
		}})
	}
	r.server.Start()
	return r
}

func (r *pipeRig) send(c *Conn, text string, end bool) {
	var b buffer.Buffer
	b.Init(r.loop.Buffers())
	b.AppendString(text)
	c.Write(&b, end)
}

func (r *rig) turns(n int) {
	for range n {
		r.loop.Turn()
	}
}

// TestPipe sends more than the pipe holds both ways, and ends one half after the other.
func TestPipe(t *testing.T) {
	r := newPipeRig(t, 100_000)
	long := strings.Repeat("x", 3<<20)
	r.send(r.client, long, true)
	if !r.client.AboveHighWatermark() {
		t.Error("below the high watermark")
	}
	r.until(func() bool { return r.ended[1] })
	if r.got[1] != long || r.client.AboveHighWatermark() || r.client.State() != network.Open || r.server.State() != network.Open {
		t.Errorf("%d bytes, %v, %v", len(r.got[1]), r.client.State(), r.server.State())
	}
	if info := r.client.Info(); info.Local.String() != "envoy://client/" || info.Remote.String() != "envoy://server/1" || r.server.Info().Remote != info.Local {
		t.Errorf("%s to %s", info.Local, info.Remote)
	}
	r.send(r.server, "answer", true)
	r.until(func() bool { return r.client.State() == network.Closed && r.server.State() == network.Closed })
	if r.got[0] != "answer" || !r.ended[0] {
		t.Errorf("%q, %v", r.got[0], r.ended[0])
	}
}

// TestPipePressure: who does not read stops who writes, at the limit of the pipe.
func TestPipePressure(t *testing.T) {
	const limit = 100_000
	r := newPipeRig(t, limit)
	r.turns(3)
	r.server.ReadDisable(true)
	r.send(r.client, strings.Repeat("x", 1<<20), false)
	r.turns(5)
	if sent := 1<<20 - r.client.Unsent(); sent != limit || r.got[1] != "" {
		t.Errorf("%d bytes left, %d arrived", sent, len(r.got[1]))
	}
	r.server.ReadDisable(false)
	r.until(func() bool { return len(r.got[1]) == 1<<20 })
	r.client.Close(network.AbortReset, "")
	r.until(func() bool { return r.ended[1] })
	if r.server.Info().CloseType != 0 {
		t.Error("an internal connection was reset")
	}
	r.server.Close(network.NoFlush, "")
}

// TestPipeCost: an exchange over a pipe does not allocate, and its ends stay on their loop.
func TestPipeCost(t *testing.T) {
	r := newLoop(t, true)
	client, server := event.NewPipe(r.loop, 1<<20, address.Internal("c", ""), address.Internal("s", ""))
	c := DialPipe(r.loop, address.Internal("s", ""), nil, 0, Config{Pipe: client})
	s := NewServer(r.loop, sock.Socket{FD: -1}, Config{Pipe: server})
	received := 0
	c.AddReadFilter(&sink{onData: func(data *buffer.Buffer, _ bool) {
		received += data.Len()
		data.Drain(data.Len())
	}})
	s.AddReadFilter(&sink{onData: func(data *buffer.Buffer, _ bool) { s.Write(data, false) }})
	s.Start()
	r.turns(3)
	var b buffer.Buffer
	b.Init(r.loop.Buffers())
	text := make([]byte, 5000)
	if n := testing.AllocsPerRun(100, func() {
		b.Append(text)
		c.Write(&b, false)
		r.turns(3)
	}); n != 0 || received != 101*len(text) {
		t.Errorf("%v allocations, %d bytes came back", n, received)
	}
	if c.Detach() || c.State() != network.Open {
		t.Error("a pipe left its loop")
	}
	c.Close(network.NoFlush, "")
	r.until(func() bool { return s.State() == network.Closed })
}
