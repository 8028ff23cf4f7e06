package listener

import (
	"slices"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/l4/drain"
)

// A chain is a filter chain. It is immutable and shared by the workers.
type chain struct {
	name             string
	metadata         map[string]*structpb.Struct
	msg              *listenerv3.FilterChain
	builders         []network.FilterBuilder
	transport        transport.ServerFactory // nil for a plain one
	transportTimeout time.Duration           // for the transport to come up; 0: none
	drain            *drain.Decision         // of the connections that use the chain
	closers          []func()                // called when nobody uses the chain any more; main goroutine
}

// release tells what the chain was built of that no connection uses it any more. Main
// goroutine.
func (c *chain) release() {
	for _, f := range c.closers {
		f()
	}
	c.closers = nil
}

// releaseBut releases the chains that are not among kept.
func releaseBut(chains, kept []*chain) {
	for _, c := range chains {
		if !slices.Contains(kept, c) {
			c.release()
		}
	}
}

// chains reads the filter chains of cfg.
func (b *builder) chains(cfg *config, path conf.Path) {
	msg := cfg.msg
	if len(msg.GetFilterChains()) == 0 && msg.GetDefaultFilterChain() == nil {
		b.errs.Add(path.Field("filter_chains"), "no filter chains specified")
	}
	cfg.match.criteria = criteria()
	for i, fc := range msg.GetFilterChains() {
		at := path.Field("filter_chains").Index(i)
		c := b.chain(fc, at)
		cfg.chains = append(cfg.chains, c)
		match := fc.GetFilterChainMatch()
		if match == nil {
			match = &listenerv3.FilterChainMatch{}
		}
		b.check(match, matchFields, at.Field("filter_chain_match"))
		cfg.match.add(c, match, at.Field("filter_chain_match"), b.errs)
	}
	if fc := msg.GetDefaultFilterChain(); fc != nil {
		cfg.match.fallback = b.chain(fc, path.Field("default_filter_chain"))
		cfg.chains = append(cfg.chains, cfg.match.fallback)
	}
}

// sameButChains reports whether the listeners differ in nothing but their filter
// chains.
func sameButChains(a, b *listenerv3.Listener) bool {
	without := func(l *listenerv3.Listener) *listenerv3.Listener {
		l = proto.CloneOf(l)
		l.FilterChains, l.DefaultFilterChain = nil, nil
		return l
	}
	return proto.Equal(without(a), without(b))
}

// chain builds a filter chain, or takes the equal one that there was before.
func (b *builder) chain(msg *listenerv3.FilterChain, path conf.Path) *chain {
	if b.keep {
		for _, c := range b.before.chains {
			if proto.Equal(c.msg, msg) {
				return c
			}
		}
	}
	b.check(msg, chainFields, path)
	c := &chain{name: msg.GetName(), metadata: msg.GetMetadata().GetFilterMetadata(), msg: msg, drain: b.options.newDrain(b.msg)}
	b.transportSocket(c, path)
	ctx := b.context
	ctx.Listener.Drain = c.drain
	for i, f := range msg.GetFilters() {
		last := i == len(msg.GetFilters())-1
		if build := b.filter(f, ctx, path.Field("filters").Index(i), last); build != nil {
			c.builders = append(c.builders, build)
		}
	}
	return c
}

// transportSocket reads what belongs to the transport of c.
func (b *builder) transportSocket(c *chain, path conf.Path) {
	c.transportTimeout = c.msg.GetTransportSocketConnectTimeout().AsDuration()
	ctx := extension.TransportSocketContext{
		Context: b.context.Context, Scope: b.context.Listener.Scope, ServerNames: c.msg.GetFilterChainMatch().GetServerNames(),
		Closed: func(f func()) { c.closers = append(c.closers, f) },
	}
	c.transport = ctx.DownstreamTransportSocket(c.msg.GetTransportSocket(), path.Field("transport_socket"), b.errs)
}

// filter builds one network filter; nil means that errors were reported.
func (b *builder) filter(msg *listenerv3.Filter, ctx extension.NetworkContext, path conf.Path, last bool) network.FilterBuilder {
	b.check(msg, filterFields, path)
	at := path.Field("typed_config")
	config, f := b.lookUp(extension.NetworkFilters, msg.GetName(), msg.GetTypedConfig(), path)
	if f == nil {
		return nil
	}
	factory, ok := f.(extension.NetworkFilterFactory)
	if !ok {
		b.errs.Add(at, "extension %s is no network filter", f.Name())
		return nil
	}
	switch {
	case factory.Terminal() && !last:
		b.errs.Add(path, "terminal filter named %s of type %s must be the last filter in a network filter chain", msg.GetName(), f.Name())
	case !factory.Terminal() && last:
		b.errs.Add(path, "non-terminal filter named %s of type %s is the last filter in a network filter chain", msg.GetName(), f.Name())
	}
	return factory.BuildNetworkFilter(config, ctx, at, b.errs)
}

// lookUp returns a filter's configuration and its factory, nil if there is none.
func (b *builder) lookUp(category, name string, typed *anypb.Any, path conf.Path) (proto.Message, extension.Factory) {
	if typed == nil {
		b.errs.Add(path.Field("typed_config"), "must be set")
		return nil, nil
	}
	config := b.options.Resolve(typed, path.Field("typed_config"), b.errs)
	if config == nil {
		return nil, nil
	}
	f := b.options.Context.Registry.ForMessage(category, config)
	if f == nil {
		b.errs.Add(path, "didn't find a registered implementation for '%s' with type URL: '%s'", name,
			config.ProtoReflect().Descriptor().FullName())
	}
	return config, f
}

// listenerFilters builds the listener filters of cfg.
func (b *builder) listenerFilters(cfg *config, path conf.Path) {
	for i, msg := range cfg.msg.GetListenerFilters() {
		at := path.Index(i)
		b.check(msg, listenerFilterFields, at)
		config, f := b.lookUp(extension.ListenerFilters, msg.GetName(), msg.GetTypedConfig(), at)
		if f == nil {
			continue
		}
		factory, ok := f.(extension.ListenerFilterFactory)
		if !ok {
			b.errs.Add(at.Field("typed_config"), "extension %s is no listener filter", f.Name())
			continue
		}
		if build := factory.BuildListenerFilter(config, b.context, at.Field("typed_config"), b.errs); build != nil {
			filter := listenerFilter{build: build}
			if disabled := msg.GetFilterDisabled(); disabled != nil {
				filter.disabled = b.predicate(disabled, at.Field("filter_disabled"))
			}
			cfg.filters = append(cfg.filters, filter)
		}
	}
}
