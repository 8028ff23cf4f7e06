package fault

import (
	"sync"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// maxClusters bounds the downstream clusters that have statistics of their own:
// their names come from requests.
const maxClusters = 1000

// faultStats are the statistics fault.*.
type faultStats struct {
	abortsInjected, delaysInjected, faultsOverflow, responseRLInjected *stats.Counter
	activeFaults                                                       *stats.Gauge
	active                                                             atomic.Int64 // as activeFaults, but in one place

	scope    stats.Scope
	clusters sync.Map // name to *clusterStats
	known    atomic.Int64
}

// clusterStats are the statistics fault.<downstream cluster>.*.
type clusterStats struct{ abortsInjected, delaysInjected *stats.Counter }

func newStats(s stats.Scope) *faultStats {
	s = s.Scope("fault.")
	return &faultStats{
		abortsInjected:     s.Counter("aborts_injected"),
		delaysInjected:     s.Counter("delays_injected"),
		faultsOverflow:     s.Counter("faults_overflow"),
		responseRLInjected: s.Counter("response_rl_injected"),
		activeFaults:       s.Gauge("active_faults"),
		scope:              s,
	}
}

// begin counts an active fault, unless there are max.
func (s *faultStats) begin(shard int, max uint64) bool {
	if n := s.active.Add(1); uint64(n) > max {
		s.active.Add(-1)
		s.faultsOverflow.Inc(shard)
		return false
	}
	s.activeFaults.Inc(shard)
	return true
}

func (s *faultStats) end(shard int) {
	s.active.Add(-1)
	s.activeFaults.Dec(shard)
}

// cluster returns the statistics of a downstream cluster, nil if there are too many.
func (s *faultStats) cluster(name string) *clusterStats {
	if found, ok := s.clusters.Load(name); ok {
		return found.(*clusterStats)
	}
	if s.known.Add(1) > maxClusters {
		s.known.Add(-1)
		return nil
	}
	scope := s.scope.Scope(name + ".")
	made := &clusterStats{scope.Counter("aborts_injected"), scope.Counter("delays_injected")}
	found, other := s.clusters.LoadOrStore(name, made)
	if other {
		s.known.Add(-1)
	}
	return found.(*clusterStats)
}
