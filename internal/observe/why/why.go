// Package why remembers the last answers that the proxy gave by itself and tells
// the reasons: GET /why on the admin server, and one log line for each of them when
// the log level of component http is debug.
//
// Workers write what they have at hand into slots that are used again, one ring for
// each shard. Explaining, which costs more, is done when somebody asks.
package why

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/why"
)

// perShard is how many answers a worker remembers.
const perShard = 128

// Config is what a Log sees of the server.
type Config struct {
	// Shards is one more than the highest shard of a worker.
	Shards int
	// LogEnabled reports whether each answer is to be logged, with LogLine. Both are
	// called on any worker.
	LogEnabled func() bool
	LogLine    func(line string)
}

// A Log is a why.Recorder. Any goroutine.
type Log struct {
	cfg   Config
	rings []ring
}

// New makes an empty log.
func New(cfg Config) *Log { return &Log{cfg: cfg, rings: make([]ring, cfg.Shards)} }

// A ring has the last answers of one worker. Its lock is contended only while admin
// copies from it.
type ring struct {
	mu    sync.Mutex
	slots []*entry
	next  int
	_     [64]byte // the next ring has a cache line of its own
}

// An entry is a copied answer.
type entry struct {
	hasRequest bool
	request    httpmsg.Headers
	stream     streaminfo.Stream
	connection streaminfo.Connection
	routes     route.Table
	random     uint64
	body       string
	fate       string // of the connection
	reason     string // of it, "" for none
}

// Record implements why.Recorder.
func (l *Log) Record(shard int, a *why.Answer) {
	r := &l.rings[shard]
	r.mu.Lock()
	if len(r.slots) < perShard {
		r.slots = append(r.slots, new(entry))
	}
	r.slots[r.next].take(a)
	r.next = (r.next + 1) % perShard
	r.mu.Unlock()
	if l.cfg.LogEnabled() {
		var e entry
		e.take(a)
		l.cfg.LogLine(e.explain().line())
	}
}

// take copies what outlives the stream. What filters reuse for other requests is
// left out: the hosts attempted are in stream.Failed.
func (e *entry) take(a *why.Answer) {
	e.hasRequest = a.Request != nil
	if e.hasRequest {
		e.request.CopyFrom(a.Request)
	} else {
		e.request.Reset()
	}
	e.stream, e.connection = *a.Stream, *a.Stream.Downstream
	e.stream.Downstream = &e.connection
	e.stream.Upstream.HostsAttempted = nil
	e.stream.Upstream.HostnamesAttempted = nil
	e.stream.Upstream.ConnectionIDsAttempted = nil
	if e.connection.FilterState != nil { // other streams may still change it
		e.connection.FilterState = maps.Clone(e.connection.FilterState)
	}
	e.routes, e.random, e.body, e.fate, e.reason = a.Routes, a.Random, a.Body, a.Connection, a.CloseReason
}

// last returns copies of the last n answers that pass want, the newest first.
func (l *Log) last(n int, want func(*entry) bool) []*entry {
	var found []*entry
	for i := range l.rings {
		r := &l.rings[i]
		r.mu.Lock()
		for _, e := range r.slots {
			if want(e) {
				found = append(found, e.clone())
			}
		}
		r.mu.Unlock()
	}
	slices.SortStableFunc(found, func(a, b *entry) int {
		return cmp.Or(b.stream.End.Compare(a.stream.End), b.stream.Start.Compare(a.stream.Start))
	})
	return found[:min(n, len(found))]
}

func (e *entry) clone() *entry {
	c := *e
	c.request = httpmsg.Headers{}
	c.request.CopyFrom(&e.request)
	c.stream.Downstream = &c.connection
	return &c
}
