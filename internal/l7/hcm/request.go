package hcm

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// acceptRequest checks and completes the headers of a request before any filter
// sees them, and reports false when it answered instead.
func (s *stream) acceptRequest() bool {
	h := &s.requestHeaders
	connect := h.Get(httpmsg.Method) == "CONNECT"
	if !s.checkRequest(h, connect) || !connect && !s.normalizePath(h) {
		return false
	}
	s.normalizeHost(h)
	if !s.completeRequest(h) {
		return false
	}
	if kind := upgradeKind(h, connect); kind != "" && !s.upgradeAllowed(kind) {
		if connect && s.resolveRoute() == nil {
			return true // the router says that there is no route
		}
		s.cfg.stats.rqWsOnNonWsRoute.Inc(s.m.shard)
		// What follows may be the upgraded protocol already: it is not read as HTTP.
		s.m.startDrain()
		s.reject(403, "", "upgrade_failed")
		return false
	}
	s.answerExpect(h)
	return true
}

// reject answers a request that no filter gets to see.
func (s *stream) reject(status int, body, details string) {
	s.sendLocalReply(httpfilter.LocalReply{Status: status, Body: body, Details: details})
}

func (s *stream) checkRequest(h *httpmsg.Headers, connect bool) bool {
	if !h.Has(httpmsg.Authority) {
		s.m.startDrain()
		s.reject(400, "", "missing_host_header")
		return false
	}
	path := h.Get(httpmsg.Path)
	switch {
	case connect:
	case path == "":
		s.reject(404, "", "missing_path_rejected")
		return false
	case path[0] != '/':
		s.cfg.stats.rqNonRelativePath.Inc(s.m.shard)
		s.reject(404, "", "absolute_path_rejected")
		return false
	case h.Get(httpmsg.Method) == "QUERY" && !h.Has(httpmsg.ContentType):
		s.m.startDrain()
		s.reject(400, "", "query_missing_content_type")
		return false
	}
	return true
}

// hasToken reports whether the comma-separated list holds token, whatever its case.
func hasToken(list, token string) bool {
	for list != "" {
		item, rest, _ := strings.Cut(list, ",")
		if strings.EqualFold(strings.Trim(item, " \t"), token) {
			return true
		}
		list = rest
	}
	return false
}

// upgradeKind returns the protocol that a request wants to change to, "" for none.
func upgradeKind(h *httpmsg.Headers, connect bool) string {
	if connect {
		return "CONNECT"
	}
	if h.Has(httpmsg.Upgrade) && hasToken(h.Get(httpmsg.Connection), "upgrade") {
		return h.Get(httpmsg.Upgrade)
	}
	return ""
}

// upgradeAllowed looks at the route first, then at the connection manager.
func (s *stream) upgradeAllowed(kind string) bool {
	if r := s.resolveRoute(); r != nil && r.Forward != nil {
		for i := range r.Forward.Upgrades {
			if u := &r.Forward.Upgrades[i]; strings.EqualFold(u.Type, kind) {
				return u.Enabled
			}
		}
	}
	for i := range s.cfg.upgrades {
		if strings.EqualFold(s.cfg.upgrades[i].kind, kind) {
			return s.cfg.upgrades[i].enabled
		}
	}
	return false
}

// answerExpect sends "100 Continue" on behalf of the upstream.
func (s *stream) answerExpect(h *httpmsg.Headers) {
	if s.cfg.proxy100Continue || s.request.complete || !strings.EqualFold(h.Get(httpmsg.Expect), "100-continue") {
		return
	}
	h.Remove(httpmsg.Expect)
	s.local.Reset()
	s.local.SetStatusCode(100)
	s.encodeInterim(&s.local)
}

// completeRequest removes what is hop by hop or not for outsiders to say, and adds
// what the proxy knows: addresses, scheme, request id. It reports false when it
// answered instead.
func (s *stream) completeRequest(h *httpmsg.Headers) bool {
	if upgradeKind(h, false) == "" {
		h.Remove(httpmsg.Connection)
		h.Remove(httpmsg.Upgrade)
	}
	if te := h.Get(httpmsg.TE); te != "" {
		if hasToken(te, "trailers") {
			h.Set(httpmsg.TE, "trailers")
		} else {
			h.Remove(httpmsg.TE)
		}
	}
	h.Remove(httpmsg.XEnvoyInternal)
	h.Remove(httpmsg.KeepAlive)
	h.Remove(httpmsg.ProxyConnection)
	h.Remove(httpmsg.TransferEncoding)
	remote, trusted := s.remoteAddress(h)
	s.setScheme(h)
	internal := trusted && s.cfg.isInternal(remote)
	edge := !internal && s.cfg.useRemoteAddress
	if internal {
		h.AddID(httpmsg.XEnvoyInternal, "true")
	} else {
		removeInternalHeaders(h, edge)
	}
	if edge && remote.AddrPort().IsValid() {
		h.Set(httpmsg.XEnvoyExternalAddress, remote.WithoutPort())
	}
	if remote != s.info.Downstream.Remote {
		// The connection's description is shared by its streams.
		own := *s.info.Downstream
		own.Remote = remote
		s.info.Downstream = &own
	}
	s.setRequestID(h, edge)
	h.Remove(httpmsg.XForwardedClientCert)
	if s.cfg.via != "" {
		appendValue(h, httpmsg.Via, s.cfg.via)
	}
	return true
}

