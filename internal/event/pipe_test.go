package event

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
)

// A pipeEnd is a socket at the end of a pipe, and what its observer was told.
type pipeEnd struct {
	Socket
	told Ready
}

func (e *pipeEnd) OnReady(r Ready) { e.told |= r }

// take returns what was told since the last call.
func (e *pipeEnd) take() Ready {
	r := e.told
	e.told = 0
	return r
}

func newPipeEnds(t *testing.T, limit int) (l *Loop, client, server *pipeEnd) {
	t.Helper()
	l, err := New(Config{Portable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := l.Buffers().InUse(); n != 0 {
			t.Errorf("%d blocks are in use", n)
		}
		l.Close()
	})
	client, server = &pipeEnd{}, &pipeEnd{}
	a, b := NewPipe(l, limit, address.Internal("client", ""), address.Internal("server", "1"))
	client.OpenPipe(a)
	server.OpenPipe(b)
	t.Cleanup(func() {
		client.Close(false)
		server.Close(false)
	})
	if err := client.Attach(l, client, Readable|Writable); err != nil {
		t.Fatal(err)
	}
	return l, client, server
}

func TestPipe(t *testing.T) {
	l, client, server := newPipeEnds(t, 10)
	l.Turn()
	if r := client.take(); r != Writable || client.Connected() != nil {
		t.Errorf("connecting: %b", r)
	}
	if client.LocalAddress() != server.RemoteAddress() || client.RemoteAddress() != server.LocalAddress() || client.FD() != -1 {
		t.Errorf("%s to %s", client.LocalAddress(), client.RemoteAddress())
	}
	if _, ok := client.RTT(); ok {
		t.Error("has a round trip time")
	}
	// What was written before the other end is there waits for it.
	if n, err := client.Write([][]byte{[]byte("01234"), []byte("56789ab")}); n != 10 || err != ErrAgain {
		t.Fatalf("%d, %v", n, err)
	}
	if err := server.Attach(l, server, Readable); err != nil {
		t.Fatal(err)
	}
	l.Turn()
	if r := server.take(); r != Readable {
		t.Errorf("told %b", r)
	}
	buf := make([]byte, 4)
	if n, err := server.Read([][]byte{buf}); n != 4 || err != nil || string(buf) != "0123" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if l.Turn(); client.take() != 0 {
		t.Error("may write though hardly anything was read")
	}
	var in buffer.Buffer
	in.Init(l.Buffers())
	if n, err := server.Pipe().Read(&in, 100); n != 6 || err != ErrAgain || in.String() != "456789" {
		t.Errorf("%q, %v", in.String(), err)
	}
	in.Reset()
	if l.Turn(); client.take() != Writable {
		t.Error("may not write again")
	}
	if _, err := server.Read([][]byte{buf}); err != ErrAgain {
		t.Error(err)
	}
}

// TestPipeEnds: each half ends on its own, and a close ends both.
func TestPipeEnds(t *testing.T) {
	l, client, server := newPipeEnds(t, 10)
	if err := server.Attach(l, server, Readable); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	client.Write([][]byte{[]byte("last")})
	if err := client.CloseWrite(); err != nil {
		t.Error(err)
	}
	l.Turn()
	if r := server.take(); r != Readable|PeerClosed {
		t.Errorf("told %b", r)
	}
	if _, err := client.Write([][]byte{buf}); err != syscall.EINVAL || IsReset(err) {
		t.Errorf("wrote after the end: %v", err)
	}
	if n, err := server.Read([][]byte{buf}); n != 4 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := server.Read([][]byte{buf}); err != io.EOF {
		t.Error(err)
	}
	server.Write([][]byte{[]byte("answer")})
	client.take()
	server.Close(true)
	l.Turn()
	if r := client.take(); r != Readable|Writable|PeerClosed {
		t.Errorf("told %b", r)
	}
	if n, err := client.Read([][]byte{buf}); n != 6 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := client.Read([][]byte{buf}); err != io.EOF {
		t.Error(err)
	}
	if err := client.CloseWrite(); err == nil {
		t.Error("nobody is there to be told")
	}
	if client.Close(false); client.IsOpen() || client.Pipe() != nil {
		t.Error("still open")
	}
}

// TestPipeStays: an end is on the loop of the pipe only, and can leave it for a while.
func TestPipeStays(t *testing.T) {
	l, client, server := newPipeEnds(t, 10)
	other, err := New(Config{Portable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := server.Attach(other, server, Readable); !errors.Is(err, errElsewhere) {
		t.Errorf("went to another loop: %v", err)
	}
	if err := server.Attach(l, server, Readable); err != nil {
		t.Fatal(err)
	}
	server.Detach()
	client.Write([][]byte{[]byte("x")})
	if l.Turn(); server.take() != 0 {
		t.Error("told while it was off")
	}
	if err := server.Attach(l, server, Readable); err != nil {
		t.Fatal(err)
	}
	if l.Turn(); server.take() != Readable {
		t.Error("not told of what came meanwhile")
	}
}

// TestPipeOrder writes and reads in every way, in pieces of any length: what arrives is
// what was written, and there is never more on its way than the limit.
func TestPipeOrder(t *testing.T) {
	const limit, total = 50_000, 2_000_000
	l, client, server := newPipeEnds(t, limit)
	if err := server.Attach(l, server, Readable); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	source := make([]byte, total)
	for i := range source {
		source[i] = byte(random.Uint32())
	}
	var out, in buffer.Buffer
	out.Init(l.Buffers())
	in.Init(l.Buffers())
	var got []byte
	for sent := 0; len(got) < total; {
		piece := source[sent:min(sent+random.IntN(100_000), total)]
		var n int
		if random.IntN(2) == 0 {
			n, _ = client.Write([][]byte{piece[:len(piece)/2], piece[len(piece)/2:]})
		} else {
			out.Append(piece)
			n, _ = client.Pipe().Write(&out)
			out.Reset()
			out.Init(l.Buffers())
		}
		if sent += n; sent-len(got) > limit {
			t.Fatalf("%d bytes are on their way", sent-len(got))
		}
		want := 1 + random.IntN(100_000)
		if random.IntN(2) == 0 {
			b := make([]byte, want)
			n, _ := server.Read([][]byte{b[:want/2], b[want/2:]})
			got = append(got, b[:n]...)
		} else if _, err := server.Pipe().Read(&in, want); err == nil || err == ErrAgain {
			got = in.AppendTo(got)
			in.Drain(in.Len())
		}
	}
	if !bytes.Equal(got, source) {
		t.Error("other bytes arrived")
	}
}
