package listener

import (
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
)

// A Status describes a listener to admin.
type Status struct {
	Name string
	// Message is the configuration, for config_dump. Nobody may change it.
	Message *listenerv3.Listener
	Static  bool
	Updated time.Time
	// Addresses are those that are listened on; before Start, those configured.
	Addresses []address.Address
	// Draining listeners were removed or replaced; they accept nothing.
	Draining bool
}

// Listeners returns all listeners: first the active ones, in the order in which
// they were added, then those that drain.
func (m *Manager) Listeners() []Status {
	var all []Status
	for _, l := range m.active {
		all = append(all, l.status())
	}
	for _, d := range m.draining {
		if d.whole {
			s := d.listener.status()
			s.Draining = true
			all = append(all, s)
		}
	}
	return all
}

func (l *listener) status() Status {
	s := Status{Name: l.config.name, Message: l.config.msg, Static: l.static, Updated: l.updated}
	if l.config.internal {
		s.Addresses = append(s.Addresses, address.Internal(l.config.name, ""))
	}
	for _, set := range l.sets {
		s.Addresses = append(s.Addresses, set.address)
	}
	for _, c := range l.config.sockets[len(l.sets):] {
		s.Addresses = append(s.Addresses, c.Spec.Address)
	}
	return s
}
