// Package streaminfo holds what the proxy knows of one stream or connection while
// it passes: addresses, times, sizes, the upstream it went to and how it ended.
// Access logs, formatters, filters and statistics read it.
package streaminfo

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A Stream describes one HTTP request and its response, or one connection of
// another protocol. It belongs to the worker of its connection.
//
// All times are readings of the worker's clock; the zero time means "not yet".
type Stream struct {
	Start time.Time
	// Version is the HTTP version of the request; it is set when HasVersion is.
	Version    httpmsg.Version
	HasVersion bool

	// The message as the downstream sees it. ResponseCode is 0 until a response
	// begins. ResponseDetails says where the response came from, as via_upstream.
	ResponseCode    int
	ResponseDetails string
	Flags           Flags
	// TerminationDetails says why the connection was ended by policy.
	TerminationDetails string

	// Body bytes, without framing.
	BytesReceived, BytesSent uint64
	DownstreamBytes          Meter

	// Times of the downstream side.
	RxHeadersEnd time.Time // the headers of the request are complete
	LastRxByte   time.Time // last byte of the request
	FirstTxByte  time.Time // first byte of the response
	LastTxByte   time.Time // last byte of the response
	End          time.Time // the stream is complete

	Downstream *Connection
	Upstream   Upstream

	RouteName          string
	VirtualHostName    string
	VirtualClusterName string
	// RouteResolutions is the number of times the route was looked up.
	RouteResolutions int
	// RouteResolutionTime is what that took. It is measured when somebody asked for it.
	RouteResolutionTime time.Duration
	// AttemptCount is the number of times the request was sent upstream.
	AttemptCount int
	// Failed are the attempts that brought no response for the client, in order. The
	// slice is not used again for another stream.
	Failed      []Attempt
	HealthCheck bool
	// MatchUpstreamScheme asks for :scheme to say what the connection to the upstream
	// speaks, in place of what the client used.
	MatchUpstreamScheme bool
	// HidesAddresses keeps the addresses of the downstream connection out of PROXY protocol
	// headers to the upstream, unless that connection began with such a header itself.
	HidesAddresses bool
	// RequestID is the value of x-request-id, "" if there is none.
	RequestID string

	// Metadata is dynamic metadata by name space, nil until SetMetadata.
	Metadata map[string]*structpb.Struct
	// TypedMetadata is the same of messages of any type, nil until SetTypedMetadata.
	TypedMetadata map[string]*anypb.Any
	// RouteMetadata and VirtualHostMetadata are those of the configuration of the route
	// that was taken. They are shared: nobody writes to them.
	RouteMetadata, VirtualHostMetadata map[string]*structpb.Struct
	// FilterState holds typed values that filters share, nil until SetFilterState.
	FilterState map[string]any
	// RequestState has the names in FilterState of values that outlive the stream if its
	// request goes through the filters once more.
	RequestState []string
	// SharedState has the names in FilterState of values that go along with connections to
	// internal listeners, true for those that go further from there.
	SharedState map[string]bool
}

// SetMetadata merges fields into the dynamic metadata of a name space.
func (s *Stream) SetMetadata(namespace string, fields *structpb.Struct) {
	if s.Metadata == nil {
		s.Metadata = make(map[string]*structpb.Struct)
	}
	have := s.Metadata[namespace]
	if have == nil {
		have = &structpb.Struct{Fields: make(map[string]*structpb.Value, len(fields.Fields))}
		s.Metadata[namespace] = have
	}
	for k, v := range fields.Fields {
		have.Fields[k] = v
	}
}

// SetTypedMetadata replaces the message in a name space. It is not changed.
func (s *Stream) SetTypedMetadata(namespace string, message *anypb.Any) {
	if s.TypedMetadata == nil {
		s.TypedMetadata = make(map[string]*anypb.Any)
	}
	s.TypedMetadata[namespace] = message
}

// SetFilterState stores a value for other filters of the stream, and for nobody else until
// ShareFilterState.
func (s *Stream) SetFilterState(name string, value any) {
	if s.FilterState == nil {
		s.FilterState = make(map[string]any)
	}
	s.FilterState[name] = value
	delete(s.SharedState, name)
}

