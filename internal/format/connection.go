package format

import (
	"net/netip"
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// downstream adds the operators on the downstream connection.
func (t table) downstream() {
	t.address("DOWNSTREAM_REMOTE", func(s *streaminfo.Stream) address.Address { return connection(s).Remote })
	t.address("DOWNSTREAM_DIRECT_REMOTE", func(s *streaminfo.Stream) address.Address { return connection(s).DirectRemote })
	local := func(s *streaminfo.Stream) address.Address { return connection(s).Local }
	directLocal := func(s *streaminfo.Stream) address.Address { return connection(s).DirectLocal }
	t.address("DOWNSTREAM_LOCAL", local)
	t.address("DOWNSTREAM_DIRECT_LOCAL", directLocal)
	t.endpointID("DOWNSTREAM_LOCAL", local)
	t.endpointID("DOWNSTREAM_DIRECT_LOCAL", directLocal)
	t.number("CONNECTION_ID", func(e *format.Entry) uint64 { return connection(e.Stream).ID })
	t["DOWNSTREAM_CX_RTT"] = spec{build: func(c *Compiler, _ string) (operator, error) {
		c.wants.rtt.Store(true)
		return roundTripTime, nil
	}}
	t.text("FILTER_CHAIN_NAME", func(s *streaminfo.Stream) string { return connection(s).FilterChainName })
	t.text("TLS_JA3_FINGERPRINT", func(s *streaminfo.Stream) string { return fingerprints(s).JA3 })
	t.text("TLS_JA4_FINGERPRINT", func(s *streaminfo.Stream) string { return fingerprints(s).JA4 })
	t.text("LISTENER_NAME", func(s *streaminfo.Stream) string { return listener(s).Name })
	t.word("DOWNSTREAM_TRANSPORT_FAILURE_REASON", func(s *streaminfo.Stream) string { return connection(s).TransportFailure })
	t.word("DOWNSTREAM_LOCAL_CLOSE_REASON", func(s *streaminfo.Stream) string { return connection(s).LocalCloseReason })
	t.text("DOWNSTREAM_DETECTED_CLOSE_TYPE", func(s *streaminfo.Stream) string { return connection(s).CloseType.String() })
}

// connection returns the downstream connection; a request of the proxy itself has an
// empty one.
func connection(s *streaminfo.Stream) *streaminfo.Connection {
	if s.Downstream == nil {
		return &streaminfo.Connection{}
	}
	return s.Downstream
}

func listener(s *streaminfo.Stream) *streaminfo.Listener {
	if l := connection(s).Listener; l != nil {
		return l
	}
	return &streaminfo.Listener{}
}

// upstream adds the operators on the upstream host and its connection.
func (t table) upstream() {
	t.text("UPSTREAM_CLUSTER", func(s *streaminfo.Stream) string { return s.Upstream.Cluster })
	t.text("UPSTREAM_CLUSTER_RAW", func(s *streaminfo.Stream) string { return s.Upstream.ClusterRaw })
	t.text("UPSTREAM_HOST", func(s *streaminfo.Stream) string { return s.Upstream.Host.String() })
	t.text("UPSTREAM_HOST_NAME", func(s *streaminfo.Stream) string {
		return hostname(s.Upstream.Host, s.Upstream.Hostname)
	})
	t.text("UPSTREAM_HOST_NAME_WITHOUT_PORT", func(s *streaminfo.Stream) string {
		return hostnameWithoutPort(s.Upstream.Host, s.Upstream.Hostname)
	})
	t.add("UPSTREAM_PROTOCOL", func(dst []byte, e *format.Entry) ([]byte, kind) {
		return appendVersion(dst, e.Stream.Upstream.Version, e.Stream.Upstream.HasVersion)
	})
	t.number("UPSTREAM_REQUEST_ATTEMPT_COUNT", func(e *format.Entry) uint64 { return uint64(e.Stream.AttemptCount) })
	t.number("UPSTREAM_CONNECTION_ID", func(e *format.Entry) uint64 { return e.Stream.Upstream.ConnectionID })
	remote := func(s *streaminfo.Stream) address.Address {
		if !s.Upstream.LocalAddress.IsValid() {
			return address.Address{} // there was no connection
		}
		return s.Upstream.Host
	}
	t.address("UPSTREAM_LOCAL", func(s *streaminfo.Stream) address.Address { return s.Upstream.LocalAddress })
	t.address("UPSTREAM_REMOTE", remote)
	t.endpointID("UPSTREAM_REMOTE", remote)
	t.word("UPSTREAM_TRANSPORT_FAILURE_REASON", func(s *streaminfo.Stream) string { return s.Upstream.FailureReason })
	t.word("UPSTREAM_LOCAL_CLOSE_REASON", func(s *streaminfo.Stream) string { return s.Upstream.LocalCloseReason })
	t.text("UPSTREAM_DETECTED_CLOSE_TYPE", func(s *streaminfo.Stream) string {
		if !s.Upstream.Host.IsValid() && !s.Upstream.Attempted {
			return ""
		}
		return s.Upstream.CloseType.String()
	})
	t.attempts("UPSTREAM_HOSTS_ATTEMPTED", func(u *streaminfo.Upstream, i int) string {
		return u.HostsAttempted[i].String()
	})
	t.attempts("UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", func(u *streaminfo.Upstream, i int) string {
		return u.HostsAttempted[i].WithoutPort()
	})
	t.attempts("UPSTREAM_HOST_NAMES_ATTEMPTED", func(u *streaminfo.Upstream, i int) string {
		return hostname(u.HostsAttempted[i], nameAttempted(u, i))
	})
	t.attempts("UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT", func(u *streaminfo.Upstream, i int) string {
		return hostnameWithoutPort(u.HostsAttempted[i], nameAttempted(u, i))
	})
	t.add("UPSTREAM_CONNECTION_IDS_ATTEMPTED", func(dst []byte, e *format.Entry) ([]byte, kind) {
		ids := e.Stream.Upstream.ConnectionIDsAttempted
		if len(ids) == 0 {
			return dst, missing
		}
		for i, id := range ids {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendUint(dst, id, 10)
		}
		return dst, text
	})
}

// attempts adds an operator that lists something of each host that was tried.
func (t table) attempts(name string, of func(u *streaminfo.Upstream, i int) string) {
	t.add(name, func(dst []byte, e *format.Entry) ([]byte, kind) {
		u := &e.Stream.Upstream
		if len(u.HostsAttempted) == 0 {
			return dst, missing
		}
		for i := range u.HostsAttempted {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, of(u, i)...)
		}
		return dst, text
	})
}

