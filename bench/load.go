//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	loadCommand = "_load"
	// warmup is the least time under full load before a measurement; it lasts
	// until every connection has had one answer.
	warmup     = 300 * time.Millisecond
	warmupMost = 15 * time.Second
	// pause is the longest wait for events outside a measurement.
	pause = 10 * time.Millisecond
	// grace is how long requests of an open-loop run may be late before they
	// count as unfinished.
	grace = 2 * time.Second
	// maxErrors ends a run that makes no sense.
	maxErrors = 1000
	// discardFrom is the rest of a body from which on it is read uncopied.
	discardFrom = 4 << 10
)

// loadSpec is what the load process is asked to do.
type loadSpec struct {
	Port     int
	Request  []byte
	Reply    int // length of a reply without a head (echo); 0 for HTTP
	Conns    int
	NewConn  bool    // a new connection for each request
	Rate     float64 // requests per second whatever the answers do; 0: each connection sends when it is answered
	Duration time.Duration

	ProxyPID, UpstreamPID int // whose CPU time to take over the measured window; 0: nobody's
}

// loadResult is what the load process prints.
type loadResult struct {
	Requests, Errors, Unfinished int
	FirstError                   string
	Elapsed                      time.Duration // of the measured window
	ProxyCPU, LoadCPU            time.Duration // used within it; LoadCPU includes the upstream's
	OtherCPU                     time.Duration // used by everything else
	P50, P99                     time.Duration
}

// A loader drives Conns connections from one thread. With a rate it is an open
// loop: request k is due at start + k/rate, waits for a free connection if there
// is none, and its latency counts from when it was due, so a proxy that stalls
// pays for all requests that it kept waiting.
type loader struct {
	spec   loadSpec
	poller *poller
	epoch  time.Time // of now()
	slots  []slot
	idle   []int // a ring of the numbers of idle slots: the longest idle is next
	head   int   // the ring's first
	nIdle  int
	opened int
	buf    [64 << 10]byte

	// Of the phase under way.
	schedule schedule
	latency  histogram
	requests int // number answered
	errors   int
	first    error
}

// A slot is a connection with at most one request under way.
type slot struct {
	fd       int   // -1 when not connected
	pending  bool  // the request is to be written
	waiting  bool  // a request is under way
	answered bool  // at least once
	due      int64 // when the request under way should have been sent
	response response
}

