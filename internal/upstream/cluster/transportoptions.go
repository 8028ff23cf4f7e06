package cluster

import (
	"net/netip"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/filterstate"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// AutoName says what TLS does with the host that a request is for.
type AutoName struct {
	// SNI: connections ask for the host by SNI. Validate: the certificate must have it.
	SNI, Validate bool
	// Header has the host, if it is not empty; "" for none besides the host itself.
	Header string
}

func autoNameFields() conf.Fields {
	return conf.Fields{Message: "envoy.config.core.v3.UpstreamHttpProtocolOptions", Names: []string{
		"auto_sni", "auto_san_validation", "override_auto_sni_header"}}
}

func parseAutoName(msg *corev3.UpstreamHttpProtocolOptions, path conf.Path, errs *conf.Errors) AutoName {
	conf.Check(msg, autoNameFields(), path, errs)
	return AutoName{SNI: msg.GetAutoSni(), Validate: msg.GetAutoSanValidation(), Header: strings.ToLower(msg.GetOverrideAutoSniHeader())}
}

// of adds to the options what a request with headers h asks for.
func (n *AutoName) of(h *httpmsg.Headers, o *transport.Options) {
	text := h.Get(httpmsg.Authority)
	if n.Header != "" {
		if value, _ := h.Find(n.Header); value != "" {
			text = value
		}
	}
	host := withoutPort(text)
	if n.SNI && !isIP(host) {
		o.ServerName = host
	}
	if n.Validate {
		o.VerifyNames = []string{strings.Trim(host, "[]")}
	}
}

func withoutPort(authority string) string {
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 {
		return authority
	}
	if _, err := strconv.ParseUint(authority[colon+1:], 10, 32); err != nil {
		return authority
	}
	return authority[:colon]
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// sendsProxyHeader reports whether connections depend on the addresses of the
// downstream.
func (t *Transports) sendsProxyHeader() bool {
	probe := &transport.Options{ProxyProtocol: &streaminfo.ProxyProtocol{Source: address.Unix("/source"), Destination: address.Unix("/destination")}}
	depends := func(f transport.ClientFactory) bool { return f != nil && f.Key(probe) != f.Key(nil) }
	for i := range t.matches {
		if depends(t.matches[i].factory) {
			return true
		}
	}
	return depends(t.otherwise)
}

// askTransport completes pick with what the transport of its connection is to do.
func (c *Cluster) askTransport(pick *upstream.Pick) {
	name, down := &c.config.Protocol.AutoName, pick.Downstream
	header := c.config.Transports.proxyHeader && down != nil && (down.ProxyProtocol != nil || pick.Stream == nil || !pick.Stream.HidesAddresses)
	named := (name.SNI || name.Validate) && pick.Request != nil
	state := pick.Stream != nil && (len(pick.Stream.FilterState) > 0 || down != nil && len(down.FilterState) > 0)
	if pick.Transport != nil || !named && !header && !state {
		return
	}
	o := new(transport.Options)
	if named {
		name.of(pick.Request, o)
	}
	if header {
		if o.ProxyProtocol = down.ProxyProtocol; o.ProxyProtocol == nil {
			o.ProxyProtocol = &streaminfo.ProxyProtocol{Source: down.Remote, Destination: down.Local}
		}
	}
	if asked := state && askedByState(pick.Stream, o); asked || named || header {
		pick.Transport = o
	}
}

// askedByState adds to the options what the filter state of a stream and its connection asks
// for, which comes before all else. It reports whether that is anything.
func askedByState(s *streaminfo.Stream, o *transport.Options) (asked bool) {
	if name, ok := match.FilterStateObject(s, filterstate.UpstreamServerName).(filterstate.Text); ok {
		o.ServerName, asked = string(name), true
	}
	if protocols, ok := match.FilterStateObject(s, filterstate.ApplicationProtocols).(filterstate.List); ok {
		o.ALPN, asked = protocols, true
	}
	if names, ok := match.FilterStateObject(s, filterstate.UpstreamSubjectAltNames).(filterstate.TextList); ok {
		o.VerifyNames, asked = names.List, true
	}
	if proxy, ok := match.FilterStateObject(s, filterstate.HTTP11ProxyInfo).(filterstate.Proxy); ok {
		o.HTTP11Proxy, o.HTTP11Target, asked = proxy.Address, proxy.Target, true
	}
	if s.Downstream != nil {
		share(o, s.Downstream.FilterState, s.Downstream.SharedState)
	}
	share(o, s.FilterState, s.SharedState)
	return asked || len(o.FilterState) > 0
}

// share adds the values of a filter state that go along with connections.
func share(o *transport.Options, state map[string]any, shared map[string]bool) {
	for name, transitive := range shared {
		if o.FilterState == nil {
			o.FilterState = make(map[string]streaminfo.Shared)
		}
		o.FilterState[name] = streaminfo.Shared{Value: state[name], Transitive: transitive}
	}
}
