package upstream

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/stats"
)

// maxNames bounds the names in a NamedResponses: some come from requests.
const maxNames = 1000

// NamedResponses holds Responses under prefixes that are only known when a request
// uses them. Any goroutine.
type NamedResponses struct {
	scope stats.Scope
	// byPrefix is replaced, and never changed, so that looking up takes no lock.
	byPrefix atomic.Pointer[map[string]*Responses]

	mu     sync.Mutex
	scopes []stats.Scope // guarded by mu
	closed bool          // guarded by mu
}

// Init sets the scope that the prefixes are below.
func (n *NamedResponses) Init(scope stats.Scope) { n.scope = scope }

// Get returns the Responses with that prefix, which ends in a dot. It returns nil when
// there are too many names, and after Close.
func (n *NamedResponses) Get(prefix string) *Responses {
	if have := n.byPrefix.Load(); have != nil {
		if r := (*have)[prefix]; r != nil {
			return r
		}
	}
	return n.add(prefix)
}

func (n *NamedResponses) add(prefix string) *Responses {
	n.mu.Lock()
	defer n.mu.Unlock()
	have := map[string]*Responses{}
	if p := n.byPrefix.Load(); p != nil {
		have = *p
	}
	if r := have[prefix]; r != nil || n.closed || len(have) >= maxNames {
		return r
	}
	scope, r := n.scope.Scope(prefix), &Responses{}
	r.Init(scope)
	n.scopes = append(n.scopes, scope)
	have = maps.Clone(have)
	have[prefix] = r
	n.byPrefix.Store(&have)
	return r
}

// Close releases the metrics, when the cluster is gone.
func (n *NamedResponses) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, s := range n.scopes {
		s.Close()
	}
}
