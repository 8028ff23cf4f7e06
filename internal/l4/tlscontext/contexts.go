// Package tlscontext makes TLS contexts of Envoy's configuration: certificates and their
// choice, how peers are validated, versions and ciphers, sessions that go on, and their
// statistics. The sockets that use them are in tlssocket.
//
// A context is immutable. When one of its secrets changes, the main goroutine makes a
// new one and puts it in its place; connections that began before keep theirs.
package tlscontext

import (
	"slices"
	"sync"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/l4/tlssocket"
)

// Name is the name of both factories.
const Name = "envoy.transport_sockets.tls"

// Contexts knows the TLS contexts of a server. Its methods may be called on any
// goroutine.
type Contexts struct {
	handshakes *tlssocket.Handshakes
	now        func() time.Time
	acme       ACME // nil: off

	mu   sync.Mutex
	list []*common // of filter chains and clusters, in the order of the configuration
}

// New returns Contexts without any. handshakes are those of the server, now is
// time.Now.
func New(handshakes *tlssocket.Handshakes, now func() time.Time) *Contexts {
	return &Contexts{handshakes: handshakes, now: now}
}

// UseACME has the contexts that name a secret of a's ask it. It is called before any of
// them is built.
func (c *Contexts) UseACME(a ACME) { c.acme = a }

// Factories returns the factories of both sides.
func (c *Contexts) Factories() []extension.Factory {
	return []extension.Factory{downstreamFactory{c}, upstreamFactory{c}}
}

type downstreamFactory struct{ contexts *Contexts }

var _ extension.DownstreamTransportSocketFactory = downstreamFactory{}

// Name implements extension.Factory.
func (downstreamFactory) Name() string { return Name }

// Category implements extension.Factory.
func (downstreamFactory) Category() string { return extension.DownstreamTransportSockets }

// Config implements extension.Factory.
func (downstreamFactory) Config() proto.Message { return new(tlsv3.DownstreamTlsContext) }

// Fields implements extension.Factory.
func (downstreamFactory) Fields() []conf.Fields { return []conf.Fields{downstreamFields} }

// BuildDownstreamTransportSocket implements extension.DownstreamTransportSocketFactory.
func (f downstreamFactory) BuildDownstreamTransportSocket(msg proto.Message, ctx extension.TransportSocketContext,
	path conf.Path, errs *conf.Errors) transport.ServerFactory {
	d, ok := msg.(*tlsv3.DownstreamTlsContext)
	if !ok {
		return nil
	}
	before := len(*errs)
	s := &server{downstream: d, common: common{ctx: ctx, path: path, msg: d.GetCommonTlsContext(), stats: newStats(ctx.Scope, false)}}
	newServer(f.contexts, s, errs)
	if !f.contexts.start(&s.common, errs, before) {
		return nil
	}
	return s
}

type upstreamFactory struct{ contexts *Contexts }

var _ extension.UpstreamTransportSocketFactory = upstreamFactory{}

// Name implements extension.Factory.
func (upstreamFactory) Name() string { return Name }

// Category implements extension.Factory.
func (upstreamFactory) Category() string { return extension.UpstreamTransportSockets }

// Config implements extension.Factory.
func (upstreamFactory) Config() proto.Message { return new(tlsv3.UpstreamTlsContext) }

// Fields implements extension.Factory.
func (upstreamFactory) Fields() []conf.Fields { return []conf.Fields{upstreamFields} }

// BuildUpstreamTransportSocket implements extension.UpstreamTransportSocketFactory.
func (f upstreamFactory) BuildUpstreamTransportSocket(msg proto.Message, ctx extension.TransportSocketContext,
	path conf.Path, errs *conf.Errors) transport.ClientFactory {
	u, ok := msg.(*tlsv3.UpstreamTlsContext)
	if !ok {
		return nil
	}
	before := len(*errs)
	s := &client{upstream: u, common: common{ctx: ctx, path: path, msg: u.GetCommonTlsContext(), stats: newStats(ctx.Scope, true)}}
	newClient(f.contexts, s, errs)
	if !f.contexts.start(&s.common, errs, before) {
		return nil
	}
	return s
}

// start has a configuration without errors used, and known until it is closed. It
// reports whether errs has no more than before.
func (c *Contexts) start(added *common, errs *conf.Errors, before int) bool {
	if len(*errs) == before {
		added.start(errs)
	}
	if len(*errs) > before {
		added.stop()
		return false
	}
	c.mu.Lock()
	c.list = append(c.list, added)
	c.mu.Unlock()
	if added.ctx.Closed != nil {
		added.ctx.Closed(func() {
			c.mu.Lock()
			c.list = slices.DeleteFunc(c.list, func(other *common) bool { return other == added })
			c.mu.Unlock()
		})
	}
	return true
}

// all returns what the contexts are made of at the moment.
func (c *Contexts) all() []*material {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*material
	for _, known := range c.list {
		if m := known.inUse.Load(); m != nil {
			all = append(all, m)
		}
	}
	return all
}

// Certificates lists the certificates that are in use, as /certs shows them.
func (c *Contexts) Certificates() *adminv3.Certificates {
	list := new(adminv3.Certificates)
	for _, m := range c.all() {
		one := new(adminv3.Certificate)
		if trusted := m.validator.trusted(); len(trusted) > 0 {
			one.CaCert = append(one.CaCert, details(trusted[0], m.validator.path, c.now()))
		}
		for _, own := range m.certificates {
			d := details(own.leaf, own.path, c.now())
			if own.ocsp != nil {
				d.OcspDetails = &adminv3.CertificateDetails_OcspDetails{
					ValidFrom: timestamppb.New(own.ocsp.ThisUpdate), Expiration: timestamppb.New(own.ocsp.NextUpdate),
				}
			}
			one.CertChain = append(one.CertChain, d)
		}
		if one.CaCert != nil || one.CertChain != nil {
			list.Certificates = append(list.Certificates, one)
		}
	}
	return list
}

// DaysUntilFirstExpiry returns in how many days the first certificate expires: 0 if one
// has, 1<<32-1 without certificates.
func (c *Contexts) DaysUntilFirstExpiry() uint64 {
	days := uint64(1<<32 - 1)
	for _, m := range c.all() {
		if trusted := m.validator.trusted(); len(trusted) > 0 {
			days = min(days, daysUntil(trusted[0], c.now()))
		}
		for _, own := range m.certificates {
			days = min(days, daysUntil(own.leaf, c.now()))
		}
	}
	return days
}

// SecondsUntilFirstOCSPExpiry returns in how many seconds the first OCSP response
// expires, 0 if one has, and whether there is any.
func (c *Contexts) SecondsUntilFirstOCSPExpiry() (n uint64, ok bool) {
	seconds := int64(-1)
	for _, m := range c.all() {
		for _, own := range m.certificates {
			if own.ocsp != nil {
				left := max(int64(own.ocsp.NextUpdate.Sub(c.now())/time.Second), 0)
				if seconds < 0 || left < seconds {
					seconds = left
				}
			}
		}
	}
	return uint64(max(seconds, 0)), seconds >= 0
}
