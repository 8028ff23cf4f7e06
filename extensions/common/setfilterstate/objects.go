package setfilterstate

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/filterstate"
)

// A factory makes an object of a text, nil if the text is wrong.
type factory func(text string) any

// factoryOf returns the factory of a name. Without one, known says whether Envoy has it: the
// object would be for what is not here.
func factoryOf(name string) (build factory, known bool) {
	switch name {
	case "envoy.string":
		return func(text string) any { return text }, true
	case "envoy.hashable_string":
		return func(text string) any { return hashable{text, xxhash.Sum64String(text)} }, true
	case "envoy.bool":
		return parseBool, true
	case "envoy.network.ip":
		return parseIP, true
	case filterstate.UpstreamServerName, filterstate.TCPProxyCluster:
		return func(text string) any { return filterstate.Text(text) }, true
	case filterstate.ApplicationProtocols:
		return func(text string) any { return filterstate.List(strings.Split(text, ",")) }, true
	case filterstate.UpstreamSubjectAltNames:
		return func(text string) any {
			return filterstate.TextList{Text: filterstate.Text(text), List: strings.Split(text, ",")}
		}, true
	case filterstate.HTTP11ProxyInfo:
		return parseProxy, true
	case filterstate.TCPProxyDisableTunneling:
		return func(text string) any { return filterstate.Bool(text == "true") }, true
	case filterstate.TCPProxyIdleTimeout:
		return parseUint64, true
	case filterstate.OriginalDst, filterstate.OriginalLocal, filterstate.OriginalRemote:
		return parseAddress, true
	case "envoy.ai.llm_protocol.request", "envoy.ai.model.request", "envoy.network.network_namespace",
		"envoy.ratelimit.hits_addend", "envoy.router.debug_config",
		"envoy.upstream.dynamic_host", "envoy.upstream.dynamic_port":
		return nil, true
	}
	return nil, false
}

// A hashable is a string that hash policies can take: a route.Hashable.
type hashable struct {
	text string
	hash uint64
}

// String returns the text.
func (h hashable) String() string { return h.text }

// Hash implements route.Hashable.
func (h hashable) Hash() (hash uint64, ok bool) { return h.hash, true }

func parseBool(text string) any {
	switch strings.ToLower(text) {
	case "true", "t", "yes", "y", "1":
		return filterstate.Bool(true)
	case "false", "f", "no", "n", "0":
		return filterstate.Bool(false)
	}
	return nil
}

func parseUint64(text string) any {
	n, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(text), "+"), 10, 64)
	if err != nil {
		return nil
	}
	return filterstate.Uint64(n)
}

// parseIP parses an address without a port.
func parseIP(text string) any {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return nil
	}
	return filterstate.IP{Address: address.FromAddrPort(netip.AddrPortFrom(ip, 0))}
}

func parseAddress(text string) any {
	ap, err := netip.ParseAddrPort(text)
	if err != nil {
		return nil
	}
	return filterstate.Address{Address: address.FromAddrPort(ap)}
}

// parseProxy parses target,ip:port.
func parseProxy(text string) any {
	target, at, _ := strings.Cut(text, ",")
	target = strings.TrimSpace(target)
	ap, err := netip.ParseAddrPort(strings.TrimSpace(at))
	if err != nil || target == "" {
		return nil
	}
	return filterstate.Proxy{Target: target, Address: address.FromAddrPort(ap)}
}
