package tlscontext

import (
	"crypto/tls"
	"slices"
	"sync"
)

// sessions are those that a cluster may go on with, the newest first. Any goroutine.
type sessions struct {
	max int

	mu   sync.Mutex
	list []clientSession
}

type clientSession struct {
	server string // the name that was asked for
	state  *tls.ClientSessionState
}

// take removes the newest session with a server of that name and returns it.
func (s *sessions) take(server string) *tls.ClientSessionState {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.list, func(c clientSession) bool { return c.server == server })
	if i < 0 {
		return nil
	}
	state := s.list[i].state
	s.list = slices.Delete(s.list, i, i+1)
	return state
}

// put keeps a session in place of another one. Both may be nil.
func (s *sessions) put(server string, state, instead *tls.ClientSessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if instead != nil {
		s.list = slices.DeleteFunc(s.list, func(c clientSession) bool { return c.state == instead })
	}
	if state == nil {
		return
	}
	s.list = slices.Insert(s.list, 0, clientSession{server, state})
	if len(s.list) > s.max {
		s.list = slices.Delete(s.list, s.max, len(s.list))
	}
}

// sessionUse is the cache of one connection, which has one server whatever crypto/tls
// calls it. It is called by the goroutine of the handshake, then by whoever reads the
// connection.
type sessionUse struct {
	sessions *sessions
	server   string
	taken    *tls.ClientSessionState
	kept     bool // taken is back
}

// Get implements tls.ClientSessionCache.
func (u *sessionUse) Get(string) (*tls.ClientSessionState, bool) {
	u.taken = u.sessions.take(u.server)
	return u.taken, u.taken != nil
}

// Put implements tls.ClientSessionCache. nil takes away what Get gave.
func (u *sessionUse) Put(_ string, state *tls.ClientSessionState) {
	var instead *tls.ClientSessionState
	if u.kept {
		instead, u.kept = u.taken, false
	}
	u.sessions.put(u.server, state, instead)
}

// resumed keeps a session that may be used again: those of TLS 1.3 are for one time, in
// exchange for a new one.
func (u *sessionUse) resumed(state *tls.ConnectionState) {
	if state.DidResume && state.Version < tls.VersionTLS13 {
		u.kept = true
		u.sessions.put(u.server, u.taken, nil)
	}
}
