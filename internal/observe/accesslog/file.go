package accesslog

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// maxQueued is the number of full blocks that wait for a slow disk.
const maxQueued = 64

// A block is a run of lines. It has one owner at a time: the worker that fills it, a
// slot, the queue or the writer.
type block struct {
	data  []byte
	lines uint64
	seq   uint64 // blocks of a file in the order in which they were begun
}

// A file collects lines and writes them on a goroutine of its own. It implements
// api/accesslog.File.
//
// Workers take no lock. Each has a slot with the block that it fills; it swaps the
// block out, appends, and swaps it back, while the writer may swap it out at any time
// to flush it. Whoever gets a block from a swap owns it, so that no line is torn or
// lost. If the writer finds a slot empty because its worker is appending just then,
// those lines wait for the next flush. A full block goes through a channel, whose lock
// is held for a few instructions, and is taken once in 64 KiB.
type file struct {
	// Set in newFile, read-only after.
	name    string
	stats   *fileStats
	minSize int
	slots   []slot // one per shard, the last for all other goroutines
	full    chan *block
	free    chan *block

	reopening chan struct{} // holds one request
	stop      chan struct{} // closed by Files
	done      chan struct{} // closed by the writer

	seq atomic.Uint64

	// Owned by the writer.
	out   target
	batch []*block
	torn  bool // the last write ended inside a line
}

type slot struct {
	current atomic.Pointer[block]
	_       [56]byte // one cache line each
}

func newFile(name string, out target, o *FilesOptions, stats *fileStats) *file {
	f := &file{
		name: name, stats: stats, minSize: o.FlushMinSize, slots: make([]slot, o.Shards+1), out: out,
		full: make(chan *block, maxQueued), free: make(chan *block, maxQueued),
		reopening: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go f.run(max(o.FlushInterval, time.Millisecond))
	return f
}

// Write implements api/accesslog.File.
func (f *file) Write(shard int, p []byte) {
	s := &f.slots[len(f.slots)-1]
	if shard >= 0 {
		s = &f.slots[shard]
	}
	b := s.current.Swap(nil)
	switch {
	case b == nil:
		b = f.newBlock()
	case len(b.data) < f.minSize:
	case f.send(b): // the queue was full before
		b = f.newBlock()
	default:
		f.stats.dropped.Inc(shard)
		f.put(s, b)
		return
	}
	b.data = append(b.data, p...)
	b.lines++
	f.stats.buffered.Inc(shard)
	f.stats.totalBuffered.Add(shard, int64(len(p)))
	if len(b.data) < f.minSize || !f.send(b) {
		f.put(s, b)
	}
}

func (f *file) newBlock() *block {
	var b *block
	select {
	case b = <-f.free:
	default:
		b = &block{data: make([]byte, 0, f.minSize+f.minSize/8)}
	}
	b.seq = f.seq.Add(1)
	return b
}

// send queues b for the writer. It reports false if the queue is full.
func (f *file) send(b *block) bool {
	select {
	case f.full <- b:
		return true
	default:
		return false
	}
}

// put leaves b in the slot. Only the slot that several goroutines share can hold
// another block by now.
func (f *file) put(s *slot, b *block) {
	if other := s.current.Swap(b); other != nil && !f.send(other) {
		f.stats.dropped.Add(stats.Any, other.lines)
		f.stats.totalBuffered.Add(stats.Any, -int64(len(other.data)))
	}
}

// run is the writer.
func (f *file) run(interval time.Duration) {
	defer close(f.done)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case b := <-f.full:
			f.write(b)
		case <-ticker.C:
			f.stats.flushedByTimer.Inc(stats.Any)
			f.flush()
		case <-f.reopening:
			f.flush()
			f.reopen()
		case <-f.stop:
			f.flush()
			_ = f.out.Close() // nobody is left to tell
			return
		}
	}
}

// flush writes everything. The lines of one worker stay in order: a block of it that
// is in the queue may be older than the one in its slot, or newer.
func (f *file) flush() {
	for i := range f.slots {
		if b := f.slots[i].current.Swap(nil); b != nil {
			f.batch = append(f.batch, b)
		}
	}
	for len(f.full) > 0 {
		f.batch = append(f.batch, <-f.full)
	}
	slices.SortFunc(f.batch, func(a, b *block) int { return cmp.Compare(a.seq, b.seq) })
	for _, b := range f.batch {
		f.write(b)
	}
	clear(f.batch)
	f.batch = f.batch[:0]
}

// write writes b, which begins and ends with a line, and recycles it. What a full disk
// does not take is lost.
func (f *file) write(b *block) {
	if f.torn {
		_, err := f.out.Write([]byte{'\n'})
		f.torn = err != nil
	}
	n, err := f.out.Write(b.data)
	if err == nil {
		f.stats.completed.Inc(stats.Any)
	} else {
		f.stats.failed.Inc(stats.Any)
		f.torn = n > 0 && b.data[n-1] != '\n' || n == 0 && f.torn
	}
	f.stats.totalBuffered.Add(stats.Any, -int64(len(b.data)))
	if cap(b.data) > 2*f.minSize {
		return // one huge line must not hold its memory for ever
	}
	b.data, b.lines = b.data[:0], 0
	select {
	case f.free <- b:
	default:
	}
}

// reopen opens the file by its name again. If that fails the old one stays in use.
func (f *file) reopen() {
	if _, ok := f.out.(standard); ok {
		return
	}
	fresh, err := open(f.name)
	if err != nil {
		f.stats.reopenFailed.Inc(stats.Any)
		return
	}
	_ = f.out.Close() // everything was handed to the system
	f.out, f.torn = fresh, false
}
