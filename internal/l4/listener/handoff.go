package listener

import (
	"net/netip"

	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/internal/addr"
)

// neighbours are the listeners on one worker that connections may go to from others: internal
// ones by name, all others by address, also those that bind no sockets. It belongs to the
// worker's loop.
type neighbours struct {
	internal  map[string]*worker
	addresses map[address.Address]*worker
}

func newNeighbours() *neighbours {
	return &neighbours{internal: map[string]*worker{}, addresses: map[address.Address]*worker{}}
}

// register makes w, or nobody if cfg is nil, the one that connections to its name or
// addresses go to.
func (w *worker) register(cfg *config) {
	n := w.neighbours
	if old := w.config; old != nil {
		if n.internal[old.name] == w {
			delete(n.internal, old.name)
		}
		for _, a := range old.reachedAt {
			if n.addresses[a] == w {
				delete(n.addresses, a)
			}
		}
	}
	if cfg == nil {
		return
	}
	if cfg.internal {
		n.internal[cfg.name] = w
	}
	for _, a := range cfg.reachedAt {
		n.addresses[a] = w
	}
}

// at returns the listener at an address, or at all addresses with its port; nil for none.
func (n *neighbours) at(a address.Address) *worker {
	if w := n.addresses[a]; w != nil || !a.IP().IsValid() {
		return w
	}
	all := netip.IPv6Unspecified()
	if a.IP().Is4() {
		all = netip.IPv4Unspecified()
	}
	return n.addresses[address.FromAddrPort(netip.AddrPortFrom(all, a.Port()))]
}

// reachable returns where connections for a listener with these addresses go.
func reachable(specs []addr.Spec) (all []address.Address) {
	for _, s := range specs {
		if !s.Address.IP().IsValid() || s.Address.Port() == 0 {
			continue
		}
		all = append(all, s.Address)
		if s.IPv4Compat && s.Address.IP() == netip.IPv6Unspecified() {
			all = append(all, address.FromAddrPort(netip.AddrPortFrom(netip.IPv4Unspecified(), s.Address.Port())))
		}
	}
	return all
}

// originalDst adds the filter that finds out where connections went before the system
// redirected them, which use_original_dst is about.
func (b *builder) originalDst(cfg *config, path conf.Path) {
	msg := &originaldstv3.OriginalDst{}
	factory, ok := b.options.Context.Registry.ForMessage(extension.ListenerFilters, msg).(extension.ListenerFilterFactory)
	if !ok {
		b.errs.Add(path, "extension %s is not there", proto.MessageName(msg))
		return
	}
	if build := factory.BuildListenerFilter(msg, b.context, path, b.errs); build != nil {
		cfg.filters = append(cfg.filters, listenerFilter{build: build})
	}
}

// handOff gives the connection, whose inspection i is over, to the listener at the address
// that it was for before it was redirected, if the listener says so and there is one. Its
// listener filters begin anew with what was received. It goes no further from there.
func (c *connection) handOff(i *inspection) {
	info := c.conn.Info()
	if !c.config.handsOff || c.handedOff || info.Local == info.DirectLocal {
		return
	}
	to := c.worker.neighbours.at(info.Local)
	if to == nil || to == c.worker {
		return
	}
	c.config.stats.preActive.Dec(c.shard())
	c.worker.unlink(c)
	c.worker.counts.add(c.worker.index, -1)
	c.worker, c.config, c.inspection, c.handedOff = to, to.config, nil, true
	to.link(c)
	to.counts.add(to.index, 1)
	info.Listener = c.config.described
	c.conn.SetBufferLimit(c.config.bufferLimit)
	if len(c.config.filters) > 0 {
		c.inspection = newInspection(c, i.fd)
		c.inspection.data = i.data
		c.config.stats.preActive.Inc(c.shard())
		c.conn.AddReadFilter(c.inspection)
	}
}
