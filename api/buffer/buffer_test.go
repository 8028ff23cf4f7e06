package buffer

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestBufferIsAQueue drives two buffers with random operations beside plain byte
// slices.
func TestBufferIsAQueue(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var pool Pool
	var bufs [2]Buffer
	var want [2][]byte
	for i := range bufs {
		bufs[i].Init(&pool)
	}
	next := byte(0)
	bytesOf := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = next
			next++
		}
		return p
	}
	for step := range 2000 {
		i := rng.IntN(2)
		b, n := &bufs[i], rng.IntN(3*BlockSize)
		if rng.IntN(2) == 0 {
			n %= 100
		}
		switch rng.IntN(9) {
		case 0:
			p := bytesOf(n)
			b.Append(p)
			want[i] = append(want[i], p...)
		case 1:
			p := bytesOf(n)
			b.AppendString(string(p))
			want[i] = append(want[i], p...)
		case 2:
			p := bytesOf(n)
			b.AppendForeign(p)
			want[i] = append(want[i], p...)
		case 3:
			slots := b.Reserve(nil, 1+rng.IntN(4))
			p := bytesOf(n % (BlockSize / 2))
			got := 0
			for _, s := range slots {
				got += copy(s, p[got:])
			}
			b.Commit(slots, got)
			want[i] = append(want[i], p[:got]...)
		case 4, 5, 7, 8:
			b.Drain(n)
			want[i] = want[i][min(n, len(want[i])):]
		case 6:
			n = min(n, len(want[1-i]))
			b.MoveN(&bufs[1-i], n)
			want[i] = append(want[i], want[1-i][:n]...)
			want[1-i] = want[1-i][n:]
		}
		for k := range bufs {
			if bufs[k].Len() != len(want[k]) || !bytes.Equal(bufs[k].AppendTo(nil), want[k]) {
				t.Fatalf("step %d: buffer %d differs", step, k)
			}
			if f := bufs[k].Front(); len(want[k]) > 0 && (len(f) == 0 || f[0] != want[k][0]) {
				t.Fatalf("step %d: front of %d", step, k)
			}
		}
	}
	for i := range bufs {
		bufs[i].Drain(bufs[i].Len())
	}
	if pool.InUse() != 0 {
		t.Errorf("%d blocks left", pool.InUse())
	}
}

func TestWatermarks(t *testing.T) {
	var b Buffer
	var events string
	b.SetWatermarks(10, func() { events += "H" }, func() { events += "L" })
	b.AppendString("0123456789")
	b.AppendString("0")
	b.AppendString("1")
	b.Drain(6)
	b.Drain(1)
	b.AppendString("0123456789")
	b.SetWatermarks(100, b.onHigh, b.onLow)
	if events != "HLHL" {
		t.Errorf("events %q", events)
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	var pool Pool
	var in, out Buffer
	in.Init(&pool)
	out.Init(&pool)
	p := make([]byte, 40000)
	dst := make([][]byte, 0, 8)
	step := func() {
		slots := in.Reserve(dst[:0], 2)
		in.Commit(slots, 20000)
		in.Append(p)
		out.Move(&in)
		out.Slices(dst[:0], 8)
		out.Drain(out.Len())
	}
	step()
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAppendCopyLeavesTheSource(t *testing.T) {
	var pool Pool
	var b, src Buffer
	b.Init(&pool)
	src.Init(&pool)
	text := bytes.Repeat([]byte("abc"), 20000)
	src.Append(text)
	src.AppendForeign([]byte("tail"))
	b.AppendString("head")
	b.AppendCopy(&src)
	src.Drain(10)
	if want := "head" + string(text) + "tail"; b.String() != want {
		t.Errorf("%d bytes, want %d", b.Len(), len(want))
	}
	if src.Len() != len(text)+4-10 {
		t.Errorf("source has %d bytes", src.Len())
	}
}
