package hcm

import (
	"strings"

	"github.com/nuncio-proxy/nuncio/api/format"
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
	if !s.recreated {
		for _, m := range s.cfg.early {
			m.MutateHeaders(h, s.entryFor(format.NotSet))
		}
		if !s.completeRequest(h) {
			return false
		}
	}
	if s.cfg.flushLogs.onRequest {
		s.resolveRoute()
		s.log(format.DownstreamStart)
	}
	switch kind := upgradeKind(h, connect); {
	case kind == "":
	case s.upgradeAllowed(kind):
		s.upgrading = true
		s.cfg.stats.cxUpgradesTotal.Inc(s.m.shard)
		s.cfg.stats.cxUpgradesActive.Inc(s.m.shard)
	default:
		if connect && s.resolveRoute() == nil {
			return true // the router says that there is no route
		}
		s.cfg.stats.rqWsOnNonWsRoute.Inc(s.m.shard)
		// What follows may be the upgraded protocol already: it is not read as HTTP/1. As
		// in Envoy a connection of HTTP/2 is drained.
		if s.m.http2 != nil {
			s.m.beginDrain("")
		}
		s.m.endKeepAlive()
		s.reject(403, "", "upgrade_failed")
		return false
	}
	s.answerExpect(h)
	return true
}

// reject answers a request that no filter gets to see. The route decides which filters
// see the response.
func (s *stream) reject(status int, body, details string) {
	s.setUpFilters()
	s.sendLocalReply(httpfilter.LocalReply{Status: status, Body: body, Details: details})
}

func (s *stream) checkRequest(h *httpmsg.Headers, connect bool) bool {
	if !h.Has(httpmsg.Authority) {
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
		s.reject(400, "", "query_missing_content_type")
		return false
	}
	return true
}

// answerExpect sends "100 Continue" on behalf of the upstream. Filters do not see it.
func (s *stream) answerExpect(h *httpmsg.Headers) {
	if s.cfg.proxy100Continue || s.request.Complete || !strings.EqualFold(h.Get(httpmsg.Expect), "100-continue") {
		return
	}
	h.Remove(httpmsg.Expect)
	s.local.Reset()
	s.local.SetStatusCode(100)
	s.sendInterim(&s.local)
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
		if httpmsg.HasToken(te, "trailers") {
			h.Set(httpmsg.TE, "trailers")
		} else {
			h.Remove(httpmsg.TE)
		}
	}
	h.Remove(httpmsg.XEnvoyInternal)
	h.Remove(httpmsg.KeepAlive)
	h.Remove(httpmsg.ProxyConnection)
	h.Remove(httpmsg.TransferEncoding)
	c := s.findClient(h)
	if c.reject != 0 {
		s.cfg.stats.rqRejectedByIP.Inc(s.m.shard)
		s.reject(c.reject, "", "rejecting_because_detection_failed")
		return false
	}
	remote := c.address
	s.setScheme(h)
	internal := c.trusted && s.cfg.isInternal(remote)
	edge := !internal && s.cfg.useRemoteAddress
	if internal {
		h.AddID(httpmsg.XEnvoyInternal, "true")
	} else {
		removeInternalHeaders(h, edge)
		if t := s.cfg.table(h); t != nil {
			for _, name := range t.InternalOnlyHeaders() {
				h.RemoveName(name)
			}
		}
	}
	if s.cfg.addUserAgent {
		s.addUserAgent(h)
	}
	if s.cfg.via != "" {
		appendValue(h, httpmsg.Via, s.cfg.via)
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
	s.forwardClientCert(h)
	return true
}

// addUserAgent tells the upstream who forwards the request.
func (s *stream) addUserAgent(h *httpmsg.Headers) {
	h.Set(httpmsg.XEnvoyDownstreamServiceCluster, s.cfg.userAgent)
	if h.Get(httpmsg.UserAgent) == "" {
		h.Set(httpmsg.UserAgent, s.cfg.userAgent)
	}
	if s.cfg.node != "" {
		h.Set(httpmsg.XEnvoyDownstreamServiceNode, s.cfg.node)
	}
}

// setScheme makes sure that :scheme says what the client used.
func (s *stream) setScheme(h *httpmsg.Headers) {
	switch {
	case s.cfg.schemeToOverwrite != "":
		h.Set(httpmsg.Scheme, s.cfg.schemeToOverwrite)
		h.Set(httpmsg.XForwardedProto, s.cfg.schemeToOverwrite)
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
		case httpmsg.XEnvoyOriginalHost, httpmsg.XEnvoyDecoratorOperation, httpmsg.XEnvoyDownstreamServiceCluster,
			httpmsg.XEnvoyDownstreamServiceNode, httpmsg.XEnvoyOriginalPath:
			return edge
		}
		return f.Name == "x-envoy-original-url"
	})
}
