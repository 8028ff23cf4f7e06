// Package buffer holds bytes on their way through the proxy: a chain of pooled
// blocks that move from one buffer to another without a copy, with watermarks
// for back-pressure.
package buffer

// BlockSize is the size of a pooled block in bytes.
const BlockSize = 16 << 10

// copyBelow is the length up to which a segment is copied on a move rather than
// handed over: a short copy is cheaper than another element in a writev, and
// gives the block back at once.
const copyBelow = 1 << 10

// maxFree bounds the blocks that a Pool keeps for later (4 MiB).
const maxFree = 256

type block [BlockSize]byte

// A Pool keeps free blocks for the buffers of one event loop. It is not safe for
// concurrent use: it belongs to its loop's goroutine.
type Pool struct {
	free  []*block
	inUse int
}

func (p *Pool) get() *block {
	if p == nil {
		return new(block)
	}
	p.inUse++
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b
	}
	return new(block)
}

func (p *Pool) put(b *block) {
	if p == nil {
		return
	}
	p.inUse--
	if len(p.free) < maxFree {
		p.free = append(p.free, b)
	}
}

// InUse returns the number of blocks that buffers hold; tests check that it ends
// at zero.
func (p *Pool) InUse() int { return p.inUse }

// Trim drops the free blocks, so that the garbage collector can give them back.
func (p *Pool) Trim() { p.free = nil }

// A segment is a run of unread bytes: a window of a pooled block, or foreign
// bytes when block is nil.
type segment struct {
	data  []byte
	block *block
	used  int // end of the bytes written to block
}

// room returns the writable tail of the segment's block.
func (s *segment) room() []byte {
	if s.block == nil {
		return nil
	}
	return s.block[s.used:]
}

// A Buffer is a queue of bytes. The zero Buffer is empty, has no watermarks and
// takes its blocks from the heap; Init gives it a pool. A Buffer belongs to one
// goroutine and must not be copied.
type Buffer struct {
	pool *Pool
	segs []segment // segs[head:] hold the bytes
	head int
	n    int

	high, low     int // 0: no watermarks
	above         bool
	onHigh, onLow func()
}

// Init sets the pool that b takes blocks from. It is called once, while b is
// empty.
func (b *Buffer) Init(p *Pool) { b.pool = p }

// Pool returns the pool that Init set, nil if there is none: for a second buffer
// that exchanges bytes with b.
func (b *Buffer) Pool() *Pool { return b.pool }

// SetWatermarks sets the limit in bytes above which onHigh is called (once), and
// half of which, when reached again from above, calls onLow. Zero turns
// watermarks off; a buffer that was above its mark then calls onLow. Either
// function may be nil.
func (b *Buffer) SetWatermarks(high int, onHigh, onLow func()) {
	b.high, b.low, b.onHigh, b.onLow = high, high/2, onHigh, onLow
	if high == 0 && b.above {
		b.above = false
		b.notify(b.onLow)
		return
	}
	b.grown()
	b.shrunk()
}

// AboveHighWatermark reports whether the high mark was passed and the low mark
// not reached since.
func (b *Buffer) AboveHighWatermark() bool { return b.above }

// HighWatermark returns the limit in bytes, 0 if there is none.
func (b *Buffer) HighWatermark() int { return b.high }

func (b *Buffer) notify(f func()) {
	if f != nil {
		f()
	}
}

func (b *Buffer) grown() {
	if b.high > 0 && !b.above && b.n > b.high {
		b.above = true
		b.notify(b.onHigh)
	}
}

func (b *Buffer) shrunk() {
	if b.above && b.n <= b.low {
		b.above = false
		b.notify(b.onLow)
	}
}

// Len returns the number of bytes in b.
func (b *Buffer) Len() int { return b.n }

// Append copies p to the end of b.
func (b *Buffer) Append(p []byte) {
	b.append(p)
	b.grown()
}

func (b *Buffer) append(p []byte) {
	b.n += len(p)
	for len(p) > 0 {
		room := b.tail()
		n := copy(room, p)
		b.extend(n)
		p = p[n:]
	}
}

// AppendString copies s to the end of b.
func (b *Buffer) AppendString(s string) {
	b.n += len(s)
	for len(s) > 0 {
		n := copy(b.tail(), s)
		b.extend(n)
		s = s[n:]
	}
	b.grown()
}

// AppendByte adds one byte to the end of b.
func (b *Buffer) AppendByte(c byte) {
	b.tail()[0] = c
	b.extend(1)
	b.n++
	b.grown()
}

// AppendForeign adds p to the end of b without a copy. Nobody may change p while
// b, or a buffer that its bytes moved to, holds it.
func (b *Buffer) AppendForeign(p []byte) {
	if len(p) == 0 {
		return
	}
	b.segs = append(b.segs, segment{data: p})
	b.n += len(p)
	b.grown()
}

// tail returns the writable end of b, at least one byte.
func (b *Buffer) tail() []byte {
	if len(b.segs) > b.head {
		if room := b.segs[len(b.segs)-1].room(); len(room) > 0 {
			return room
		}
	}
	b.addBlock()
	return b.segs[len(b.segs)-1].room()
}

func (b *Buffer) addBlock() {
	if b.head > 0 && len(b.segs) == cap(b.segs) {
		b.segs = append(b.segs[:0], b.segs[b.head:]...)
		b.head = 0
	}
	blk := b.pool.get()
	b.segs = append(b.segs, segment{}) // filled in place: a copy would wait for its parts
	s := &b.segs[len(b.segs)-1]
	s.block, s.data = blk, blk[:0]
}

