package listener

import (
	"net/netip"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/addr"
)

// rawBuffer is the transport protocol of a connection that no listener filter
// said otherwise about.
const rawBuffer = "raw_buffer"

// A value is one value of a match criterion; the zero value is "any".
type value struct {
	text   string
	prefix netip.Prefix
	number uint32
}

// A level holds the values of one criterion, each with the level of the next
// criterion behind it. Once a connection has taken a value there is no way back:
// the most specific value of the first criterion wins, even if nothing behind it
// fits.
type level struct {
	next    map[value]*level
	lengths []int  // of the prefixes in next, longest first
	chain   *chain // behind the last criterion
}

// A criterion is one step of choosing a filter chain.
type criterion struct {
	// values are those that a filter chain asks for; none means any.
	values func(m *listenerv3.FilterChainMatch, path conf.Path, errs *conf.Errors) []value
	// find returns the most specific value of l that c has, nil if there is none.
	find func(l *level, c *streaminfo.Connection) *level
}

// criteria returns the criteria in the order in which they are looked at.
func criteria() []criterion {
	return []criterion{
		{destinationPorts, func(l *level, c *streaminfo.Connection) *level { return l.number(uint32(c.Local.Port())) }},
		{prefixRanges, func(l *level, c *streaminfo.Connection) *level { return l.ip(c.Local.IP()) }},
		{serverNames, func(l *level, c *streaminfo.Connection) *level { return l.serverName(c.RequestedServerName) }},
		{transportProtocols, func(l *level, c *streaminfo.Connection) *level { return l.text(c.TransportProtocol) }},
		{applicationProtocols, (*level).applicationProtocol},
		{directSourceRanges, func(l *level, c *streaminfo.Connection) *level { return l.ip(c.DirectRemote.IP()) }},
		{sourceTypes, (*level).sourceType},
		{sourceRanges, func(l *level, c *streaminfo.Connection) *level { return l.ip(c.Remote.IP()) }},
		{sourcePorts, func(l *level, c *streaminfo.Connection) *level { return l.number(uint32(c.Remote.Port())) }},
	}
}

// A matcher chooses the filter chain of a connection. It is immutable once built.
type matcher struct {
	criteria []criterion
	root     level
	fallback *chain // nil if there is none
}

// add puts c where match says.
func (m *matcher) add(c *chain, match *listenerv3.FilterChainMatch, path conf.Path, errs *conf.Errors) {
	levels := []*level{&m.root}
	for _, step := range m.criteria {
		values := step.values(match, path, errs)
		if len(values) == 0 {
			values = []value{{}}
		}
		var behind []*level
		for _, l := range levels {
			for _, v := range values {
				if at := l.at(v); !slices.Contains(behind, at) { // a value may be given twice
					behind = append(behind, at)
				}
			}
		}
		levels = behind
	}
	for _, l := range levels {
		if l.chain != nil {
			errs.Add(path, "filter chain '%s' has the same matching rules defined as '%s'", c.name, l.chain.name)
			return
		}
		l.chain = c
	}
}

// find returns the filter chain for a connection, nil if there is none.
func (m *matcher) find(c *streaminfo.Connection) *chain {
	l := &m.root
	for _, step := range m.criteria {
		if l = step.find(l, c); l == nil {
			return m.fallback
		}
	}
	return l.chain
}

func (l *level) at(v value) *level {
	if next := l.next[v]; next != nil {
		return next
	}
	if l.next == nil {
		l.next = map[value]*level{}
	}
	if bits := v.prefix.Bits(); v.prefix.IsValid() && !slices.Contains(l.lengths, bits) {
		l.lengths = append(l.lengths, bits)
		slices.SortFunc(l.lengths, func(a, b int) int { return b - a })
	}
	next := &level{}
	l.next[v] = next
	return next
}

func (l *level) any() *level { return l.next[value{}] }

func (l *level) number(n uint32) *level {
	if next := l.next[value{number: n}]; next != nil {
		return next
	}
	return l.any()
}

func (l *level) text(s string) *level {
	if next := l.next[value{text: s}]; next != nil {
		return next
	}
	return l.any()
}