// loadMain runs the measurement that arg (JSON) describes and prints its result.
func loadMain(arg string) error {
	var spec loadSpec
	if err := json.Unmarshal([]byte(arg), &spec); err != nil {
		return err
	}
	result, err := runLoad(spec)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func runLoad(spec loadSpec) (loadResult, error) {
	p, err := newPoller()
	if err != nil {
		return loadResult{}, err
	}
	defer syscall.Close(p.fd)
	l := &loader{
		spec: spec, poller: p, epoch: time.Now(),
		slots: make([]slot, spec.Conns), idle: make([]int, spec.Conns),
	}
	for i := range l.slots {
		l.slots[i].fd = -1
		l.release(i)
	}
	defer l.close()
	if err := l.warm(); err != nil {
		return loadResult{}, err
	}
	return l.measure()
}

func (l *loader) close() {
	for _, s := range l.slots {
		if s.fd >= 0 {
			syscall.Close(s.fd)
		}
	}
}

func (l *loader) now() int64 { return int64(time.Since(l.epoch)) }

func (l *loader) release(i int) {
	l.idle[(l.head+l.nIdle)%len(l.idle)] = i
	l.nIdle++
}

// warm connects everything and runs a closed loop for a while. Before an
// open-loop measurement it lets all requests finish.
func (l *loader) warm() error {
	l.schedule = schedule{end: int64(warmupMost)}
	for l.now() < int64(warmup) || !l.allAnswered() {
		if l.now() > int64(warmupMost) {
			return fmt.Errorf("not every connection was answered in %v (%d errors, first: %w)", warmupMost, l.errors, l.first)
		}
		if err := l.turn(l.now() + int64(pause)); err != nil {
			return err
		}
	}
	if l.spec.Rate == 0 {
		return nil
	}
	l.schedule = schedule{}
	for l.nIdle < len(l.idle) {
		if l.now() > int64(warmupMost) {
			return fmt.Errorf("requests of the warm-up did not finish in %v", warmupMost)
		}
		if err := l.turn(l.now() + int64(pause)); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) allAnswered() bool {
	for i := range l.slots {
		if !l.slots[i].answered {
			return false
		}
	}
	return true
}

// measure runs the measured window.
func (l *loader) measure() (loadResult, error) {
	before, err := l.spec.sampleCPU()
	if err != nil {
		return loadResult{}, err
	}
	start := l.now()
	end := start + int64(l.spec.Duration)
	l.latency, l.requests, l.errors, l.first = histogram{}, 0, 0, nil
	l.schedule = schedule{start: start, end: end, rate: l.spec.Rate}
	for l.now() < end {
		if err := l.turn(end); err != nil {
			return loadResult{}, err
		}
	}
	after, err := l.spec.sampleCPU()
	if err != nil {
		return loadResult{}, err
	}
	r := loadResult{
		Requests: l.requests,
		Elapsed:  time.Duration(l.now() - start),
		ProxyCPU: after.proxy - before.proxy,
		LoadCPU:  after.load - before.load,
	}
	r.OtherCPU = max(after.all-before.all-r.ProxyCPU-r.LoadCPU, 0)
	if l.spec.Rate > 0 {
		if r.Unfinished, err = l.finish(end + int64(grace)); err != nil {
			return loadResult{}, err
		}
	}
	r.Errors = l.errors
	if l.first != nil {
		r.FirstError = l.first.Error()
	}
	r.P50 = time.Duration(l.latency.quantile(0.50))
	r.P99 = time.Duration(l.latency.quantile(0.99))
	return r, nil
}

// finish lets an open loop's late requests finish. Those that have not at the
// time given it counts, and records with the latency they have by then.
func (l *loader) finish(last int64) (unfinished int, err error) {
	for l.now() < last && (l.nIdle < len(l.slots) || l.schedule.due() < l.schedule.end) {
		if err := l.turn(last); err != nil {
			return 0, err
		}
	}
	for i := range l.slots {
		if l.slots[i].waiting {
			l.latency.record(last - l.slots[i].due)
			unfinished++
		}
	}
	for l.schedule.take(last) {
		l.latency.record(last - l.schedule.taken)
		unfinished++
	}
	return unfinished, nil
}

// turn sends what is due, then handles events, waiting for them until the
// time given or the next request's, whichever is first.
func (l *loader) turn(until int64) error {
	now := l.now()
	l.dispatch(now)
	if due := l.schedule.due(); l.nIdle > 0 && due > now && l.schedule.rate > 0 && due < until {
		until = due
	}
	events, err := l.poller.wait(time.Duration(max(until-l.now(), 0)))
	if err != nil {
		return err
	}
	for _, ev := range events {
		i := int(ev.Fd)
		if l.slots[i].fd < 0 {
			continue // closed earlier in this turn
		}
		if done, err := l.progress(&l.slots[i]); err != nil {
			l.fail(i, err)
		} else if done {
			l.complete(i)
			l.dispatch(l.now())
		}
	}
	if l.errors > maxErrors {
		return fmt.Errorf("%d requests failed, the first: %w", l.errors, l.first)
	}
	return nil
}

// dispatch starts requests on idle slots, as many as the schedule has due.
func (l *loader) dispatch(now int64) {
	for l.nIdle > 0 && l.errors <= maxErrors && l.schedule.take(now) {
		i := l.idle[l.head]
		l.head = (l.head + 1) % len(l.idle)
		l.nIdle--
		s := &l.slots[i]
		s.due = l.schedule.taken
		s.waiting, s.pending = true, true
		s.response.reset(l.spec.Reply)
		if s.fd < 0 {
			if err := l.connect(i); err != nil {
				l.fail(i, err)
				continue
			}
		}
		if err := l.send(s); err != nil {
			l.fail(i, err)
		}
	}
}

func (l *loader) connect(i int) error {
	l.opened++
	fd, err := connect(l.spec.Port, byte(1+l.opened%64))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	l.slots[i].fd = fd
	return l.poller.add(fd, i, syscall.EPOLLIN|syscall.EPOLLOUT|edgeTriggered)
}

// send writes the request if the connection is established. On loopback it
// usually is at once.
func (l *loader) send(s *slot) error {
	n, errno := write(s.fd, l.spec.Request)
	switch {
	case errno == syscall.EAGAIN:
		return nil // EPOLLOUT follows
	case errno != 0:
		return fmt.Errorf("write: %w", errno)
	case n < len(l.spec.Request):
		return fmt.Errorf("short write")
	}
	s.pending = false
	return nil
}

// progress handles an event of s and reports whether its request is answered.
func (l *loader) progress(s *slot) (done bool, err error) {
	if s.pending {
		if err := l.send(s); err != nil || s.pending {
			return false, err
		}
	}
	for {
		var n, size int
		var errno syscall.Errno
		big := s.waiting && s.response.body >= discardFrom
		if size = len(l.buf); big {
			size = s.response.body
			n, errno = discard(s.fd, size)
		} else {
			n, errno = read(s.fd, l.buf[:])
		}
		switch {
		case errno == syscall.EAGAIN:
			return false, nil
		case errno != 0:
			return false, fmt.Errorf("read: %w", errno)
		case n == 0:
			return false, fmt.Errorf("connection closed by the proxy")
		case !s.waiting:
			return false, errExcess
		case big:
			s.response.body -= n
			done = s.response.body == 0
		default:
			if done, err = s.response.feed(l.buf[:n]); err != nil {
				return false, err
			}
		}
		if done || n < size {
			return done, nil
		}
	}
}

func (l *loader) complete(i int) {
	s := &l.slots[i]
	l.latency.record(l.now() - s.due)
	l.requests++
	s.waiting, s.answered = false, true
	if l.spec.NewConn {
		syscall.Close(s.fd)
		s.fd = -1
	}
	l.release(i)
}

// fail closes a slot's connection. A proxy may close an idle one; anything
// else is an error.
func (l *loader) fail(i int, err error) {
	s := &l.slots[i]
	if s.fd >= 0 {
		syscall.Close(s.fd)
		s.fd = -1
	}
	if !s.waiting {
		return
	}
	s.waiting, s.pending = false, false
	l.errors++
	if l.first == nil {
		l.first = err
	}
	l.release(i)
}
