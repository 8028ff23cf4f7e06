// Package upstream is the contract of clusters as filters see them: pick a host,
// get a stream or a connection to it, and know the limits.
package upstream

import (
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
)

// Clusters is the set of clusters of a server. Any goroutine.
type Clusters interface {
	// Get returns the cluster with that name, nil if there is none. What it returns
	// stays usable after the cluster is removed, and then has no hosts.
	Get(name string) Cluster
	// Known reports whether the name is configured: Get may still be nil, while the
	// cluster looks for its hosts.
	Known(name string) bool
}

// A Cluster is a group of hosts that serve the same. Its methods are called on any
// worker; those that take a Dispatcher on that one.
type Cluster interface {
	Name() string
	// Info is immutable.
	Info() *Info
	Stats() *Stats
	// Resources are the circuit breakers of a priority, shared by all workers.
	Resources(p Priority) *Resources
	// NewStream asks for a stream to a host that the load balancer picks. The answer
	// is one call of cb, possibly before NewStream returns. The result cancels a
	// pending request; it is nil when cb was called already.
	NewStream(d event.Dispatcher, pick *Pick, h ResponseHandler, cb StreamPoolCallbacks) Cancel
	// NewConnection asks for a connection of its own to a host that the load balancer
	// picks, for TCP proxying. Otherwise as NewStream.
	NewConnection(d event.Dispatcher, pick *Pick, cb ConnectionPoolCallbacks) Cancel
	streaminfo.Members
}

// Describe says that a request goes to c; what u had of an earlier attempt is gone.
func Describe(u *streaminfo.Upstream, c Cluster) {
	info := c.Info()
	*u = streaminfo.Upstream{
		Cluster: info.ObservabilityName, ClusterRaw: info.Name, ClusterMetadata: info.Metadata, Members: c,
	}
}

// DescribeHost says which host of the cluster was chosen; nil takes it back.
func DescribeHost(u *streaminfo.Upstream, h Host) {
	if h == nil {
		u.Host, u.Hostname, u.HostMetadata, u.Locality, u.LocalityMetadata = address.Address{}, "", nil, nil, nil
		return
	}
	u.Host, u.Hostname, u.HostMetadata = h.Address(), h.Hostname(), h.Metadata()
	u.Locality, u.LocalityMetadata = h.Locality(), h.LocalityMetadata()
}

// A Priority is that of a request, not of a host.
type Priority uint8

// The routing priorities.
const (
	Default Priority = iota
	High
)

// String returns the name used in statistics and configuration.
func (p Priority) String() string {
	if p == High {
		return "high"
	}
	return "default"
}

// Info is the configuration of a cluster that filters read.
type Info struct {
	Name string
	// ObservabilityName is alt_stat_name, or Name.
	ObservabilityName        string
	ConnectTimeout           time.Duration
	PerConnectionBufferLimit int
	AddedViaAPI              bool
	Metadata                 map[string]*structpb.Struct
	// MaxStreamDuration bounds the life of the cluster's streams, 0 for no bound.
	MaxStreamDuration time.Duration
	// PicksByHash says that the load balancer looks at Pick.Hash.
	PicksByHash bool
	// MaxResponseHeadersKB bounds the headers of a response, 0 for the default.
	MaxResponseHeadersKB int
}

// Pick is what a load balancer may look at. The caller keeps it until the
// callback; the zero value asks for any host.
type Pick struct {
	Priority Priority
	// Downstream is nil for requests of the proxy itself.
	Downstream *streaminfo.Connection
	Request    *httpmsg.Headers
	// Stream is what the connection is for: its filter state, and whether it hides addresses.
	// It may be nil.
	Stream *streaminfo.Stream
	// Retry is not nil on retries.
	Retry RetryHosts
	// Hash picks the host of a consistent-hashing balancer when HasHash is set.
	Hash    uint64
	HasHash bool
	// HTTP is false for TCP.
	HTTP bool
	// Transport is what the connection's transport is to do besides its configuration; it
	// may be nil.
	Transport *transport.Options
	// Host is the answer of the load balancer, nil for none: NewStream and NewConnection
	// set it before they ask for a connection.
	Host Host
}

// RetryHosts turns down hosts that earlier attempts failed on.
type RetryHosts interface {
	// Reject reports whether another host should be picked. After MaxAttempts
	// rejections the last host is taken.
	Reject(h Host) bool
	MaxAttempts() int
	// PriorityLoad changes how much of all traffic, in percent, each of the cluster's
	// priorities can take: those before others get as much as they can, and all are
	// scaled up if together they take less than everything. The result has the length of
	// load, may be load itself, and is not changed.
	PriorityLoad(load []uint32) []uint32
}

