package hcm

import (
	"net/netip"
	"slices"
	"strconv"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// readAddresses takes what decides on the address of the client.
func (c *config) readAddresses(m *hcmv3.HttpConnectionManager, ctx extension.Context, path conf.Path, errs *conf.Errors) {
	c.useRemoteAddress = m.GetUseRemoteAddress().GetValue()
	c.xffTrustedHops = int(m.GetXffNumTrustedHops())
	c.skipXFFAppend = m.GetSkipXffAppend()
	c.appendForwardedPort = m.GetAppendXForwardedPort()
	c.httpsPorts = m.GetForwardProtoConfig().GetHttpsDestinationPorts()
	c.httpPorts = m.GetForwardProtoConfig().GetHttpDestinationPorts()
	c.internalUnix = m.GetInternalAddressConfig().GetUnixSockets()
	c.internal = address.NewRanges(m.GetInternalAddressConfig().GetCidrRanges(),
		path.Field("internal_address_config").Field("cidr_ranges"), errs)
	at := path.Field("original_ip_detection_extensions")
	for i, e := range m.GetOriginalIpDetectionExtensions() {
		msg, factory := connectionManagerExtension[extension.OriginalIPDetectionFactory](
			extension.OriginalIPDetection, e.GetTypedConfig(), ctx, at.Index(i).Field("typed_config"), errs)
		if factory != nil {
			c.detectors = append(c.detectors, factory.BuildOriginalIPDetection(msg, ctx, at.Index(i).Field("typed_config"), errs))
		}
	}
	if len(c.detectors) > 0 {
		if c.useRemoteAddress {
			errs.Add(at, "Original IP detection extensions and use_remote_address may not be mixed")
		}
		if c.xffTrustedHops > 0 {
			errs.Add(at, "Original IP detection extensions and xff_num_trusted_hops may not be mixed")
		}
	}
}

// isInternal reports whether requests from a count as internal.
func (c *config) isInternal(a address.Address) bool {
	if a.IsUnix() {
		return c.internalUnix
	}
	return c.internal.Contains(a.IP())
}

// A client is what the headers and the connection say about where a request came
// from.
type client struct {
	address address.Address
	// trusted tells whether the address may make the request internal.
	trusted bool
	// reject is the status to answer with, 0 to serve the request.
	reject int
}

// findClient finds the address of the client, and keeps x-forwarded-for,
// x-forwarded-proto and x-forwarded-port.
func (s *stream) findClient(h *httpmsg.Headers) (c client) {
	cfg, peer := s.cfg, s.info.Downstream.Remote
	switch {
	case cfg.useRemoteAddress:
		c = s.fromConnection(h)
	case len(cfg.detectors) > 0:
		c = s.fromExtensions(h)
	default:
		// A list of one was written by the only proxy before this one.
		c.address, c.trusted = lastForwarded(h, cfg.xffTrustedHops)
	}
	if c.reject != 0 {
		return c
	}
	if !c.address.IsValid() {
		c.address, c.trusted = peer, false
	}
	if !h.Has(httpmsg.XForwardedProto) {
		h.AddID(httpmsg.XForwardedProto, s.forwardedProto())
	}
	if cfg.appendForwardedPort && peer.AddrPort().IsValid() &&
		(cfg.useRemoteAddress && cfg.xffTrustedHops == 0 || !h.Has(httpmsg.XForwardedPort)) {
		h.Set(httpmsg.XForwardedPort, strconv.Itoa(int(s.info.Downstream.Local.Port())))
	}
	return c
}

// fromConnection trusts the address of the peer, or of a client that trusted proxies
// before this one tell of.
func (s *stream) fromConnection(h *httpmsg.Headers) (c client) {
	cfg, peer := s.cfg, s.info.Downstream.Remote
	c.trusted = !h.Has(httpmsg.XForwardedFor)
	if n := cfg.xffTrustedHops; n > 0 {
		c.address, _ = lastForwarded(h, n-1)
	}
	if !c.address.IsValid() {
		c.address = peer
	}
	if !cfg.skipXFFAppend {
		appendForwarded(h, cfg.forwardedFor(peer))
	}
	if cfg.xffTrustedHops == 0 {
		h.Set(httpmsg.XForwardedProto, s.forwardedProto())
	}
	return c
}

// fromExtensions asks the detectors, in their order.
func (s *stream) fromExtensions(h *httpmsg.Headers) client {
	peer := s.info.Downstream.Remote
	for _, d := range s.cfg.detectors {
		found := d.DetectIP(h, peer)
		if found.Reject != 0 {
			return client{reject: found.Reject}
		}
		if found.AppendXFF {
			appendForwarded(h, s.cfg.forwardedFor(peer))
		}
		if found.Address.IsValid() {
			return client{address: found.Address, trusted: found.Trusted}
		}
	}
	return client{}
}

// scheme is the scheme of the connection itself.
func (s *stream) scheme() string {
	if s.info.Downstream.Secure {
		return "https"
	}
	return "http"
}

// forwardedProto is the scheme that the client used: that of the port that it
// connected to, where a proxy before this one told of that and the configuration knows
// the port, else that of the connection.
func (s *stream) forwardedProto() string {
	if d := s.info.Downstream; d.Local != d.DirectLocal {
		switch port := uint32(d.Local.Port()); {
		case slices.Contains(s.cfg.httpsPorts, port):
			return "https"
		case slices.Contains(s.cfg.httpPorts, port):
			return "http"
		}
	}
	return s.scheme()
}

// lastForwarded returns the address that stands skip places before the end of
// x-forwarded-for, which is not valid if there is none, and whether it is the only one
// in the list.
func lastForwarded(h *httpmsg.Headers, skip int) (a address.Address, only bool) {
	list, ok := h.Joined("x-forwarded-for")
	if !ok {
		return a, false
	}
	ip, rest, more := httpmsg.LastAddress(list)
	for range skip {
		if !more {
			return a, false
		}
		ip, rest, more = httpmsg.LastAddress(rest)
	}
	if !ip.IsValid() {
		return a, false
	}
	return address.FromAddrPort(netip.AddrPortFrom(ip, 0)), skip == 0 && !more
}

func appendForwarded(h *httpmsg.Headers, ip string) {
	if ip == "" {
		return
	}
	if list, ok := h.Joined("x-forwarded-for"); ok && list != "" {
		ip = list + "," + ip
	}
	h.Set(httpmsg.XForwardedFor, ip)
}

// forwardedFor is the text that stands for a peer in x-forwarded-for: a peer on this
// machine appears with the machine's own address.
func (c *config) forwardedFor(peer address.Address) string {
	if peer.IP().IsLoopback() && c.localAddress.IsValid() {
		peer = c.localAddress
	}
	if !peer.IP().IsValid() {
		return ""
	}
	return peer.WithoutPort()
}

// localPort is the port of the listener as it ends a host, ":80".
func (m *manager) localPort() string {
	return ":" + strconv.Itoa(int(m.conn.Info().Local.Port()))
}
