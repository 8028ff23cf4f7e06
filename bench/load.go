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
	Reply    int     // length of a reply without a head (echo); 0 for HTTP
	TLS      bool    // connections use TLS
	H2       *h2Spec // HTTP/2, with these requests; nil: Request
	Conns    int
	Streams  int     // requests at a time on each connection
	NewConn  bool    // a new connection for each request
	Resume   bool    // with TLS and NewConn: handshakes resume a session
	Rate     float64 // requests per second whatever the answers do; 0: each connection sends when it is answered
	Duration time.Duration

	ProxyPID, UpstreamPID int // whose CPU time to take over the measured window; 0: nobody's
}

// protocol is what ALPN is to negotiate.
func (s *loadSpec) protocol() string {
	if s.H2 != nil {
		return protocolHTTP2
	}
	return protocolHTTP1
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

// A loader drives Conns connections from one thread, with Streams slots each.
// With a rate it is an open loop: request k is due at start + k/rate, waits for a free slot if there is none, and
// its latency counts from when it was due, so a proxy that stalls pays for all
// requests that it kept waiting.
type loader struct {
	spec   loadSpec
	poller *poller
	epoch  time.Time // of now()
	links  []link
	slots  []slot // link i has Streams of them, from i*Streams on
	idle   []int  // a ring of the numbers of idle slots: the longest idle is next
	head   int    // the ring's first
	nIdle  int
	opened int
	output []int // the numbers of links that have some
	done   []int // of streams, within one event
	buf    [64 << 10]byte

	// Of the phase under way.
	schedule schedule
	latency  histogram
	requests int // number answered
	errors   int
	first    error
}

// A slot carries one request at a time.
type slot struct {
	waiting  bool  // a request is under way
	answered bool  // at least once
	due      int64 // when the request under way should have been sent
}

// loadMain runs the measurement that arg (JSON) describes and prints its result.
func loadMain(arg string) error {
	var spec loadSpec
	if err := json.Unmarshal([]byte(arg), &spec); err != nil {
		return err
	}
	run := runLoad
	if spec.TLS && spec.NewConn {
		run = runHandshakes
	}
	result, err := run(spec)
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
	n := spec.Conns * spec.Streams
	l := &loader{
		spec: spec, poller: p, epoch: time.Now(),
		links: make([]link, spec.Conns), slots: make([]slot, n), idle: make([]int, n),
	}
	for i := range l.links {
		l.links[i].fd = -1
	}
	for i := range l.slots {
		l.release(i)
	}
	defer l.close()
	if err := l.warm(); err != nil {
		return loadResult{}, err
	}
	return l.measure()
}

func (l *loader) close() {
	for i := range l.links {
		l.links[i].close()
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
		if l.links[i].fd < 0 {
			continue // closed earlier in this turn
		}
		if err := l.progress(i); err != nil {
			l.fail(i, err)
		}
		l.dispatch(l.now())
	}
	if l.errors > maxErrors {
		return fmt.Errorf("%d requests failed, the first: %w", l.errors, l.first)
	}
	return nil
}

// dispatch starts requests on idle slots, as many as the schedule has due, and
// writes them.
func (l *loader) dispatch(now int64) {
	for l.nIdle > 0 && l.errors <= maxErrors && l.schedule.take(now) {
		i := l.idle[l.head]
		l.head = (l.head + 1) % len(l.idle)
		l.nIdle--
		l.slots[i].due = l.schedule.taken
		l.slots[i].waiting = true
		if err := l.start(i); err != nil {
			l.fail(i/l.spec.Streams, err)
		}
	}
	for _, i := range l.output {
		k := &l.links[i]
		k.queued = false
		if k.fd < 0 {
			continue
		}
		if err := k.send(); err != nil {
			l.fail(i, err)
		}
	}
	l.output = l.output[:0]
}

// start puts a request into the output of the slot's link.
func (l *loader) start(slot int) error {
	i := slot / l.spec.Streams
	k := &l.links[i]
	if k.fd < 0 {
		if err := l.connect(i); err != nil {
			return err
		}
	}
	l.queue(i)
	return k.request(&l.spec, slot%l.spec.Streams)
}

func (l *loader) queue(i int) {
	if !l.links[i].queued {
		l.links[i].queued = true
		l.output = append(l.output, i)
	}
}

func (l *loader) connect(i int) error {
	l.opened++
	if err := l.links[i].open(&l.spec, byte(1+l.opened%64)); err != nil {
		return err
	}
	return l.poller.add(l.links[i].fd, i, syscall.EPOLLIN|syscall.EPOLLOUT|edgeTriggered)
}

// progress handles an event of a link.
func (l *loader) progress(i int) (err error) {
	k := &l.links[i]
	if err := k.send(); err != nil {
		return err
	}
	l.done, err = k.receive(l.buf[:], l.done[:0])
	for _, stream := range l.done {
		l.complete(i*l.spec.Streams + stream)
	}
	if err == nil && len(k.out) > 0 {
		l.queue(i)
	}
	return err
}

func (l *loader) complete(i int) {
	s := &l.slots[i]
	k := &l.links[i/l.spec.Streams]
	l.latency.record(l.now() - s.due)
	l.requests++
	s.waiting, s.answered = false, true
	k.busy--
	if l.spec.NewConn {
		k.close()
	}
	l.release(i)
}

// fail closes a link. A proxy may close an idle one; anything else is an error
// of the requests under way.
func (l *loader) fail(i int, err error) {
	l.links[i].close()
	l.links[i].busy = 0
	for slot := i * l.spec.Streams; slot < (i+1)*l.spec.Streams; slot++ {
		if !l.slots[slot].waiting {
			continue
		}
		l.slots[slot].waiting = false
		l.errors++
		if l.first == nil {
			l.first = err
		}
		l.release(slot)
	}
}
