package hcm

import (
	"strings"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

const proxyStatusName = "proxy-status"

// proxyStatus writes the header proxy-status (RFC 9209) of responses that tell of an
// error. It is immutable.
type proxyStatus struct {
	name                               string
	details, terminationDetails, flags bool
	setStatus                          bool
}

// newProxyStatus returns nil without a configuration.
func newProxyStatus(m *hcmv3.HttpConnectionManager_ProxyStatusConfig, serverName string, server extension.Server) *proxyStatus {
	if m == nil {
		return nil
	}
	p := &proxyStatus{
		name: serverName, details: !m.GetRemoveDetails(), terminationDetails: !m.GetRemoveConnectionTerminationDetails(),
		flags: !m.GetRemoveResponseFlags(), setStatus: m.GetSetRecommendedResponseCode(),
	}
	switch name := m.GetProxyName().(type) {
	case *hcmv3.HttpConnectionManager_ProxyStatusConfig_LiteralProxyName:
		p.name = name.LiteralProxyName
	case *hcmv3.HttpConnectionManager_ProxyStatusConfig_UseNodeId:
		p.name = server.ServiceNode()
	}
	return p
}

// A proxyError is one of the error types of RFC 9209, section 2.3, with the status
// that is recommended for it, 0 for none.
type proxyError struct {
	flag   streaminfo.Flags
	name   string
	status int
}

// proxyErrors tells what a response flag means; the first one that is set counts.
// DownstreamProtocolError is not there: Envoy notes it when it has answered.
var proxyErrors = [...]proxyError{
	{streaminfo.FailedLocalHealthCheck, "destination_unavailable", 503},
	{streaminfo.NoHealthyUpstream, "destination_unavailable", 503},
	{streaminfo.UpstreamRequestTimeout, "http_response_timeout", 504},
	{streaminfo.LocalReset, "connection_timeout", 504},
	{streaminfo.UpstreamRemoteReset, "connection_terminated", 502},
	{streaminfo.UpstreamConnectionFailure, "connection_refused", 502},
	{streaminfo.UpstreamConnectionTermination, "connection_terminated", 502},
	{streaminfo.UpstreamOverflow, "connection_limit_reached", 503},
	{streaminfo.NoRouteFound, "destination_not_found", 500},
	{streaminfo.RateLimited, "connection_limit_reached", 503},
	{streaminfo.RateLimitServiceError, "connection_limit_reached", 503},
	{streaminfo.UpstreamRetryLimitExceeded, "destination_unavailable", 503},
	{streaminfo.StreamIdleTimeout, "http_response_timeout", 504},
	{streaminfo.InvalidEnvoyRequestHeaders, "http_request_error", 0},
	{streaminfo.UpstreamMaxStreamDurationReached, "http_response_timeout", 504},
	{streaminfo.NoFilterConfigFound, "proxy_configuration_error", 500},
	{streaminfo.UpstreamProtocolError, "http_protocol_error", 502},
	{streaminfo.NoClusterFound, "destination_unavailable", 503},
	{streaminfo.DnsResolutionFailed, "dns_error", 502},
}

// apply adds the header to a response, if it tells of an error, and may change its
// status.
func (p *proxyStatus) apply(h *httpmsg.Headers, info *streaminfo.Stream) {
	for i := range proxyErrors {
		if e := &proxyErrors[i]; info.Flags&e.flag != 0 {
			text := p.text(e, info)
			if old, ok := h.Joined(proxyStatusName); ok {
				text = old + ", " + text
			}
			h.SetName(proxyStatusName, text)
			if p.setStatus && e.status != 0 {
				h.SetStatusCode(e.status)
			}
			return
		}
	}
}

func (p *proxyStatus) text(e *proxyError, info *streaminfo.Stream) string {
	text := p.name + "; error=" + e.name
	if !p.details || info.ResponseDetails == "" {
		return text
	}
	details := info.ResponseDetails
	if p.terminationDetails && info.TerminationDetails != "" {
		details += "; " + info.TerminationDetails
	}
	if p.flags {
		details += "; " + string(info.Flags.Append(nil))
	}
	return text + `; details="` + escapeDetails.Replace(details) + `"`
}

var escapeDetails = strings.NewReplacer("\r", `\r`, "\n", `\n`, "\t", `\t`, "\v", `\v`, "'", `\'`, `"`, `\"`, `\`, `\\`)
