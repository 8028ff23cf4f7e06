package connpool

import (
	"math"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// Preconnect says which connections are made before there are requests for them.
type Preconnect struct {
	// Ratio is how many requests the connections of a worker to a host are to be enough
	// for, for each request that it has. Up to 1 nothing is made ahead.
	Ratio float64
	// Eligible reports whether connections to a host are made ahead, also where Preconnect
	// asks for one; nil: to all. Any worker.
	Eligible func(*host.Host) bool
	Skipped  *stats.Counter // connections that were not made because of Eligible
}

// RequestsPerConnection is the number of requests that a connection carries at a time, as
// far as the configuration tells: hosts may allow fewer.
func (c *Config) RequestsPerConnection() int {
	if c.Protocol != HTTP2 {
		return 1
	}
	return c.sharedBy()
}

// sharedBy is RequestsPerConnection of connections of HTTP/2.
func (c *Config) sharedBy() int {
	n := int(min(c.HTTP2.MaxConcurrentStreams, math.MaxInt32))
	if most := c.MaxRequestsPerConnection; most > 0 {
		n = min(n, int(most))
	}
	return max(n, 1)
}

// maxPreconnects bounds the connections that one request has made ahead.
const maxPreconnects = 3

// Preconnect implements host.Pool.
func (ps *Pools) Preconnect(d event.Dispatcher, pick *upstream.Pick, ratio float64) bool {
	if pick.HTTP {
		return ps.pool(pick).worker(d).preconnect(ratio, 1)
	}
	return options(pick) == nil && ps.main.worker(d).preconnectTCP(ratio, 1)
}

// expectMore opens connections for the requests that are likely to come next. After one
// that failed the next request is waited for: a host that refuses is not asked in a
// loop.
func (w *worker) expectMore() {
	ratio := w.pool.config.Preconnect.Ratio
	for range maxPreconnects {
		if ratio <= 1 || !w.preconnect(ratio, 0) {
			return
		}
	}
}

// preconnect opens a connection if those there are could not take ratio times the
// requests there are, and as many more as announced. It reports whether it did.
func (w *worker) preconnect(ratio float64, announced int) bool {
	requests, capacity := w.load()
	return float64(requests+announced)*ratio > float64(capacity) && w.pool.mayPreconnect(w.d) && w.open()
}

// mayPreconnect reports whether the host should get connections ahead.
func (p *Pool) mayPreconnect(d event.Dispatcher) bool {
	if p.host.Health() != host.Healthy || p.drained.Load() {
		return false
	}
	if c := &p.config.Preconnect; c.Eligible != nil && !c.Eligible(p.host) {
		c.Skipped.Inc(d.Shard())
		return false
	}
	return true
}

// load returns the requests of the worker, and how many its connections are good for,
// with those that are being made.
func (w *worker) load() (requests, capacity int) {
	exclusive := int(w.conns.Load()) - len(w.http2)
	requests = w.waiting + exclusive - len(w.idle)
	capacity = w.connecting + exclusive
	for _, c := range w.http2 {
		active := c.protocol.active()
		requests += active
		capacity += active
		if c.shared {
			capacity += c.protocol.room()
		}
	}
	return requests, capacity
}
