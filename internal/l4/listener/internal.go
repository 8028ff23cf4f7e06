package listener

import (
	"slices"
	"syscall"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/addr"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/internal/l4/sock"
)

// internalClient is the listener in the address of the clients of internal listeners, who
// have none.
const internalClient = "internal_client_address"

// internalAddress reads what an internal listener has in place of addresses, and refuses
// what only sockets have.
func (b *builder) internalAddress(path conf.Path) []addr.Spec {
	msg := b.msg
	if msg.GetAddress() != nil || len(msg.GetAdditionalAddresses()) > 0 {
		b.errs.Add(path.Field("address"), "address should not be used when an internal listener config is provided")
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"connection_balance_config", msg.GetConnectionBalanceConfig().GetExactBalance() != nil},
		{"enable_reuse_port", msg.GetEnableReusePort() != nil},
		{"freebind", msg.GetFreebind() != nil},
		{"tcp_backlog_size", msg.GetTcpBacklogSize() != nil},
		{"tcp_fast_open_queue_length", msg.GetTcpFastOpenQueueLength() != nil},
		{"transparent", msg.GetTransparent() != nil},
		{"socket_options", len(msg.GetSocketOptions()) > 0},
	} {
		if f.set {
			b.errs.Add(path.Field(f.name), "an internal listener has no sockets")
		}
	}
	if b.options.InternalBuffer == 0 {
		b.errs.Add(path.Field("internal_listener"), "internal listener registry is not initialized: "+
			"bootstrap_extensions must have envoy.bootstrap.internal_listener")
	}
	return []addr.Spec{{Address: address.Internal(msg.GetName(), "")}}
}

// Connect makes a connection to the internal listener that an address names, on l, the
// loop of the worker that calls. The listener gets its end, and what is passed along, at
// the end of this turn. The error, if there is no such listener, is a system's.
func (m *Manager) Connect(l *event.Loop, to address.Address, passed transport.Passed) (*event.Pipe, error) {
	i := slices.Index(m.options.Workers, l)
	if i < 0 || m.neighbours[i].internal[to.Path()] == nil {
		return nil, syscall.EINVAL // as Envoy says it
	}
	w := m.neighbours[i].internal[to.Path()]
	from := address.Internal(internalClient, "")
	client, server := event.NewPipe(l, m.options.InternalBuffer, from, to)
	// Not at once: listeners that lead to each other, or themselves, would nest without end.
	l.Defer(func() { w.takeInternal(server, from, to, passed) })
	return client, nil
}

// takeInternal makes a connection of the end of a pipe. Limits are for those from
// outside.
func (w *worker) takeInternal(p *event.Pipe, from, to address.Address, passed transport.Passed) {
	w.options.Open.Add(1)
	w.counts.add(w.index, 1)
	if w.config == nil {
		w.forget()
		p.Close()
		return
	}
	c := w.connect(sock.Socket{FD: -1, Local: to, Remote: from}, p)
	for namespace, fields := range passed.Metadata {
		c.conn.Stream().SetMetadata(namespace, fields)
	}
	for name, shared := range passed.FilterState {
		c.conn.Info().SetFilterState(name, shared.Value)
		if shared.Transitive {
			c.conn.Info().ShareFilterState(name, true)
		}
	}
	c.run()
}
