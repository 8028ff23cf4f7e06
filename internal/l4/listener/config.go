package listener

import (
	"math"
	"runtime"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/addr"
	"github.com/nuncio-proxy/nuncio/internal/l4/drain"
	"github.com/nuncio-proxy/nuncio/internal/l4/sock"
)

const (
	defaultBufferLimit   = 1 << 20
	defaultFilterTimeout = 15 * time.Second
	limitKeyPrefix       = "envoy.resource_limits.listener."
	limitKeySuffix       = ".connection_limit"
	globalLimitKey       = "overload.global_downstream_max_connections"
	// defaultMaxAccepts keeps a flood of connections from starving those there are;
	// what is left comes in the next turn.
	defaultMaxAccepts = 256
)

// Fields lists the fields of the configuration that are implemented.
func Fields() []conf.Fields {
	return []conf.Fields{
		{Message: "envoy.config.listener.v3.Listener", Names: []string{
			"name", "address", "additional_addresses", "stat_prefix", "filter_chains", "default_filter_chain",
			"per_connection_buffer_limit_bytes", "drain_type", "listener_filters", "listener_filters_timeout",
			"continue_on_listener_filters_timeout", "transparent", "freebind", "socket_options",
			"tcp_fast_open_queue_length", "traffic_direction", "connection_balance_config.exact_balance", "reuse_port",
			"enable_reuse_port", "access_log", "tcp_backlog_size", "max_connections_to_accept_per_socket_event",
			"bind_to_port", "use_original_dst", "ignore_global_conn_limit", "tcp_keepalive", "internal_listener",
			"metadata.filter_metadata"}},
		{Message: "envoy.config.listener.v3.FilterChain", Names: []string{
			"filter_chain_match", "filters", "transport_socket", "transport_socket_connect_timeout", "name",
			"metadata.filter_metadata"}},
		{Message: "envoy.config.listener.v3.FilterChainMatch", Names: []string{
			"destination_port", "prefix_ranges", "direct_source_prefix_ranges", "source_type", "source_prefix_ranges",
			"source_ports", "server_names", "transport_protocol", "application_protocols"}},
		{Message: "envoy.config.listener.v3.Filter", Names: []string{"name", "typed_config"}},
		{Message: "envoy.config.listener.v3.ListenerFilter", Names: []string{"name", "typed_config", "filter_disabled"}},
	}
}

// check refuses the fields of msg, which is the message of Fields()[at], that are
// not implemented.
func (b *builder) check(msg proto.Message, at int, path conf.Path) {
	conf.Check(msg, b.fields[at], path, b.errs)
}

// Indexes into Fields.
const (
	listenerFields = iota
	chainFields
	matchFields
	filterFields
	listenerFilterFields
)

// A config is a listener as it was configured, checked and built. It is immutable
// and shared by the workers.
type config struct {
	name       string
	msg        *listenerv3.Listener
	sockets    []socketConfig    // none if the listener does not bind
	reachedAt  []address.Address // other listeners hand connections to it off to this one
	chains     []*chain          // all, the default one last
	match      matcher
	drain      *drain.Decision // of what belongs to no chain
	accessLogs []accesslog.Logger
	stats      *listenerStats

	bufferLimit       int
	maxAccepts        int
	exactBalance      bool
	ignoreGlobalLimit bool
	limitKey          string // runtime key of the connection limit

	filters           []listenerFilter
	filterTimeout     time.Duration // 0: none
	continueOnTimeout bool

	described *streaminfo.Listener // to its connections
	handsOff  bool                 // use_original_dst
	internal  bool                 // connections come from clusters of this proxy
}

func (c *config) inbound() bool {
	return c.described.TrafficDirection == int32(corev3.TrafficDirection_INBOUND)
}

// A socketConfig says how one address is listened on. Sockets of an equal one are
// kept by an update.
type socketConfig struct {
	Spec addr.Spec
	// PerWorker: each worker has a socket of its own, with SO_REUSEPORT.
	PerWorker bool
	Options   sock.ListenOptions
}

// A builder makes a config of a message. It belongs to one call of build.
type builder struct {
	options *Options
	fields  []conf.Fields
	errs    *conf.Errors
	msg     *listenerv3.Listener
	before  *config // of the same listener, nil if it is new
	keep    bool    // before differs in filter chains only
	context extension.NetworkContext
}

