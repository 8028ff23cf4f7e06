package cel

import (
	"crypto/x509"
	"encoding/pem"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// activation gives an expression its variables. They are looked up when the expression
// asks for them.
type activation struct {
	e *format.Entry
	x *Expression
	// sawResponse says that the expression asked for attributes of the response.
	sawResponse bool
}

// Parent implements interpreter.Activation.
func (a *activation) Parent() interpreter.Activation { return nil }

// ResolveName implements interpreter.Activation.
func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "request":
		return a.attributes(a.request), true
	case "response":
		a.sawResponse = true
		return a.attributes(a.response), true
	case "connection":
		return a.attributes(a.connection), true
	case "upstream":
		return a.attributes(a.upstream), true
	case "source":
		return a.attributes(func(key string) any { return peer(a.downstream().Remote, key) }), true
	case "destination":
		return a.attributes(func(key string) any { return peer(a.downstream().Local, key) }), true
	case "metadata":
		return metadata(a.e.Stream.Metadata), true
	case "filter_state":
		return a.attributes(a.filterState), true
	case "upstream_filter_state": // no filter of this proxy runs on an upstream connection
		return a.attributes(func(string) any { return nil }), a.e.Stream.Upstream.LocalAddress.IsValid()
	case "xds":
		return a.attributes(a.xds), true
	}
	return nil, false
}

func (a *activation) attributes(find func(key string) any) *lazyMap {
	return &lazyMap{find: func(key string) ref.Val {
		value := find(key)
		if value == nil {
			return nil
		}
		return a.x.adapter.NativeToValue(value)
	}}
}

// downstream returns the downstream connection; a request of the proxy itself has an
// empty one.
func (a *activation) downstream() *streaminfo.Connection {
	if c := a.e.Stream.Downstream; c != nil {
		return c
	}
	return &streaminfo.Connection{}
}

// metadata makes a message of metadata, of which nothing is copied.
func metadata(byNamespace map[string]*structpb.Struct) any {
	return &corev3.Metadata{FilterMetadata: byNamespace}
}

// hostMetadata is metadata, with the null that Envoy has for a host without them.
func hostMetadata(byNamespace map[string]*structpb.Struct) any {
	if byNamespace == nil {
		return types.NullValue
	}
	return metadata(byNamespace)
}

// text returns a string, nil if it is missing.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// between returns the time from a to b, nil if one of them did not come.
func between(a, b time.Time) any {
	if a.IsZero() || b.IsZero() {
		return nil
	}
	return b.Sub(a)
}

func peer(a address.Address, key string) any {
	switch key {
	case "address":
		return a.String()
	case "port":
		if a.IP().IsValid() {
			return int64(a.Port())
		}
	}
	return nil
}

func (a *activation) request(key string) any {
	s, h := a.e.Stream, a.e.Request
	switch key {
	case "headers":
		return newHeaderMap(h)
	case "headers_bytes":
		return byteSize(h)
	case "time":
		return s.Start
	case "size":
		return requestSize(s, h)
	case "total_size":
		return int64(s.BytesReceived) + byteSize(h)
	case "duration":
		return between(s.Start, s.End)
	case "protocol":
		if s.HasVersion {
			return s.Version.String()
		}
		return nil
	}
	if h == nil {
		return nil
	}
	switch path, query, _ := strings.Cut(h.Get(httpmsg.Path), "?"); key {
	case "path":
		return header(h, httpmsg.Path)
	case "url_path":
		return path
	case "query":
		query, _, _ = strings.Cut(query, "#")
		return query
	case "host":
		return header(h, httpmsg.Authority)
	case "scheme":
		return header(h, httpmsg.Scheme)
	case "method":
		return header(h, httpmsg.Method)
	case "referer":
		return header(h, httpmsg.Referer)
	case "id":
		return header(h, httpmsg.XRequestID)
	case "useragent":
		return header(h, httpmsg.UserAgent)
	}
	return nil
}

func header(h *httpmsg.Headers, id httpmsg.ID) any {
	if !h.Has(id) {
		return nil
	}
	return h.Get(id)
}

func byteSize(h *httpmsg.Headers) int64 {
	if h == nil {
		return 0
	}
	return int64(h.ByteSize())
}

// requestSize is the length that the request declares, or that of what was received.
func requestSize(s *streaminfo.Stream, h *httpmsg.Headers) any {
	if h == nil || !h.Has(httpmsg.ContentLength) {
		return int64(s.BytesReceived)
	}
	length, err := strconv.ParseInt(h.Get(httpmsg.ContentLength), 10, 64)
	if err != nil {
		return nil
	}
	return length
}

func (a *activation) response(key string) any {
	s := a.e.Stream
	switch key {
	case "code":
		if s.ResponseCode != 0 {
			return int64(s.ResponseCode)
		}
	case "code_details":
		return text(s.ResponseDetails)
	case "flags":
		return flags(s.Flags)
	case "grpc_status":
		if status, ok := a.e.GRPCStatus(); ok {
			return int64(status)
		}
	case "headers":
		return newHeaderMap(a.e.Response)
	case "trailers":
		return newHeaderMap(a.e.Trailers)
	case "headers_bytes":
		return byteSize(a.e.Response)
	case "size":
		return int64(s.BytesSent)
	case "total_size":
		return int64(s.BytesSent) + byteSize(a.e.Response) + byteSize(a.e.Trailers)
	case "backend_latency":
		return between(s.Upstream.FirstTxByte, s.Upstream.LastRxByte)
	}
	return nil
}

