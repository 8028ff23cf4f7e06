package listener

import (
	"net/netip"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// newMatcher makes a matcher of lines "name: match as text proto".
func newMatcher(t *testing.T, lines string) (*matcher, conf.Errors) {
	t.Helper()
	m := &matcher{criteria: criteria()}
	var errs conf.Errors
	for i, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		name, text, _ := strings.Cut(strings.TrimSpace(line), ":")
		match := &listenerv3.FilterChainMatch{}
		if err := prototext.Unmarshal([]byte(text), match); err != nil {
			t.Fatal(err)
		}
		if name == "default" {
			m.fallback = &chain{name: name}
			continue
		}
		m.add(&chain{name: name}, match, conf.Path{}.Field("filter_chains").Index(i), &errs)
	}
	return m, errs
}

// parseConnection reads "remote>local" and words like sni=, tp=, alpn=, direct=.
func parseConnection(text string) *streaminfo.Connection {
	parse := func(s string) address.Address {
		if strings.HasPrefix(s, "/") {
			return address.Unix(s)
		}
		return address.FromAddrPort(netip.MustParseAddrPort(s))
	}
	words := strings.Fields(text)
	remote, local, _ := strings.Cut(words[0], ">")
	c := &streaminfo.Connection{Remote: parse(remote), Local: parse(local), TransportProtocol: rawBuffer}
	c.DirectRemote = c.Remote
	for _, w := range words[1:] {
		switch key, v, _ := strings.Cut(w, "="); key {
		case "sni":
			c.RequestedServerName = v
		case "tp":
			c.TransportProtocol = v
		case "alpn":
			c.ApplicationProtocols = strings.Split(v, ",")
		case "direct":
			c.DirectRemote = parse(v)
		}
	}
	return c
}