// SetRequestState stores a value that a stream has too which is made for the same request
// later, by RecreateStream of filters.
func (s *Stream) SetRequestState(name string, value any) {
	s.SetFilterState(name, value)
	if !slices.Contains(s.RequestState, name) {
		s.RequestState = append(s.RequestState, name)
	}
}

// ShareFilterState makes a value go along with connections to internal listeners, and if it
// is transitive with connections from there to others.
func (s *Stream) ShareFilterState(name string, transitive bool) {
	if s.SharedState == nil {
		s.SharedState = make(map[string]bool)
	}
	s.SharedState[name] = transitive
}

// SetFilterState stores a value with the life of the connection.
func (c *Connection) SetFilterState(name string, value any) {
	if c.FilterState == nil {
		c.FilterState = make(map[string]any)
	}
	c.FilterState[name] = value
	delete(c.SharedState, name)
}

// ShareFilterState is as Stream's.
func (c *Connection) ShareFilterState(name string, transitive bool) {
	if c.SharedState == nil {
		c.SharedState = make(map[string]bool)
	}
	c.SharedState[name] = transitive
}

// A Shared is a value of the filter state that goes along with a connection.
type Shared struct {
	Value      any
	Transitive bool
}

// Fields is implemented by filter state objects that have fields, which
// %FILTER_STATE(key:FIELD:name)% and CEL expressions read.
type Fields interface {
	// Field returns a string or an int64, nil if there is no such field.
	Field(name string) any
}

// A Meter counts bytes on the wire. Of headers it counts the fields, trailers too, and
// not the first line: as in Envoy a field of HTTP/1 that is sent is its line, one that is
// received has a byte less.
type Meter struct {
	Received, Sent             uint64 // all bytes, with framing
	HeaderReceived, HeaderSent uint64
	// The same before compression. Trailers that are received do not count here; every
	// head that is received adds the HeaderReceived it has led to, as in Envoy: after a
	// 1xx response some count again.
	DecompressedHeaderReceived, DecompressedHeaderSent uint64
}

// Add adds the counts of n.
func (m *Meter) Add(n *Meter) {
	m.Received += n.Received
	m.Sent += n.Sent
	m.HeaderReceived += n.HeaderReceived
	m.HeaderSent += n.HeaderSent
	m.DecompressedHeaderReceived += n.DecompressedHeaderReceived
	m.DecompressedHeaderSent += n.DecompressedHeaderSent
}

// An Upstream describes the upstream side of a stream, as of the last attempt.
type Upstream struct {
	Cluster    string // alt_stat_name if set
	ClusterRaw string
	// Host is the address of the chosen host; Hostname its name, if it has one.
	Host     address.Address
	Hostname string
	// Attempted says that the chosen host was to get the request, also if a circuit
	// breaker was against it and there is no Host therefore.
	Attempted bool
	// ClusterMetadata and HostMetadata are those of the configuration. They are shared:
	// nobody writes to them.
	ClusterMetadata, HostMetadata map[string]*structpb.Struct
	// Members counts the hosts of the cluster; nil without one.
	Members Members
	// Locality is where the chosen host runs, nil if there is none; LocalityMetadata are
	// those of the configuration of that place. Nobody writes to them.
	Locality         *Locality
	LocalityMetadata map[string]*structpb.Struct
	// HostsAttempted lists the hosts of all attempts that got a connection, in order,
	// the last one included. HostnamesAttempted and ConnectionIDsAttempted have their
	// names ("" for none) and the connections at the same places.
	HostsAttempted         []address.Address
	HostnamesAttempted     []string
	ConnectionIDsAttempted []uint64

	LocalAddress     address.Address
	ConnectionID     uint64
	Version          httpmsg.Version
	HasVersion       bool
	TLS              *TLS   // nil without TLS
	FailureReason    string // of the transport
	LocalCloseReason string
	CloseType        CloseType
	Bytes            Meter

	ConnectStart, ConnectEnd time.Time // of the connection, also if another stream opened it
	PoolReady                time.Time
	FirstTxByte, LastTxByte  time.Time // of the request
	FirstRxByte, LastRxByte  time.Time // of the response
	FirstBodyByte            time.Time
}