// flags returns the flags as Envoy numbers them: from bit 0 in the order of streaminfo,
// which has one flag of two places at both.
func flags(f streaminfo.Flags) int64 {
	bits := int64(f >> 1)
	if f&streaminfo.UpstreamRetryLimitExceeded != 0 {
		bits |= int64(streaminfo.UpstreamConnectAttemptsExceeded >> 1)
	}
	return bits
}

func (a *activation) connection(key string) any {
	c := a.downstream()
	switch key {
	case "mtls":
		return c.TLS.PeerCertificate() != nil
	case "requested_server_name":
		return c.RequestedServerName
	case "id":
		return c.ID
	case "termination_details":
		return text(a.e.Stream.TerminationDetails)
	case "transport_failure_reason":
		return text(c.TransportFailure)
	}
	return session(c.TLS, key)
}

// session returns an attribute of a TLS session or of the certificates of its sides.
// Of several names there is the first.
func session(s *streaminfo.TLS, key string) any {
	if s == nil {
		return nil
	}
	switch key {
	case "tls_version":
		return text(s.Version)
	case "subject_local_certificate":
		return certificate(s.Local(), streaminfo.Subject)
	case "subject_peer_certificate":
		return certificate(s.PeerCertificate(), streaminfo.Subject)
	case "peer_certificate":
		return certificate(s.PeerCertificate(), pemOf)
	case "sha256_peer_certificate_digest":
		return certificate(s.PeerCertificate(), streaminfo.Fingerprint256)
	case "uri_san_local_certificate":
		return first(streaminfo.AltNamesOf(s.Local(), streaminfo.URIName))
	case "uri_san_peer_certificate":
		return first(streaminfo.AltNamesOf(s.PeerCertificate(), streaminfo.URIName))
	case "dns_san_local_certificate":
		return first(streaminfo.AltNamesOf(s.Local(), streaminfo.DNSName))
	case "dns_san_peer_certificate":
		return first(streaminfo.AltNamesOf(s.PeerCertificate(), streaminfo.DNSName))
	}
	return nil
}

func certificate(c *x509.Certificate, get func(*x509.Certificate) string) any {
	if c == nil {
		return nil
	}
	return text(get(c))
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func first(names []string) any {
	if len(names) == 0 {
		return nil
	}
	return text(names[0])
}

func (a *activation) upstream(key string) any {
	s := a.e.Stream
	u := &s.Upstream
	switch key {
	case "request_attempt_count":
		return uint64(s.AttemptCount)
	case "num_endpoints":
		if u.Members == nil {
			return nil
		}
		total, _, _ := u.Members.Health()
		return uint64(total)
	}
	if !u.Host.IsValid() {
		return nil
	}
	switch key {
	case "address", "port":
		return peer(u.Host, key)
	case "local_address":
		return text(u.LocalAddress.String())
	case "transport_failure_reason":
		return u.FailureReason
	case "cx_pool_ready_duration":
		return between(s.Start, u.PoolReady)
	case "locality":
		l := u.Locality
		return &corev3.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.SubZone}
	}
	return session(u.TLS, key)
}

func (a *activation) filterState(key string) any {
	object := a.e.Stream.FilterState[key]
	if object == nil {
		object = a.downstream().FilterState[key]
	}
	switch o := object.(type) {
	case streaminfo.Fields:
		return a.attributes(o.Field)
	case string:
		return types.Bytes(o)
	case interface{ String() string }:
		return types.Bytes(o.String())
	}
	return nil
}

func (a *activation) xds(key string) any {
	s := a.e.Stream
	u, listener := &s.Upstream, a.downstream().Listener
	hasHost := s.VirtualHostName != ""
	hasRoute := hasHost && s.Flags&streaminfo.NoRouteFound == 0
	switch {
	case key == "node" && a.x.node != nil:
		return a.x.node
	case key == "cluster_name":
		return text(u.ClusterRaw)
	case key == "cluster_metadata" && u.ClusterRaw != "":
		return metadata(u.ClusterMetadata)
	case key == "route_name" && hasRoute:
		return s.RouteName
	case key == "route_metadata" && hasRoute:
		return metadata(s.RouteMetadata)
	case key == "virtual_host_name":
		return text(s.VirtualHostName)
	case key == "virtual_host_metadata" && hasHost:
		return metadata(s.VirtualHostMetadata)
	case key == "upstream_host_metadata" && u.Host.IsValid():
		return hostMetadata(u.HostMetadata)
	case key == "upstream_host_locality_metadata" && u.Host.IsValid():
		return hostMetadata(u.LocalityMetadata)
	case key == "listener_direction" && listener != nil:
		return int64(listener.TrafficDirection)
	case key == "filter_chain_name":
		return a.downstream().FilterChainName
	case key == "listener_metadata" && listener != nil:
		return metadata(listener.Metadata)
	}
	return nil
}
