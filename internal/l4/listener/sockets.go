package listener

import (
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/internal/l4/sock"
)

// A socketSet is the listening sockets of one address: one for all workers, or one
// for each. It is immutable, but for the close at its end.
type socketSet struct {
	config    socketConfig
	address   address.Address
	listeners []*sock.Listener
	// users is how many workers accept on it, or are about to. Main goroutine.
	users int
}

// listen opens the sockets of c for that many workers. With port 0 all of them get
// the port that the first one got.
func listen(c socketConfig, workers int) (*socketSet, error) {
	s := &socketSet{config: c, users: workers}
	n := 1
	if c.PerWorker {
		n = workers
	}
	a := c.Spec.Address
	for range n {
		l, err := sock.Listen(a, &c.Options)
		if err != nil {
			s.close()
			return nil, err
		}
		s.listeners = append(s.listeners, l)
		a = l.Address()
	}
	s.address = a
	return s, nil
}

// of returns the socket that a worker accepts on.
func (s *socketSet) of(worker int) *sock.Listener { return s.listeners[worker%len(s.listeners)] }

// release notes that a worker does not accept on s any more, and closes s when
// none does. Main goroutine.
func (s *socketSet) release() {
	if s.users--; s.users == 0 {
		s.close()
	}
}

func (s *socketSet) close() {
	for _, l := range s.listeners {
		// Nothing can be done about an error, and the descriptor is gone anyway.
		_ = l.Close()
	}
}