// build checks msg, which is at path, and returns what it says; it is of use only
// if there are no errors. before is what msg replaces, nil if the listener is new:
// filter chains that do not change are taken from it.
func build(o *Options, msg *listenerv3.Listener, path conf.Path, before *config, errs *conf.Errors) *config {
	b := &builder{options: o, fields: Fields(), errs: errs, msg: msg, before: before}
	b.check(msg, listenerFields, path)
	cfg := &config{
		name:              msg.GetName(),
		msg:               msg,
		bufferLimit:       defaultBufferLimit,
		maxAccepts:        defaultMaxAccepts,
		exactBalance:      msg.GetConnectionBalanceConfig().GetExactBalance() != nil,
		ignoreGlobalLimit: msg.GetIgnoreGlobalConnLimit(),
		limitKey:          limitKeyPrefix + msg.GetName() + limitKeySuffix,
		filterTimeout:     defaultFilterTimeout,
		continueOnTimeout: msg.GetContinueOnListenerFiltersTimeout(),
		described: &streaminfo.Listener{
			Name: msg.GetName(), Metadata: msg.GetMetadata().GetFilterMetadata(), TrafficDirection: int32(msg.GetTrafficDirection()),
		},
		handsOff: msg.GetUseOriginalDst().GetValue(),
		internal: msg.GetInternalListener() != nil,
	}
	if v := msg.GetPerConnectionBufferLimitBytes(); v != nil {
		cfg.bufferLimit = int(v.GetValue())
	}
	if v := msg.GetMaxConnectionsToAcceptPerSocketEvent(); v != nil {
		cfg.maxAccepts = int(v.GetValue())
		if cfg.maxAccepts == 0 {
			errs.Add(path.Field("max_connections_to_accept_per_socket_event"), "must be greater than 0")
		}
	}
	if v := msg.GetListenerFiltersTimeout(); v != nil {
		cfg.filterTimeout = v.AsDuration()
	}
	specs := b.addresses(cfg, path)
	if len(specs) == 0 {
		return nil
	}
	cfg.reachedAt = reachable(specs)
	if before != nil && sameButChains(before.msg, msg) {
		b.keep, cfg.drain, cfg.stats = true, before.drain, before.stats
	} else {
		cfg.drain, cfg.stats = o.newDrain(msg), newListenerStats(o, scopeName(msg, specs[0]))
	}
	b.context = extension.NetworkContext{Context: o.Context, Listener: extension.Listener{
		Name:     msg.GetName(),
		Scope:    cfg.stats.scope,
		Inbound:  cfg.inbound(),
		Outbound: msg.GetTrafficDirection() == corev3.TrafficDirection_OUTBOUND,
		Drain:    cfg.drain,
	}}
	cfg.accessLogs = o.Context.AccessLogs.Build(msg.GetAccessLog(), path.Field("access_log"), errs)
	b.listenerFilters(cfg, path.Field("listener_filters"))
	if cfg.handsOff {
		b.originalDst(cfg, path.Field("use_original_dst"))
	}
	b.chains(cfg, path)
	return cfg
}

// discard undoes the build of a config, which may be nil, that is of no use.
func (c *config) discard(before *config) {
	if c == nil {
		return
	}
	releaseBut(c.chains, before.allChains())
	if before == nil || before.stats != c.stats {
		c.stats.scope.Close()
	}
}

// allChains returns the filter chains of c, which may be nil.
func (c *config) allChains() []*chain {
	if c == nil {
		return nil
	}
	return c.chains
}

// scopeName is the part of the names of statistics behind "listener.".
func scopeName(msg *listenerv3.Listener, main addr.Spec) string {
	if msg.GetStatPrefix() != "" {
		return msg.GetStatPrefix()
	}
	if main.Address.IsInternal() {
		return "envoy_internal_" + main.Address.Path()
	}
	return main.Address.String()
}

// addresses reads the addresses of the listener and how to listen on them.
func (b *builder) addresses(cfg *config, path conf.Path) []addr.Spec {
	msg := cfg.msg
	if cfg.internal {
		return b.internalAddress(path)
	}
	if msg.GetAddress() == nil {
		b.errs.Add(path.Field("address"), "must be set")
		return nil
	}
	base := b.listenOptions(cfg, path)
	base.Options = addr.ParseOptions(msg.GetSocketOptions(), path.Field("socket_options"), b.errs)
	base.KeepAlive = addr.ParseKeepAlive(msg.GetTcpKeepalive(), path.Field("tcp_keepalive"), b.errs)
	specs := []addr.Spec{b.address(msg.GetAddress(), path.Field("address"))}
	options := []sock.ListenOptions{base}
	for i, a := range msg.GetAdditionalAddresses() {
		at := path.Field("additional_addresses").Index(i)
		o := base
		if a.GetSocketOptions() != nil {
			o.Options = addr.ParseOptions(a.GetSocketOptions().GetSocketOptions(), at.Field("socket_options").Field("socket_options"), b.errs)
		}
		if a.GetTcpKeepalive() != nil {
			o.KeepAlive = addr.ParseKeepAlive(a.GetTcpKeepalive(), at.Field("tcp_keepalive"), b.errs)
		}
		specs, options = append(specs, b.address(a.GetAddress(), at.Field("address"))), append(options, o)
	}
	if msg.GetBindToPort() != nil && !msg.GetBindToPort().GetValue() {
		return specs
	}
	for i, s := range specs {
		o := options[i]
		o.Mode, o.IPv4Compat = uint32(s.Mode), s.IPv4Compat
		o.ReusePort = o.ReusePort && !s.Address.IsUnix()
		cfg.sockets = append(cfg.sockets, socketConfig{Spec: s, PerWorker: o.ReusePort, Options: o})
	}
	return specs
}

func (b *builder) address(msg *corev3.Address, path conf.Path) addr.Spec {
	s := addr.Parse(msg, path, b.errs)
	if s.UDP {
		b.errs.Add(path.Field("socket_address").Field("protocol"), "UDP listeners are not implemented")
	}
	if s.Address.IsInternal() {
		b.errs.Add(path.Field("envoy_internal_address"), "use internal_listener field instead of address for internal listeners")
	}
	return s
}

// listenOptions reads the options that all addresses have in common.
func (b *builder) listenOptions(cfg *config, path conf.Path) (o sock.ListenOptions) {
	msg := cfg.msg
	// Elsewhere SO_REUSEPORT does not spread connections.
	o.ReusePort = runtime.GOOS == "linux" && (msg.GetEnableReusePort() == nil || msg.GetEnableReusePort().GetValue())
	o.Freebind = msg.GetFreebind().GetValue()
	o.Transparent = msg.GetTransparent().GetValue()
	if v := msg.GetTcpFastOpenQueueLength(); v != nil {
		n := int(min(v.GetValue(), math.MaxInt32))
		o.FastOpen = &n
	}
	if v := msg.GetTcpBacklogSize(); v != nil {
		if o.Backlog = int(min(v.GetValue(), math.MaxInt32)); o.Backlog == 0 {
			b.errs.Add(path.Field("tcp_backlog_size"), "must be greater than 0")
		}
	}
	return o
}
