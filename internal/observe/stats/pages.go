package stats

import (
	"sync"
	"sync/atomic"
)

// cellsPerPage makes a page 4 KiB, which the allocator aligns to its size: pages of
// two shards never share a cache line.
const cellsPerPage = 512

type page [cellsPerPage]atomic.Uint64

// pages hands out the cells of counters and gauges. The cells that one shard writes
// lie next to each other, so that a worker's counters fill few cache lines and none
// of another worker's.
type pages struct {
	shards int // set in newPages; Any's shard is the last one

	mu   sync.Mutex
	free [][]*atomic.Uint64 // guarded by mu; each holds one zero cell per shard
}

// alloc returns one zero cell per shard.
func (p *pages) alloc() []*atomic.Uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		p.growLocked()
	}
	last := len(p.free) - 1
	cells := p.free[last]
	p.free = p.free[:last]
	return cells
}

func (p *pages) growLocked() {
	table := make([]*atomic.Uint64, cellsPerPage*p.shards)
	for shard := range p.shards {
		cells := new(page)
		for i := range cells {
			table[i*p.shards+shard] = &cells[i]
		}
	}
	for i := len(table); i > 0; i -= p.shards {
		p.free = append(p.free, table[i-p.shards:i:i])
	}
}

// release takes cells back that nobody writes any more.
func (p *pages) release(cells []*atomic.Uint64) {
	for _, cell := range cells {
		cell.Store(0)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, cells)
}