// ip takes the longest prefix that ip is in. A Unix socket has no IP address.
func (l *level) ip(ip netip.Addr) *level {
	for _, bits := range l.lengths {
		if p, err := ip.Prefix(bits); err == nil {
			if next := l.next[value{prefix: p}]; next != nil {
				return next
			}
		}
	}
	return l.any()
}

// serverName takes the name itself, or else the longest wildcard: for
// www.example.com these are .example.com and .com.
func (l *level) serverName(name string) *level {
	for s := name; s != ""; {
		if next := l.next[value{text: s}]; next != nil {
			return next
		}
		dot := strings.IndexByte(s[1:], '.')
		if dot < 0 {
			break
		}
		s = s[1+dot:]
	}
	return l.any()
}

func (l *level) applicationProtocol(c *streaminfo.Connection) *level {
	for _, p := range c.ApplicationProtocols {
		if next := l.next[value{text: p}]; next != nil {
			return next
		}
	}
	return l.any()
}

func (l *level) sourceType(c *streaminfo.Connection) *level {
	want := listenerv3.FilterChainMatch_EXTERNAL
	if isLocal(c.Remote, c.Local) {
		want = listenerv3.FilterChainMatch_SAME_IP_OR_LOOPBACK
	}
	return l.number(uint32(want))
}

func isLocal(remote, local address.Address) bool {
	return remote.IsUnix() || remote.IP().IsLoopback() || remote.IP().IsValid() && remote.IP() == local.IP()
}

func destinationPorts(m *listenerv3.FilterChainMatch, path conf.Path, errs *conf.Errors) []value {
	if m.GetDestinationPort() == nil {
		return nil
	}
	return ports([]uint32{m.GetDestinationPort().GetValue()}, path.Field("destination_port"), errs)
}

func sourcePorts(m *listenerv3.FilterChainMatch, path conf.Path, errs *conf.Errors) []value {
	return ports(m.GetSourcePorts(), path.Field("source_ports"), errs)
}

func ports(ports []uint32, path conf.Path, errs *conf.Errors) (values []value) {
	for _, p := range ports {
		if p < 1 || p > 65535 {
			errs.Add(path, "must be from 1 to 65535, is %d", p)
		}
		values = append(values, value{number: p})
	}
	return values
}

func prefixRanges(m *listenerv3.FilterChainMatch, path conf.Path, errs *conf.Errors) []value {
	return prefixes(addr.ParseRanges(m.GetPrefixRanges(), path.Field("prefix_ranges"), errs))
}

func directSourceRanges(m *listenerv3.FilterChainMatch, path conf.Path, errs *conf.Errors) []value {
	return prefixes(addr.ParseRanges(m.GetDirectSourcePrefixRanges(), path.Field("direct_source_prefix_ranges"), errs))
}

func sourceRanges(m *listenerv3.FilterChainMatch, path conf.Path, errs *conf.Errors) []value {
	return prefixes(addr.ParseRanges(m.GetSourcePrefixRanges(), path.Field("source_prefix_ranges"), errs))
}

func prefixes(ranges []netip.Prefix) (values []value) {
	for _, p := range ranges {
		values = append(values, value{prefix: p})
	}
	return values
}

func serverNames(m *listenerv3.FilterChainMatch, path conf.Path, errs *conf.Errors) (values []value) {
	for i, name := range m.GetServerNames() {
		name, wildcard := strings.CutPrefix(name, "*.")
		if name == "" || strings.Contains(name, "*") {
			errs.Add(path.Field("server_names").Index(i), "a wildcard is only possible as a first label, as in *.example.com")
		}
		if wildcard {
			name = "." + name
		}
		values = append(values, value{text: name})
	}
	return values
}

func transportProtocols(m *listenerv3.FilterChainMatch, _ conf.Path, _ *conf.Errors) []value {
	return []value{{text: m.GetTransportProtocol()}}
}

func applicationProtocols(m *listenerv3.FilterChainMatch, _ conf.Path, _ *conf.Errors) (values []value) {
	for _, p := range m.GetApplicationProtocols() {
		values = append(values, value{text: p})
	}
	return values
}

func sourceTypes(m *listenerv3.FilterChainMatch, _ conf.Path, _ *conf.Errors) []value {
	return []value{{number: uint32(m.GetSourceType())}}
}