// A Host is an endpoint of a cluster. It is the same object as long as the
// endpoint exists. Any goroutine.
type Host interface {
	Address() address.Address
	Hostname() string
	Canary() bool
	// Locality is where the host runs, LocalityMetadata what the configuration says of that
	// place. Nobody writes to them.
	Locality() *streaminfo.Locality
	LocalityMetadata() map[string]*structpb.Struct
	// Priority is that of the host in its cluster, 0 for the highest.
	Priority() int
	Metadata() map[string]*structpb.Struct
	// RecordResponse counts the outcome of a request for the host's statistics, with
	// the status that stands for a failure without a response (503, 504). failed says
	// that it is an error whatever the status is: the request was sent again.
	RecordResponse(shard int, status int, failed bool)
	// RecordTimeout counts a request that the host did not answer in time.
	RecordTimeout(shard int)
}

// A Cancel gives up waiting. Called on the worker that asked.
type Cancel interface {
	Cancel()
}

// A PoolFailure says why there is no stream or connection.
type PoolFailure uint8

const (
	// NoHealthyHost: the load balancer found none.
	NoHealthyHost PoolFailure = iota
	// Overflow: a circuit breaker is open.
	Overflow
	// LocalConnectionFailure: the connection could not be made for a local reason.
	LocalConnectionFailure
	// RemoteConnectionFailure: the host refused or reset.
	RemoteConnectionFailure
	// ConnectTimeout: the host did not answer within the connect timeout.
	ConnectTimeout
)

// ResetReason is the reset that stands for a pool that has no stream to give.
func (f PoolFailure) ResetReason() httpmsg.ResetReason {
	switch f {
	case Overflow:
		return httpmsg.ResetOverflow
	case RemoteConnectionFailure:
		return httpmsg.ResetRemoteConnectionFailure
	case ConnectTimeout:
		return httpmsg.ResetConnectionTimeout
	default:
		return httpmsg.ResetLocalConnectionFailure
	}
}

// StreamPoolCallbacks receives the answer to NewStream.
type StreamPoolCallbacks interface {
	// OnStreamReady gives the stream. The request may be sent at once.
	OnStreamReady(s RequestStream, host Host)
	// OnStreamFailure says that there is none. reason is the transport's; host is nil
	// when none was picked. For Overflow, reason names the limit, and host is nil unless
	// it had a connection.
	OnStreamFailure(f PoolFailure, reason string, host Host)
}

// A RequestStream sends one request and is read with the ResponseHandler. It lives
// on the worker that asked for it.
type RequestStream interface {
	// EncodeHeaders sends the headers. An error means that they cannot be sent, and
	// that nothing was.
	EncodeHeaders(h *httpmsg.Headers, endStream bool) error
	// EncodeData sends a piece of the body and empties data.
	EncodeData(data *buffer.Buffer, endStream bool)
	EncodeTrailers(trailers *httpmsg.Headers)
	// Reset ends the stream; the handler gets no further call.
	Reset(reason httpmsg.ResetReason)
	// ReadDisable stops or resumes the response's bytes; calls nest.
	ReadDisable(disable bool)
	// Connection describes the connection that carries the stream, until the stream
	// ends.
	Connection() *StreamConnection
}

// A MetadataStream is a RequestStream of HTTP/2 with allow_metadata.
type MetadataStream interface {
	// EncodeMetadata sends METADATA, between the headers and the end of the request.
	EncodeMetadata(metadata *httpmsg.Headers)
}

// A TunnelStream is a RequestStream of HTTP/1.
type TunnelStream interface {
	// EnableTunnel makes the ends of the connection those of a tunnel. It is called before
	// EncodeHeaders: the end of the request closes the connection when all has left, and the
	// stream is over when the host ends the connection.
	EnableTunnel()
}

// A MetadataHandler is a ResponseHandler that wants METADATA.
type MetadataHandler interface {
	// OnMetadata is called before the end of the response, and may be before OnHeaders.
	// metadata belongs to the handler.
	OnMetadata(metadata *httpmsg.Headers)
}

// StreamConnection describes an upstream connection to its streams.
type StreamConnection struct {
	ID            uint64
	Local, Remote address.Address
	Version       httpmsg.Version
	TLS           *streaminfo.TLS // nil without TLS
	// Reused says that another stream was on the connection before.
	Reused bool
	// ConnectStart and ConnectEnd say when the connection was made, also of a reused one.
	ConnectStart, ConnectEnd time.Time
	// Meter counts the bytes of this stream on the wire.
	Meter streaminfo.Meter
}

// A ResponseHandler receives one response. Called on the worker of the stream.
type ResponseHandler interface {
	// ResponseHeaders returns the empty map that the next headers are put in.
	ResponseHeaders() *httpmsg.Headers
	// OnInterim says that a 1xx response (not 101) is in the map.
	OnInterim()
	OnHeaders(endStream bool)
	// OnData passes a piece of the body; what stays in data is dropped on return.
	OnData(data *buffer.Buffer, endStream bool)
	OnTrailers(trailers *httpmsg.Headers)
	// OnReset says that the stream ended early. Nothing follows.
	OnReset(reason httpmsg.ResetReason, transportFailure string)
	// OnWriteBufferHigh asks to stop sending the request until OnWriteBufferLow.
	OnWriteBufferHigh()
	OnWriteBufferLow()
}