// A Locality is where a host runs.
type Locality struct{ Region, Zone, SubZone string }

// Members is a cluster as far as it can be counted. Any goroutine.
type Members interface {
	// Health counts the hosts: all, and those that get traffic.
	Health() (total, healthy, degraded int)
}

// An Attempt is one try to get a response from upstream, that failed.
type Attempt struct {
	Cluster  string
	Host     address.Address // invalid if none was chosen
	Hostname string
	// ConnectionID is 0 if there was no connection. Reused says that it had carried
	// other requests before.
	ConnectionID uint64
	Reused       bool
	Start, End   time.Time
	// Outcome says in words how it ended; TransportFailure what the system said to it.
	Outcome, TransportFailure string
	// Status is that of a response that was not passed on, 0 without one.
	Status int
	// Next says what was decided then: "retried after 20ms", or why it was not.
	Next string
}

// A CloseType says how a connection ended.
type CloseType uint8

// The close types, as DETECTED_CLOSE_TYPE prints them.
const (
	CloseNormal CloseType = iota
	CloseLocalReset
	CloseRemoteReset
)

// String returns the type as access logs print it.
func (c CloseType) String() string {
	switch c {
	case CloseLocalReset:
		return "LocalReset"
	case CloseRemoteReset:
		return "RemoteReset"
	default:
		return "Normal"
	}
}

// A Connection describes a downstream connection. It is shared by the streams of
// the connection and changes only before the first of them and at its end.
type Connection struct {
	ID uint64
	// Remote and Local are the addresses of client and server: as a listener filter
	// or a trusted header restored them. The Direct ones are the socket's.
	Remote, Local             address.Address
	DirectRemote, DirectLocal address.Address
	// RequestedServerName is the SNI, TransportProtocol what the inspector found,
	// ApplicationProtocols the offered ALPN names.
	RequestedServerName  string
	TransportProtocol    string
	ApplicationProtocols []string
	// Fingerprints are those of the client's TLS, nil where no inspector makes them.
	Fingerprints *Fingerprints
	// TLS describes the session, nil without TLS or before it is agreed on.
	TLS *TLS
	// ProxyProtocol is the header in front of the connection's bytes, nil for none.
	ProxyProtocol   *ProxyProtocol
	FilterChainName string
	// FilterChainMetadata are those of the configuration. They are shared: nobody writes to
	// them.
	FilterChainMetadata map[string]*structpb.Struct
	Listener            *Listener // nil if it came from none
	Accepted            time.Time
	// RTT is the round trip time that the system knew when the connection was accepted:
	// that of the handshake. It is set when HasRTT is: only TCP on Linux has it, and only
	// where a format shows it.
	RTT    time.Duration
	HasRTT bool
	// Version is the HTTP version that the connection speaks; it is set when HasVersion
	// is.
	Version    httpmsg.Version
	HasVersion bool
	// Secure says that the transport authenticates the peer or encrypts.
	Secure bool
	// PeerCertificatePresented says that the client showed a certificate,
	// PeerCertificateValidated that it was checked and is valid.
	PeerCertificatePresented, PeerCertificateValidated bool
	// How it ended.
	CloseType        CloseType
	TransportFailure string
	LocalCloseReason string
	// FilterState holds typed values with the life of the connection; SharedState is as
	// Stream's.
	FilterState map[string]any
	SharedState map[string]bool
	// Source, unless nil, is where upstream connections are made from on behalf of this one.
	// It is not changed.
	Source *Source
}

// A Listener is what connections know of the one that they came from. It is immutable.
type Listener struct {
	Name     string
	Metadata map[string]*structpb.Struct // of the configuration
	// TrafficDirection is 0 for unspecified, 1 inbound, 2 outbound.
	TrafficDirection int32
}

// A Source is where upstream connections are made from.
type Source struct {
	Address address.Address // this host need not have it; port 0 for any
	Mark    uint32          // SO_MARK, 0 for none
}