func nameAttempted(u *streaminfo.Upstream, i int) string {
	if i >= len(u.HostnamesAttempted) {
		return ""
	}
	return u.HostnamesAttempted[i]
}

// hostname returns a host's name, or its address if it has none.
func hostname(host address.Address, name string) string {
	if name == "" {
		return host.String()
	}
	return name
}

func hostnameWithoutPort(host address.Address, name string) string {
	if name == "" {
		return host.WithoutPort()
	}
	for i := len(name) - 1; i >= 0; i-- {
		switch {
		case name[i] == ':':
			return name[:i]
		case name[i] < '0' || name[i] > '9':
			return name
		}
	}
	return name
}

// address adds <prefix>_ADDRESS, <prefix>_ADDRESS_WITHOUT_PORT(mask) and <prefix>_PORT.
func (t table) address(prefix string, of func(*streaminfo.Stream) address.Address) {
	t.add(prefix+"_ADDRESS", func(dst []byte, e *format.Entry) ([]byte, kind) {
		return appendFound(dst, of(e.Stream).String())
	})
	t.add(prefix+"_PORT", func(dst []byte, e *format.Entry) ([]byte, kind) {
		a := of(e.Stream)
		switch {
		case !a.IsValid():
			return dst, missing
		case !a.IP().IsValid():
			return dst, text
		}
		return strconv.AppendUint(dst, uint64(a.Port()), 10), literal
	})
	t[prefix+"_ADDRESS_WITHOUT_PORT"] = spec{args: optionalArgs, build: func(_ *Compiler, arg string) (operator, error) {
		if bits, err := strconv.Atoi(arg); err == nil { // Envoy takes anything else for no mask
			return maskedAddress(of, bits), nil
		}
		return func(dst []byte, e *format.Entry) ([]byte, kind) { return appendFound(dst, of(e.Stream).WithoutPort()) }, nil
	}}
}

// maskedAddress prints the network with that many bits that the address is in.
func maskedAddress(of func(*streaminfo.Stream) address.Address, bits int) operator {
	return func(dst []byte, e *format.Entry) ([]byte, kind) {
		a := of(e.Stream)
		ip := a.IP()
		if !ip.IsValid() {
			return appendFound(dst, a.WithoutPort())
		}
		if bits < 0 {
			return dst, text
		}
		network, _ := ip.Prefix(min(bits, ip.BitLen()))
		return appendPrefix(dst, network), text
	}
}

func appendPrefix(dst []byte, p netip.Prefix) []byte {
	dst = p.Addr().AppendTo(dst)
	return strconv.AppendInt(append(dst, '/'), int64(p.Bits()), 10)
}

// endpointID adds the endpoint ID of internal addresses. Others have none.
func (t table) endpointID(prefix string, of func(*streaminfo.Stream) address.Address) {
	t.add(prefix+"_ADDRESS_ENDPOINT_ID", func(dst []byte, e *format.Entry) ([]byte, kind) {
		a := of(e.Stream)
		if !a.IsValid() {
			return dst, missing
		}
		return append(dst, a.EndpointID()...), text
	})
}

func roundTripTime(dst []byte, e *format.Entry) ([]byte, kind) {
	c := connection(e.Stream)
	if !c.HasRTT {
		return dst, missing
	}
	return strconv.AppendInt(dst, c.RTT.Milliseconds(), 10), literal
}

func fingerprints(s *streaminfo.Stream) streaminfo.Fingerprints {
	if f := connection(s).Fingerprints; f != nil {
		return *f
	}
	return streaminfo.Fingerprints{}
}
