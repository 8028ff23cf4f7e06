package upstream

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// maxNames bounds the names in a Named: some come from requests.
const maxNames = 1000

// Named holds statistics of a kind, T, under prefixes that are only known when a
// request uses them. Any goroutine.
type Named[T any, P scoped[T]] struct {
	scope stats.Scope
	// byPrefix is replaced, and never changed, so that looking up takes no lock.
	byPrefix atomic.Pointer[map[string]*T]

	mu     sync.Mutex
	scopes []stats.Scope // guarded by mu
	closed bool          // guarded by mu
}

// NamedResponses are Responses under such prefixes.
type NamedResponses = Named[Responses, *Responses]

// NamedGRPC are GRPCCalls under such prefixes.
type NamedGRPC = Named[GRPCCalls, *GRPCCalls]

// scoped is the kind of statistics that are made of a scope.
type scoped[T any] interface {
	*T
	Init(scope stats.Scope)
}

// Init sets the scope that the prefixes are below.
func (n *Named[T, P]) Init(scope stats.Scope) { n.scope = scope }

// Get returns the statistics with that prefix, which ends in a dot. It returns nil when
// there are too many names, and after Close.
func (n *Named[T, P]) Get(prefix string) *T {
	if have := n.byPrefix.Load(); have != nil {
		if r := (*have)[prefix]; r != nil {
			return r
		}
	}
	return n.add(prefix)
}

func (n *Named[T, P]) add(prefix string) *T {
	n.mu.Lock()
	defer n.mu.Unlock()
	have := map[string]*T{}
	if p := n.byPrefix.Load(); p != nil {
		have = *p
	}
	if r := have[prefix]; r != nil || n.closed || len(have) >= maxNames {
		return r
	}
	prefix = strings.Clone(prefix) // it may be a piece of a request's headers
	scope, r := n.scope.Scope(prefix), new(T)
	P(r).Init(scope)
	n.scopes = append(n.scopes, scope)
	have = maps.Clone(have)
	have[prefix] = r
	n.byPrefix.Store(&have)
	return r
}

// Close releases the metrics, when the cluster is gone.
func (n *Named[T, P]) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, s := range n.scopes {
		s.Close()
	}
}
