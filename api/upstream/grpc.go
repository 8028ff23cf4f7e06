package upstream

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// grpcStatuses is the number of statuses that gRPC defines.
const grpcStatuses = 17

// maxOddStatuses bounds the counters of statuses that gRPC does not define.
const maxOddStatuses = 100

// GRPCCalls counts the calls of a gRPC method, or of all methods together, under one
// prefix. Metrics appear, and take memory, when they are first used. Any goroutine.
type GRPCCalls struct {
	scope                   stats.Scope
	success, failure, total atomic.Pointer[stats.Counter]
	requests, responses     atomic.Pointer[stats.Counter]
	statuses                [grpcStatuses]atomic.Pointer[stats.Counter]
	time                    atomic.Pointer[stats.Histogram]

	mu  sync.Mutex
	odd map[string]*stats.Counter // of other statuses; guarded by mu
}

// Init sets the scope whose prefix the names get.
func (g *GRPCCalls) Init(scope stats.Scope) { g.scope = scope }

// RecordStatus counts the end of a call, with the text of grpc-status.
func (g *GRPCCalls) RecordStatus(shard int, status string) {
	n, err := strconv.Atoi(status)
	if err == nil && n >= 0 && n < grpcStatuses && status == strconv.Itoa(n) {
		g.counter(&g.statuses[n], status).Inc(shard)
	} else if c := g.oddStatus(status); c != nil {
		c.Inc(shard)
	}
	g.RecordResult(shard, status == "0")
}

// oddStatus returns the counter of a status that gRPC does not define, nil if there are
// too many.
func (g *GRPCCalls) oddStatus(status string) *stats.Counter {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.odd[status]
	if c == nil && status != "" && len(g.odd) < maxOddStatuses {
		if g.odd == nil {
			g.odd = map[string]*stats.Counter{}
		}
		status = strings.Clone(status) // it is a piece of a response's headers
		c = g.scope.Counter(status)
		g.odd[status] = c
	}
	return c
}

// RecordResult counts the end of a call that has no grpc-status.
func (g *GRPCCalls) RecordResult(shard int, success bool) {
	if success {
		g.counter(&g.success, "success").Inc(shard)
	} else {
		g.counter(&g.failure, "failure").Inc(shard)
	}
	g.counter(&g.total, "total").Inc(shard)
}

// AddRequestMessages counts messages of requests.
func (g *GRPCCalls) AddRequestMessages(shard, n int) {
	g.counter(&g.requests, "request_message_count").Add(shard, uint64(n))
}

// AddResponseMessages counts messages of responses.
func (g *GRPCCalls) AddResponseMessages(shard, n int) {
	g.counter(&g.responses, "response_message_count").Add(shard, uint64(n))
}

// RecordTime adds the time in milliseconds that the upstream took.
func (g *GRPCCalls) RecordTime(shard int, ms uint64) {
	h := g.time.Load()
	if h == nil {
		made := g.scope.Histogram("upstream_rq_time", stats.Milliseconds)
		h = &made
		g.time.Store(h)
	}
	(*h).Record(shard, ms)
}

func (g *GRPCCalls) counter(at *atomic.Pointer[stats.Counter], name string) *stats.Counter {
	c := at.Load()
	if c == nil {
		c = g.scope.Counter(name)
		at.Store(c)
	}
	return c
}