// remoteAddress finds the address of the client, and keeps x-forwarded-for and
// x-forwarded-proto. trusted tells whether the address may make a request internal.
func (s *stream) remoteAddress(h *httpmsg.Headers) (remote address.Address, trusted bool) {
	peer := s.info.Downstream.Remote
	if s.cfg.useRemoteAddress {
		trusted = !h.Has(httpmsg.XForwardedFor)
		remote = peer
		if n := s.cfg.xffTrustedHops; n > 0 {
			if a, ok := lastForwarded(h, n-1); ok {
				remote = a
			}
		}
		if !s.cfg.skipXFFAppend {
			appendForwarded(h, s.cfg.forwardedFor(peer))
		}
		if s.cfg.xffTrustedHops == 0 || !h.Has(httpmsg.XForwardedProto) {
			h.Set(httpmsg.XForwardedProto, s.scheme())
		}
	} else {
		remote = peer
		if a, ok := lastForwarded(h, s.cfg.xffTrustedHops); ok {
			remote = a
			// A list of one was written by the only proxy before this one.
			trusted = strings.IndexByte(h.Get(httpmsg.XForwardedFor), ',') < 0
		}
		if !h.Has(httpmsg.XForwardedProto) {
			h.AddID(httpmsg.XForwardedProto, s.scheme())
		}
	}
	if s.cfg.appendForwardedPort && peer.AddrPort().IsValid() &&
		(s.cfg.useRemoteAddress && s.cfg.xffTrustedHops == 0 || !h.Has(httpmsg.XForwardedPort)) {
		h.Set(httpmsg.XForwardedPort, strconv.Itoa(int(s.info.Downstream.Local.Port())))
	}
	return remote, trusted
}

// scheme is the scheme of the connection itself.
func (s *stream) scheme() string { return "http" }

// lastForwarded returns the address that stands skip places before the end of
// x-forwarded-for.
func lastForwarded(h *httpmsg.Headers, skip int) (address.Address, bool) {
	list, ok := h.Joined("x-forwarded-for")
	if !ok {
		return address.Address{}, false
	}
	for ; skip > 0; skip-- {
		i := strings.LastIndexByte(list, ',')
		if i < 0 {
			return address.Address{}, false
		}
		list = list[:i]
	}
	item := strings.Trim(list[strings.LastIndexByte(list, ',')+1:], " \t")
	if ip, err := netip.ParseAddr(item); err == nil && ip.Zone() == "" {
		return address.FromAddrPort(netip.AddrPortFrom(ip, 0)), true
	}
	if ap, err := netip.ParseAddrPort(item); err == nil && ap.Addr().Zone() == "" {
		return address.FromAddrPort(ap), true
	}
	return address.Address{}, false
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

// setScheme makes sure that :scheme says what the client used.
func (s *stream) setScheme(h *httpmsg.Headers) {
	switch {
	case s.cfg.schemeToOverwrite != "":
		h.Set(httpmsg.Scheme, s.cfg.schemeToOverwrite)
	case h.Get(httpmsg.Scheme) == "":
		scheme := h.Get(httpmsg.XForwardedProto)
		if !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			scheme = s.scheme()
		}
		h.Set(httpmsg.Scheme, scheme)
	}
}

// removeInternalHeaders takes away what only internal clients may say. edge is set
// for a request that comes to the first proxy.
func removeInternalHeaders(h *httpmsg.Headers, edge bool) {
	h.RemoveIf(func(f *httpmsg.Field) bool {
		switch f.ID() {
		case httpmsg.XEnvoyRetriableStatusCodes, httpmsg.XEnvoyRetriableHeaderNames, httpmsg.XEnvoyRetryOn,
			httpmsg.XEnvoyRetryGRPCOn, httpmsg.XEnvoyMaxRetries, httpmsg.XEnvoyUpstreamAltStatName,
			httpmsg.XEnvoyUpstreamRQTimeoutMs, httpmsg.XEnvoyUpstreamRQPerTryTimeoutMs,
			httpmsg.XEnvoyUpstreamRQTimeoutAltResponse, httpmsg.XEnvoyExpectedRQTimeoutMs, httpmsg.XEnvoyForceTrace,
			httpmsg.XEnvoyIPTags, httpmsg.XEnvoyHedgeOnPerTryTimeout, httpmsg.XEnvoyUpstreamStreamDurationMs:
			return true
		case httpmsg.XEnvoyDecoratorOperation, httpmsg.XEnvoyDownstreamServiceCluster,
			httpmsg.XEnvoyDownstreamServiceNode, httpmsg.XEnvoyOriginalPath:
			return edge
		}
		return false
	})
}

// setRequestID gives the request an id. At the edge an id from outside is replaced,
// unless the configuration keeps it.
func (s *stream) setRequestID(h *httpmsg.Headers, edge bool) {
	if s.cfg.generateRequestID {
		if id := h.Get(httpmsg.XRequestID); id == "" || edge && !s.cfg.preserveRequestID {
			h.Set(httpmsg.XRequestID, newRequestID(h, s.m.d.Random(), s.m.d.Random()))
		}
	}
	s.info.RequestID = h.Get(httpmsg.XRequestID)
}

// newRequestID returns a random UUID (RFC 9562, version 4), cut from the arena of h.
func newRequestID(h *httpmsg.Headers, hi, lo uint64) string {
	const hex = "0123456789abcdef"
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(0xc<<60) | 0x8<<60
	var id [36]byte
	at := 0
	for i := range 32 {
		switch at {
		case 8, 13, 18, 23:
			id[at] = '-'
			at++
		}
		word := hi
		if i >= 16 {
			word = lo
		}
		id[at] = hex[word>>(60-4*(i%16))&15]
		at++
	}
	return h.String(id[:])
}
