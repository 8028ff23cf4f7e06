package listener

import (
	"sync/atomic"
	"time"

	apievent "github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/internal/l4/conn"
	"github.com/nuncio-proxy/nuncio/internal/l4/sock"
)

// acceptPause is how long a socket rests after accepting failed.
const acceptPause = 100 * time.Millisecond

// balance counts a listener's connections, those on their way to a worker
// included. Any goroutine.
type balance struct {
	total   atomic.Int64
	workers []atomic.Int64
}

// least returns the worker with the fewest connections.
func (b *balance) least() int {
	best := 0
	for i := range b.workers {
		if b.workers[i].Load() < b.workers[best].Load() {
			best = i
		}
	}
	return best
}

func (b *balance) add(worker int, n int64) {
	b.total.Add(n)
	b.workers[worker].Add(n)
}

// A worker is a listener on one worker's loop.
type worker struct {
	// set in the constructor, read-only after
	loop    *event.Loop
	index   int
	options *Options
	counts  *balance
	peers   []*worker // the same listener on all workers

	// owned by the loop
	config     *config // of new connections
	acceptors  map[*socketSet]*acceptor
	neighbours *neighbours // all listeners
	first      *connection // list of all connections
}

// apply makes cfg the configuration of new connections, and sets the sockets that
// are accepted on; released is told of each one that is not any more. It reports
// the sockets that cannot be watched.
func (w *worker) apply(cfg *config, sets []*socketSet, released func(*socketSet)) (err error) {
	w.register(cfg)
	w.config = cfg
	wanted := map[*socketSet]bool{}
	for _, s := range sets {
		wanted[s] = true
		if w.acceptors[s] == nil {
			a := &acceptor{worker: w, set: s}
			if startErr := a.start(); startErr != nil {
				err = startErr
				released(s)
				continue
			}
			w.acceptors[s] = a
		}
	}
	for s, a := range w.acceptors {
		if !wanted[s] {
			a.stop()
			delete(w.acceptors, s)
			released(s)
		}
	}
	return err
}

// closeConnections ends the connections that gone reports.
func (w *worker) closeConnections(gone func(*connection) bool) {
	for c := w.first; c != nil; {
		next := c.next // Close takes c off the list
		if gone(c) {
			c.conn.Close(network.NoFlush, "")
		}
		c = next
	}
}

// closeIdle ends the connections that serve nobody.
func (w *worker) closeIdle() {
	for c := w.first; c != nil; {
		next := c.next
		c.conn.CloseIfIdle()
		c = next
	}
}

// An acceptor is one listening socket on one worker.
type acceptor struct {
	worker *worker
	set    *socketSet
	events *event.Acceptor[sock.Socket]
	resume apievent.Timer // nil until accepting failed
	failed bool           // since the last success; said in the log once
}

func (a *acceptor) start() error {
	l := a.set.of(a.worker.index)
	var err error
	a.events, err = event.NewAcceptor(a.worker.loop, l.FD(), l.Accept, a.accept)
	return err
}

func (a *acceptor) stop() {
	a.events.Close()
	if a.resume != nil {
		a.resume.Disable()
	}
}

// accept takes the connections that wait.
func (a *acceptor) accept() {
	w := a.worker
	cfg, n := w.config, 0
	for n < cfg.maxAccepts {
		s, err := a.events.Accept()
		if err == event.ErrAgain { //nolint:errorlint // the data path, and Accept returns it bare
			break
		}
		if err != nil {
			a.pause(err)
			break
		}
		a.failed = false
		n++
		w.accepted(s)
	}
	if n > 0 {
		cfg.stats.accepted.Record(w.loop.Shard(), uint64(n))
	}
}

// pause rests a while: no descriptors are left, or something worse. The
// connections wait in the system's queue.
func (a *acceptor) pause(err error) {
	w := a.worker
	w.config.stats.acceptPaused.Inc(w.loop.Shard())
	if !a.failed {
		a.failed = true
		w.options.Context.Log.Warnf("listener '%s': cannot accept, pausing: %v", w.config.name, err)
	}
	a.events.Pause()
	if a.resume == nil {
		a.resume = w.loop.NewTimer(a.tryResume)
	}
	a.resume.Enable(acceptPause)
}

func (a *acceptor) tryResume() {
	if err := a.events.Resume(); err != nil {
		a.resume.Enable(acceptPause)
	}
}

// accepted decides whether the connection may stay, and where.
func (w *worker) accepted(s sock.Socket) {
	cfg, shard := w.config, w.loop.Shard()
	runtime := w.options.Context.Runtime.Snapshot()
	open := w.options.Open.Add(1)
	if !cfg.ignoreGlobalLimit && uint64(open) > runtime.Integer(globalLimitKey, noLimit) {
		w.options.Open.Add(-1)
		cfg.stats.globalOverflow.Inc(shard)
		s.Close()
		return
	}
	target := w
	if cfg.exactBalance {
		target = w.peers[w.counts.least()]
	}
	w.counts.add(target.index, 1)
	if uint64(w.counts.total.Load()) > runtime.Integer(cfg.limitKey, noLimit) {
		cfg.stats.overflow.Inc(shard)
		target.forget()
		s.Close()
		return
	}
	if target == w {
		w.take(s)
	} else if !target.loop.Post(func() { target.take(s) }) {
		target.forget()
		s.Close()
	}
}

// noLimit is the default of the connection limits.
const noLimit = 1<<64 - 1

// forget takes back what accepted counted.
func (w *worker) forget() {
	w.counts.add(w.index, -1)
	w.options.Open.Add(-1)
}

// take makes a connection of s.
func (w *worker) take(s sock.Socket) {
	if w.config == nil { // the listener stopped while s was on its way here
		w.forget()
		s.Close()
		return
	}
	w.connect(s, nil).run()
}

// connect returns the connection of s, or of p if that is not nil.
func (w *worker) connect(s sock.Socket, p *event.Pipe) *connection {
	c := &connection{worker: w, config: w.config}
	if len(c.config.filters) > 0 {
		c.inspection = newInspection(c, s.FD)
	}
	c.conn = conn.NewServer(w.loop, s, conn.Config{
		ID: w.options.ConnectionIDs.Add(1), BufferLimit: c.config.bufferLimit, Pipe: p,
		MeasureRTT: w.options.MeasureRTT != nil && w.options.MeasureRTT(),
	})
	return c
}

// run begins with a new connection.
func (c *connection) run() {
	w := c.worker
	before := w.loop.SetOwner(c.conn)
	defer w.loop.SetOwner(before)
	w.link(c)
	c.conn.AddCallbacks(c)
	c.start()
}

func (w *worker) link(c *connection) {
	c.next = w.first
	if w.first != nil {
		w.first.prev = c
	}
	w.first = c
}

func (w *worker) unlink(c *connection) {
	if c.next != nil {
		c.next.prev = c.prev
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		w.first = c.next
	}
	c.next, c.prev = nil, nil
}