func TestMatch(t *testing.T) {
	type expectation struct{ connection, chain string }
	for name, c := range map[string]struct {
		chains string
		want   []expectation
	}{
		"nothing matches": {`a: destination_port {value: 80}`, []expectation{
			{"1.2.3.4:5>6.7.8.9:80", "a"}, {"1.2.3.4:5>6.7.8.9:81", ""}}},
		"any": {`a:`, []expectation{{"1.2.3.4:5>6.7.8.9:80", "a"}, {"/x>/y", "a"}}},
		"the destination port comes first, and binds": {`
			port: destination_port {value: 80} source_ports: 9
			ip: prefix_ranges {address_prefix: "6.7.8.9" prefix_len {value: 32}}
			default:`, []expectation{
			{"1.2.3.4:9>6.7.8.9:80", "port"}, {"1.2.3.4:8>6.7.8.9:80", "default"}, {"1.2.3.4:8>6.7.8.9:81", "ip"}}},
		"the longest prefix wins, and binds": {`
			wide: prefix_ranges {address_prefix: "10.0.0.0" prefix_len {value: 8}}
			narrow: prefix_ranges {address_prefix: "10.1.0.0" prefix_len {value: 16}} server_names: "a.com"
			six: prefix_ranges {address_prefix: "2001:db8::" prefix_len {value: 32}}
			rest:`, []expectation{
			{"1.2.3.4:5>10.2.0.1:80", "wide"}, {"1.2.3.4:5>10.1.0.1:80", ""}, {"1.2.3.4:5>10.1.0.1:80 sni=a.com", "narrow"},
			{"1.2.3.4:5>[2001:db8::1]:80", "six"}, {"1.2.3.4:5>11.0.0.1:80", "rest"}, {"/x>/y", "rest"}}},
		"server names from the longest wildcard": {`
			exact: server_names: "www.example.com"
			sub: server_names: "*.example.com"
			com: server_names: "*.com"
			none:`, []expectation{
			{"1.2.3.4:5>6.7.8.9:80 sni=www.example.com", "exact"}, {"1.2.3.4:5>6.7.8.9:80 sni=x.example.com", "sub"},
			{"1.2.3.4:5>6.7.8.9:80 sni=a.b.example.com", "sub"}, {"1.2.3.4:5>6.7.8.9:80 sni=example.com", "com"},
			{"1.2.3.4:5>6.7.8.9:80 sni=com", "none"}, {"1.2.3.4:5>6.7.8.9:80", "none"},
			{"1.2.3.4:5>6.7.8.9:80 sni=.", "none"}, {"1.2.3.4:5>6.7.8.9:80 sni=..com", "com"}}},
		"a server name without inspection never matches": {`a: server_names: "a.com"`, []expectation{
			{"1.2.3.4:5>6.7.8.9:80", ""}}},
		"transport protocol": {`
			raw: transport_protocol: "raw_buffer"
			tls: transport_protocol: "tls"
			any:`, []expectation{
			{"1.2.3.4:5>6.7.8.9:80", "raw"}, {"1.2.3.4:5>6.7.8.9:80 tp=tls", "tls"}, {"1.2.3.4:5>6.7.8.9:80 tp=quic", "any"}}},
		"application protocols in the order of the client": {`
			h2: application_protocols: "h2"
			h1: application_protocols: "http/1.1"
			any:`, []expectation{
			{"1.2.3.4:5>6.7.8.9:80 alpn=http/1.1,h2", "h1"}, {"1.2.3.4:5>6.7.8.9:80 alpn=x,h2", "h2"},
			{"1.2.3.4:5>6.7.8.9:80 alpn=x", "any"}}},
		"direct source before source": {`
			direct: direct_source_prefix_ranges {address_prefix: "9.0.0.0" prefix_len {value: 8}}
			source: source_prefix_ranges {address_prefix: "1.0.0.0" prefix_len {value: 8}}`, []expectation{
			{"1.2.3.4:5>6.7.8.9:80 direct=9.9.9.9:1", "direct"}, {"1.2.3.4:5>6.7.8.9:80", "source"}}},
		"source type": {`
			local: source_type: SAME_IP_OR_LOOPBACK
			external: source_type: EXTERNAL`, []expectation{
			{"127.0.0.1:5>6.7.8.9:80", "local"}, {"[::1]:5>6.7.8.9:80", "local"}, {"6.7.8.9:5>6.7.8.9:80", "local"},
			{"/x>/y", "local"}, {"1.2.3.4:5>6.7.8.9:80", "external"}}},
		"source type any": {`
			local: source_type: SAME_IP_OR_LOOPBACK
			any:`, []expectation{{"127.0.0.1:5>6.7.8.9:80", "local"}, {"1.2.3.4:5>6.7.8.9:80", "any"}}},
		"source addresses and ports": {`
			both: source_prefix_ranges {address_prefix: "1.2.0.0" prefix_len {value: 16}} source_ports: [5, 6]
			range: source_prefix_ranges {address_prefix: "1.2.0.0" prefix_len {value: 16}}
			port: source_ports: 5`, []expectation{
			{"1.2.3.4:5>6.7.8.9:80", "both"}, {"1.2.3.4:6>6.7.8.9:80", "both"}, {"1.2.3.4:7>6.7.8.9:80", "range"},
			{"1.3.3.4:5>6.7.8.9:80", "port"}, {"1.3.3.4:6>6.7.8.9:80", ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			m, errs := newMatcher(t, c.chains)
			if errs.Err() != nil {
				t.Fatal(errs)
			}
			for _, w := range c.want {
				got := ""
				if ch := m.find(parseConnection(w.connection)); ch != nil {
					got = ch.name
				}
				if got != w.chain {
					t.Errorf("%s: %q, want %q", w.connection, got, w.chain)
				}
			}
		})
	}
}

func TestMatchErrors(t *testing.T) {
	for _, c := range []struct{ chains, want string }{
		{"a:\nb:", "filter_chains[1]: filter chain 'b' has the same matching rules defined as 'a'"},
		{"a: source_ports: [1, 2]\nb: source_ports: [2, 3]", "filter_chains[1]: filter chain 'b' has the same matching rules defined as 'a'"},
		{"a: source_ports: [1, 1]", ""},
		{"a: source_ports: 70000", "filter_chains[0].source_ports: must be from 1 to 65535, is 70000"},
		{"a: destination_port {value: 0}", "filter_chains[0].destination_port: must be from 1 to 65535, is 0"},
		{`a: server_names: "*w.com"`, "filter_chains[0].server_names[0]: a wildcard is only possible as a first label, as in *.example.com"},
		{`a: server_names: "*"`, "filter_chains[0].server_names[0]: a wildcard is only possible as a first label, as in *.example.com"},
		{`a: prefix_ranges {address_prefix: "x"}`, "filter_chains[0].prefix_ranges[0].address_prefix: malformed IP address: x"},
	} {
		_, errs := newMatcher(t, c.chains)
		got := ""
		if err := errs.Err(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.chains, got, c.want)
		}
	}
}

func TestMatchAllocations(t *testing.T) {
	m, _ := newMatcher(t, `
		a: prefix_ranges {address_prefix: "10.0.0.0" prefix_len {value: 8}} server_names: "*.com" source_ports: 5
		b:`)
	c := parseConnection("1.2.3.4:5>10.0.0.1:80 sni=a.b.com")
	if n := testing.AllocsPerRun(100, func() { m.find(c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
