package connpool

import (
	"slices"
	"time"

	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// spareTimeout closes a connection that found no user for so long, as Envoy's pools for
// TCP do.
const spareTimeout = 10 * time.Minute

// expectMoreTCP is expectMore for connections that their users get for themselves.
func (w *worker) expectMoreTCP() {
	ratio := w.pool.config.Preconnect.Ratio
	for range maxPreconnects {
		if ratio <= 1 || !w.preconnectTCP(ratio, 0) {
			return
		}
	}
}

// preconnectTCP is preconnect for connections that their users get for themselves.
func (w *worker) preconnectTCP(ratio float64, announced int) bool {
	if float64(w.tcp-len(w.spares)+announced)*ratio <= float64(w.tcp) || !w.pool.mayPreconnect(w.d) {
		return false
	}
	if !w.pool.admitTCP() {
		w.pool.config.Stats.UpstreamCxOverflow.Inc(w.d.Shard())
		return false
	}
	t := newTCP(w, nil)
	t.spare = true
	w.spares = append(w.spares, t)
	return true
}

// takeSpare returns a spare connection: one that is up if there is one; nil if there is
// none.
func (w *worker) takeSpare() *tcp {
	if len(w.spares) == 0 {
		return nil
	}
	i := max(slices.IndexFunc(w.spares, func(t *tcp) bool { return t.connected }), 0)
	t := w.spares[i]
	w.spares = slices.Delete(w.spares, i, i+1)
	return t
}

// dropTCP forgets a connection that ended.
func (w *worker) dropTCP(t *tcp) {
	w.tcp--
	if t.spare {
		w.spares = slices.DeleteFunc(w.spares, func(s *tcp) bool { return s == t })
		t.stopSpareTimer()
	}
}

// keep lets the spare connection, which is up, wait for a user. What the host sends
// waits too.
func (t *tcp) keep() {
	t.conn.ReadDisable(true)
	t.timer = t.d.NewTimer(func() {
		t.pool.config.Stats.UpstreamCxIdleTimeout.Inc(t.d.Shard())
		t.conn.Close(network.NoFlush, "idle_timeout")
	})
	t.timer.Enable(spareTimeout)
}

func (t *tcp) stopSpareTimer() {
	if t.timer != nil {
		t.timer.Disable()
		t.timer = nil
	}
}

// use gives a connection, which was spare, to a user: at once if it is up.
func (t *tcp) use(cb upstream.ConnectionPoolCallbacks) upstream.Cancel {
	t.spare = false
	if t.connected {
		t.stopSpareTimer()
		t.conn.ReadDisable(false)
		t.give(cb)
		return nil
	}
	if !t.pool.resources.PendingRequests.Acquire() {
		t.spare = true
		w := t.pool.worker(t.d)
		w.spares = append(w.spares, t)
		t.pool.config.Stats.UpstreamRqPendingOverflow.Inc(t.d.Shard())
		cb.OnConnectionFailure(upstream.Overflow, "max_pending_requests", nil)
		return nil
	}
	t.wait(cb)
	return t
}
