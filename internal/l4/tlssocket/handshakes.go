package tlssocket

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// errBusy is the error of a handshake that was refused.
var errBusy = errors.New("too many TLS handshakes wait for their turn")

// DefaultMaxWaiting is the number of handshakes that wait for a processor at most.
const DefaultMaxWaiting = 16384

// A Handshakes lets only some handshakes compute at once, so that a storm of them
// leaves processors to the workers: there is one for a server. A handshake that waits
// for its peer does not count. Any goroutine.
type Handshakes struct {
	slots      chan struct{} // one in it for each that computes; those who wait are served in order
	maxWaiting int64
	waiting    atomic.Int64
	goroutines sync.WaitGroup
	rejected   *stats.Counter
	active     *stats.Gauge
	onPanic    func(value any, stack []byte)
}

// A HandshakesConfig describes a Handshakes.
type HandshakesConfig struct {
	// Concurrency is how many compute at once, at least 1.
	Concurrency int
	// MaxWaiting bounds those that have something to compute and wait for their turn. More
	// of them are refused: their connections end.
	MaxWaiting int
	// Scope gets nuncio_tls_handshakes_rejected and nuncio_tls_handshakes_active.
	Scope stats.Scope
	// OnPanic is told of a panic in a handshake, which then fails. Any goroutine. Nil: it
	// is not contained.
	OnPanic func(value any, stack []byte)
}

// NewHandshakes returns a Handshakes.
func NewHandshakes(c HandshakesConfig) *Handshakes {
	return &Handshakes{
		slots: make(chan struct{}, max(c.Concurrency, 1)), maxWaiting: int64(c.MaxWaiting), onPanic: c.OnPanic,
		rejected: c.Scope.Counter("nuncio_tls_handshakes_rejected"), active: c.Scope.Gauge("nuncio_tls_handshakes_active"),
	}
}

// Wait returns when no handshake is on its way: all connections were closed before.
func (a *Handshakes) Wait() { a.goroutines.Wait() }

// acquire waits for a turn to compute, unless aborted is closed.
func (a *Handshakes) acquire(aborted <-chan struct{}) error {
	select {
	case a.slots <- struct{}{}:
		return nil
	default:
	}
	defer a.waiting.Add(-1)
	if a.waiting.Add(1) > a.maxWaiting {
		a.rejected.Inc(stats.Any)
		return errBusy
	}
	select {
	case a.slots <- struct{}{}:
		return nil
	case <-aborted:
		return net.ErrClosed
	}
}

func (a *Handshakes) release() { <-a.slots }
