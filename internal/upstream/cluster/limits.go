package cluster

import (
	"math"

	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// RuntimeChanged makes the circuit breakers follow the runtime. Any goroutine.
func (m *Manager) RuntimeChanged() {
	m.limits.Lock()
	defer m.limits.Unlock()
	for _, e := range *m.active.Load() {
		e.cluster.followRuntime(m.options.Runtime.Snapshot())
	}
}

// followRuntime is RuntimeChanged for a cluster that was not active then.
func (m *Manager) followRuntime(c *Cluster) {
	m.limits.Lock()
	defer m.limits.Unlock()
	c.followRuntime(m.options.Runtime.Snapshot())
}

// followRuntime takes the limits of the circuit breakers from the runtime, or those of the
// configuration where that has none.
func (c *Cluster) followRuntime(s runtimeconf.Snapshot) {
	for p := range c.resources {
		r, l := &c.resources[p], &c.config.Limits[p]
		prefix := "circuit_breakers." + c.info.Name + "." + upstream.Priority(p).String() + "."
		for _, one := range []struct {
			name       string
			resource   *upstream.Resource
			configured int64
		}{
			{"max_connections", &r.Connections, l.Connections},
			{"max_pending_requests", &r.PendingRequests, l.PendingRequests},
			{"max_requests", &r.Requests, l.Requests},
			{"max_retries", &r.Retries, l.Retries},
		} {
			one.resource.SetMax(integer(s, prefix+one.name, one.configured))
		}
		r.RetryBudget.Store(runtimeBudget(s, prefix+"retry_budget.", l.RetryBudget))
	}
}

// runtimeBudget returns the budget for retries, which the runtime can also give to a
// cluster without one.
func runtimeBudget(s runtimeconf.Snapshot, prefix string, configured *upstream.RetryBudget) *upstream.RetryBudget {
	const percent, least = "budget_percent", "min_retry_concurrency"
	_, hasPercent := s.Get(prefix + percent)
	_, hasLeast := s.Get(prefix + least)
	if !hasPercent && !hasLeast {
		return configured
	}
	b := upstream.RetryBudget{Percent: defaultRetryBudget, MinConcurrency: defaultRetries}
	if configured != nil {
		b = *configured
	}
	b.Percent = s.Double(prefix+percent, b.Percent)
	b.MinConcurrency = integer(s, prefix+least, b.MinConcurrency)
	return &b
}

func integer(s runtimeconf.Snapshot, key string, otherwise int64) int64 {
	return int64(min(s.Integer(key, uint64(otherwise)), math.MaxInt64))
}
