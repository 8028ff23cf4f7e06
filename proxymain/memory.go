package proxymain

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// tune sets what belongs to the process. The workers hold a thread each; the
// garbage collector, admin and other helpers need room beside them. Requests leave
// little garbage, so that collecting more rarely costs little memory, which a limit
// from outside (GOMEMLIMIT, GOGC) still bounds.
func tune(workers int) {
	runtime.GOMAXPROCS(max(workers+1, runtime.GOMAXPROCS(0)))
	if debug.SetGCPercent(100) == 100 {
		debug.SetGCPercent(400)
	}
}

const (
	// heapCheck is how often giveBackMemory looks at the heap.
	heapCheck = time.Second
	// quietBytes is what a proxy with little to do may allocate from one look to the next.
	quietBytes = 1 << 20
	// spareBytes is what the heap may hold beyond what is in use.
	spareBytes = 8 << 20
)

// givingMemoryBack runs f, and meanwhile gives memory back to the system when there is
// little to do: garbage is collected when the heap has grown to a multiple of what is in
// use, which after a burst, as of TLS handshakes, may be long in coming.
func givingMemoryBack(ctx context.Context, f func(ctx context.Context) error) error {
	var helper sync.WaitGroup
	defer helper.Wait()
	until, stop := context.WithCancel(ctx)
	defer stop()
	helper.Go(func() { giveBackMemory(until) })
	return f(ctx)
}

func giveBackMemory(ctx context.Context) {
	tick := time.NewTicker(heapCheck)
	defer tick.Stop()
	for before := readHeap(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := readHeap()
		if now.wasteful(before) {
			debug.FreeOSMemory()
		}
		before = now
	}
}

// A heap is what the runtime says of it, in bytes.
type heap struct {
	allocated uint64 // since the start of the process
	inUse     uint64 // when garbage was last collected
	occupied  uint64 // by what is in use and by garbage
	free      uint64 // not given back to the system
}

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	return heap{samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64(), samples[3].Value.Uint64()}
}

// wasteful reports whether nothing much happened since before, and the heap holds more
// than it is worth to keep for what will. When it was given back it does not any more, so
// that a large heap is not collected again and again.
func (h heap) wasteful(before heap) bool {
	return h.allocated-before.allocated <= quietBytes && h.occupied+h.free > h.inUse+max(h.inUse/2, spareBytes)
}
