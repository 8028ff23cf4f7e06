package tlscontext

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// ticketKeySize is that of Envoy's keys: a name, a key for HMAC, one for AES.
const ticketKeySize = 80

// extra marks what a ticket holds for us.
const extra = "nuncio:"

// tickets keeps the sessions of a server with its clients. It is immutable but for what
// crypto/tls keeps in keys.
type tickets struct {
	keys    *tls.Config // knows how to encrypt tickets, and renews keys that were not configured
	timeout time.Duration
	now     func() time.Time
}

// parseTicketKeys reads the keys, the first of which encrypts. crypto/tls takes keys of
// its own size: they are derived, with what identifies the context, so that another
// instance or a later one with the same keys and context goes on with sessions, and
// another context does not.
func parseTicketKeys(msg *tlsv3.TlsSessionTicketKeys, r reader, path conf.Path) [][]byte {
	var keys [][]byte
	for i, source := range msg.GetKeys() {
		key := r.read(source, path.Field("keys").Index(i))
		if len(key) != ticketKeySize {
			r.errs.Add(path.Field("keys").Index(i), "Incorrect TLS session ticket key length. Length %d, expected length %d.", len(key), ticketKeySize)
		}
		keys = append(keys, key)
	}
	return keys
}

// newTickets returns the tickets of a context; keys may be nil, for some that last as
// long as it.
func newTickets(keys [][]byte, identity [sha256.Size]byte, timeout time.Duration, now func() time.Time) (*tickets, error) {
	t := &tickets{keys: new(tls.Config), timeout: timeout, now: now}
	if len(keys) == 0 {
		return t, nil
	}
	derived := make([][32]byte, len(keys))
	for i, key := range keys {
		d, err := hkdf.Key(sha256.New, key, identity[:], "nuncio session ticket", len(derived[i]))
		if err != nil {
			return nil, err
		}
		copy(derived[i][:], d)
	}
	t.keys.SetSessionTicketKeys(derived)
	return t, nil
}

// apply makes a configuration use the tickets. None means that sessions do not go on.
func (t *tickets) apply(c *tls.Config) {
	if t == nil {
		c.SessionTicketsDisabled = true
		return
	}
	var unused [32]byte // spares crypto/tls to make some for each connection
	_, _ = rand.Read(unused[:])
	c.SetSessionTicketKeys([][32]byte{unused})
	c.WrapSession, c.UnwrapSession = t.wrap, t.unwrap
}

func (t *tickets) wrap(cs tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
	s.Extra = append(s.Extra, binary.BigEndian.AppendUint64([]byte(extra), uint64(t.now().Unix())))
	return t.keys.EncryptTicket(cs, s)
}

func (t *tickets) unwrap(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
	s, err := t.keys.DecryptTicket(ticket, cs)
	if err != nil || s == nil {
		return nil, err
	}
	kept := s.Extra[:0]
	fresh := t.timeout == 0
	for _, e := range s.Extra {
		if len(e) != len(extra)+8 || string(e[:len(extra)]) != extra {
			kept = append(kept, e)
			continue
		}
		age := t.now().Unix() - int64(binary.BigEndian.Uint64(e[len(extra):]))
		fresh = fresh || age >= 0 && age <= int64(t.timeout/time.Second)
	}
	s.Extra = kept
	if !fresh {
		return nil, nil
	}
	return s, nil
}