// extend takes n bytes that were written at the tail of the last segment into it.
func (b *Buffer) extend(n int) {
	s := &b.segs[len(b.segs)-1]
	start := s.used - len(s.data)
	s.used += n
	s.data = s.block[start:s.used]
}

// Reserve appends up to count writable slices to dst, the free end of b first,
// new blocks after, for a read or readv that Commit follows. Nothing else may be
// done with b in between.
func (b *Buffer) Reserve(dst [][]byte, count int) [][]byte {
	if len(b.segs) > b.head {
		// A short tail is not worth a system call of its own.
		if room := b.segs[len(b.segs)-1].room(); len(room) >= copyBelow {
			dst = append(dst, room)
			count--
		}
	}
	for ; count > 0; count-- {
		b.addBlock()
		dst = append(dst, b.segs[len(b.segs)-1].room())
	}
	return dst
}

// Commit adds the first n bytes of the slices that Reserve returned, and gives
// the blocks back that stayed empty. slices is Reserve's result (without what dst
// held before).
func (b *Buffer) Commit(slices [][]byte, n int) {
	b.n += n
	i := len(b.segs) - len(slices)
	for _, room := range slices {
		s := &b.segs[i]
		take := min(n, len(room))
		start := s.used - len(s.data)
		s.used += take
		s.data = s.block[start:s.used]
		n -= take
		i++
	}
	for last := len(b.segs) - 1; last >= b.head && len(b.segs[last].data) == 0; last-- {
		b.pool.put(b.segs[last].block)
		b.segs[last] = segment{}
		b.segs = b.segs[:last]
	}
	if len(b.segs) == b.head {
		b.segs, b.head = b.segs[:0], 0
	}
	b.grown()
}

// Front returns the first contiguous run of bytes, nil if b is empty. It is valid
// until b changes.
func (b *Buffer) Front() []byte {
	if b.n == 0 {
		return nil
	}
	return b.segs[b.head].data
}

// Slices appends the runs of bytes in b to dst, at most max of them, and returns
// it. They are valid until b changes.
func (b *Buffer) Slices(dst [][]byte, max int) [][]byte {
	for i := b.head; i < len(b.segs) && max > 0; i, max = i+1, max-1 {
		dst = append(dst, b.segs[i].data)
	}
	return dst
}

// AppendTo appends a copy of all bytes of b to dst.
func (b *Buffer) AppendTo(dst []byte) []byte {
	for _, s := range b.segs[b.head:] {
		dst = append(dst, s.data...)
	}
	return dst
}

// String returns a copy of all bytes of b.
func (b *Buffer) String() string { return string(b.AppendTo(make([]byte, 0, b.n))) }

// Drain removes the first n bytes (all, if there are fewer).
func (b *Buffer) Drain(n int) {
	n = min(n, b.n)
	b.n -= n
	for n > 0 {
		s := &b.segs[b.head]
		if n < len(s.data) {
			s.data = s.data[n:]
			break
		}
		n -= len(s.data)
		b.dropFront(true)
	}
	b.shrunk()
}

// dropFront removes the first segment, and frees its block unless it moved.
func (b *Buffer) dropFront(free bool) {
	s := &b.segs[b.head]
	if free && s.block != nil {
		b.pool.put(s.block)
	}
	*s = segment{}
	b.head++
	if b.head == len(b.segs) {
		b.segs, b.head = b.segs[:0], 0
	}
}

// Reset removes all bytes and calls no watermark function; the buffer is as
// after Init.
func (b *Buffer) Reset() {
	for b.head < len(b.segs) {
		b.dropFront(true)
	}
	b.segs, b.head, b.n = b.segs[:0], 0, 0
	b.high, b.low, b.above, b.onHigh, b.onLow = 0, 0, false, nil, nil
}

// Move moves all bytes of src to the end of b, without copying long runs. Both
// use the same pool.
func (b *Buffer) Move(src *Buffer) { b.MoveN(src, src.n) }

// MoveN moves the first n bytes of src (all, if there are fewer) to the end of b.
func (b *Buffer) MoveN(src *Buffer, n int) {
	n = min(n, src.n)
	src.n -= n
	for n > 0 {
		s := &src.segs[src.head]
		switch {
		case n < len(s.data):
			b.append(s.data[:n])
			s.data = s.data[n:]
			n = 0
		case len(s.data) <= copyBelow || s.block != nil && src.pool != b.pool:
			n -= len(s.data)
			b.append(s.data)
			src.dropFront(true)
		default:
			n -= len(s.data)
			b.n += len(s.data)
			b.segs = append(b.segs, *s)
			src.dropFront(false)
		}
	}
	b.grown()
	src.shrunk()
}

// AppendCopy adds a copy of all bytes of src, which keeps them, to the end of b.
func (b *Buffer) AppendCopy(src *Buffer) {
	for _, s := range src.segs[src.head:] {
		b.append(s.data)
	}
	b.grown()
}

// IndexByte returns the position of the first c in b, or -1.
func (b *Buffer) IndexByte(c byte) int {
	at := 0
	for _, s := range b.segs[b.head:] {
		for i, x := range s.data {
			if x == c {
				return at + i
			}
		}
		at += len(s.data)
	}
	return -1
}
