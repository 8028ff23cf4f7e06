package httpfilter

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/testkit/connection"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

// Clusters is an upstream.Clusters.
type Clusters map[string]*Cluster

// Get returns the cluster with that name.
func (c Clusters) Get(name string) upstream.Cluster {
	if found := c[name]; found != nil {
		return found
	}
	return nil
}

// Known reports whether there is a cluster with that name.
func (c Clusters) Known(name string) bool { return c[name] != nil }

// A Cluster is an upstream.Cluster whose hosts are the test. It notes each request
// for a stream as an Attempt.
type Cluster struct {
	// Hosts are picked in turn; without any there is no healthy host.
	Hosts []*Host
	// Immediate gives a stream at once, otherwise the test does with Attempt.Ready.
	Immediate bool
	// Attempts are the requests for streams, in order.
	Attempts []*Attempt
	// Connections are the requests for connections, in order.
	Connections []*Connection
	// Filters are the filters of the cluster, nil for none.
	Filters httpfilter.UpstreamFilters
	// Own are the policies that the cluster has instead of the route.
	Own route.Policies

	loop      *loop.Fake
	info      upstream.Info
	stats     upstream.Stats
	resources [2]upstream.Resources
	next      int
	free      []*Attempt
}

var (
	_ upstream.Cluster          = (*Cluster)(nil)
	_ httpfilter.ClusterOptions = (*Cluster)(nil)
)

// NewCluster returns a cluster with one host and statistics below cluster.<name>.
// Each circuit breaker lets max through.
func NewCluster(l *loop.Fake, scope stats.Scope, name string, max int64) *Cluster {
	c := &Cluster{loop: l, info: upstream.Info{Name: name, ObservabilityName: name}}
	c.Hosts = []*Host{NewHost("127.0.0.1:8001", "")}
	scope = scope.Scope("cluster." + name + ".")
	fillStats(&c.stats, scope)
	for _, p := range []upstream.Priority{upstream.Default, upstream.High} {
		r, s := &c.resources[p], scope.Scope("circuit_breakers."+p.String()+".")
		r.Connections.Init(max, s.Gauge("cx_open"), nil)
		r.PendingRequests.Init(max, s.Gauge("rq_pending_open"), nil)
		r.Requests.Init(max, s.Gauge("rq_open"), nil)
		r.Retries.Init(max, s.Gauge("rq_retry_open"), nil)
	}
	return c
}

// fillStats makes the metrics, whose names follow from those of the fields.
func fillStats(s *upstream.Stats, scope stats.Scope) {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		name := snake(v.Type().Field(i).Name)
		switch field := v.Field(i).Addr().Interface().(type) {
		case **stats.Counter:
			*field = scope.Counter(name)
		case **stats.Gauge:
			*field = scope.Gauge(name)
		case *stats.Histogram:
			*field = scope.Histogram(name, stats.Unspecified)
		}
	}
	s.Responses.Init(scope)
	s.RetryResponses.Init(scope.Scope("retry."))
	s.CanaryResponses.Init(scope.Scope("canary."))
	s.ExternalResponses.Init(scope.Scope("external."))
	s.InternalResponses.Init(scope.Scope("internal."))
	s.NamedResponses.Init(scope)
	s.GRPC.Init(scope)
}

func snake(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		upper := c >= 'A' && c <= 'Z'
		if upper && i > 0 && (name[i-1] < 'A' || name[i-1] > 'Z') {
			b.WriteByte('_')
		}
		b.WriteByte(c)
	}
	return strings.ToLower(b.String())
}

// Name implements upstream.Cluster, as do the methods that follow.
func (c *Cluster) Name() string { return c.info.Name }

// Info returns the configuration, which the test may change before the first use.
func (c *Cluster) Info() *upstream.Info { return &c.info }

// Stats returns the statistics.
func (c *Cluster) Stats() *upstream.Stats { return &c.stats }

// Resources returns the circuit breakers.
func (c *Cluster) Resources(p upstream.Priority) *upstream.Resources { return &c.resources[p] }

// HTTPFilters returns Filters.
func (c *Cluster) HTTPFilters() httpfilter.UpstreamFilters { return c.Filters }

// Policies returns Own.
func (c *Cluster) Policies() *route.Policies { return &c.Own }

// Health counts the hosts, all of which are healthy.
func (c *Cluster) Health() (total, healthy, degraded int) { return len(c.Hosts), len(c.Hosts), 0 }

// NewConnection notes a Connection.
func (c *Cluster) NewConnection(_ event.Dispatcher, pick *upstream.Pick, cb upstream.ConnectionPoolCallbacks) upstream.Cancel {
	pick.Host = nil
	host := c.pick(pick)
	if host == nil {
		cb.OnConnectionFailure(upstream.NoHealthyHost, "", nil)
		return nil
	}
	pick.Host = host
	t := &Connection{Fake: connection.New(c.loop), Host: host, callbacks: cb}
	c.Connections = append(c.Connections, t)
	return t
}

// A Connection is a request for a connection to a host, and then the connection.
type Connection struct {
	*connection.Fake
	Host *Host
	// Cancelled says that it was given up before it was there, Given that it was given.
	Cancelled, Given bool

	callbacks upstream.ConnectionPoolCallbacks
}

// Ready gives the connection.
func (t *Connection) Ready() {
	t.Given = true
	t.callbacks.OnConnectionReady(t.Fake, t.Host)
	t.Start()
}

// Fail gives none.
func (t *Connection) Fail(f upstream.PoolFailure, reason string) {
	t.callbacks.OnConnectionFailure(f, reason, t.Host)
}

// Cancel implements upstream.Cancel.
func (t *Connection) Cancel() { t.Cancelled = true }

// NewStream notes an Attempt.
func (c *Cluster) NewStream(_ event.Dispatcher, pick *upstream.Pick, h upstream.ResponseHandler, cb upstream.StreamPoolCallbacks) upstream.Cancel {
	pick.Host = nil
	host := c.pick(pick)
	if host == nil {
		cb.OnStreamFailure(upstream.NoHealthyHost, "", nil)
		return nil
	}
	a := c.newAttempt()
	a.Host, a.Retry, a.handler, a.callbacks = host, pick.Retry != nil, h, cb
	pick.Host = host
	c.Attempts = append(c.Attempts, a)
	if c.Immediate {
		a.Ready()
		return nil
	}
	return a
}

// pick returns the next host that the pick takes.
func (c *Cluster) pick(pick *upstream.Pick) *Host {
	if len(c.Hosts) == 0 {
		return nil
	}
	attempts := 1
	if pick.Retry != nil {
		attempts = pick.Retry.MaxAttempts()
	}
	for ; ; attempts-- {
		host := c.Hosts[c.next%len(c.Hosts)]
		c.next++
		if attempts <= 1 || !pick.Retry.Reject(host) {
			return host
		}
	}
}

func (c *Cluster) newAttempt() *Attempt {
	if n := len(c.free); n > 0 {
		a := c.free[n-1]
		c.free = c.free[:n-1]
		return a
	}
	a := &Attempt{cluster: c}
	a.Body.Init(c.loop.Buffers())
	a.data.Init(c.loop.Buffers())
	return a
}

// Last returns the last attempt, nil if there is none.
func (c *Cluster) Last() *Attempt {
	if len(c.Attempts) == 0 {
		return nil
	}
	return c.Attempts[len(c.Attempts)-1]
}

// Forget empties Attempts and uses the objects again.
func (c *Cluster) Forget() {
	for _, a := range c.Attempts {
		a.reset()
		c.free = append(c.free, a)
	}
	c.Attempts = c.Attempts[:0]
}

// An Attempt is a request for a stream to a host, and then the stream: an
// upstream.RequestStream that notes what is sent, and on which the test answers.
type Attempt struct {
	Host *Host
	// Retry says that the pick was that of a retry with conditions on the host.
	Retry bool
	// Cancelled says that it was given up before it had a stream.
	Cancelled bool
	// Headers, Body and Trailers are what was sent; Ended that this was all.
	HasHeaders bool
	Headers    httpmsg.Headers
	Body       buffer.Buffer
	Trailers   *httpmsg.Headers
	Ended      bool
	// WasReset says that the filter reset the stream.
	WasReset bool
	// Disabled is the depth of ReadDisable.
	Disabled int
	// RefuseHeaders, if not "", makes EncodeHeaders fail. For the test to set.
	RefuseHeaders string

	cluster   *Cluster
	handler   upstream.ResponseHandler
	callbacks upstream.StreamPoolCallbacks
	conn      upstream.StreamConnection
	open      bool
	data      buffer.Buffer
	arena     [256]byte
	// responseEnded says that the response is complete.
	responseEnded bool
}

var _ upstream.RequestStream = (*Attempt)(nil)

func (a *Attempt) reset() {
	a.Body.Drain(a.Body.Len())
	a.data.Drain(a.data.Len())
	a.Headers.Reset()
	a.Host, a.Retry, a.Cancelled, a.HasHeaders, a.Trailers = nil, false, false, false, nil
	a.Ended, a.WasReset, a.Disabled, a.RefuseHeaders = false, false, 0, ""
	a.handler, a.callbacks, a.conn, a.open, a.responseEnded = nil, nil, upstream.StreamConnection{}, false, false
}

// Open reports whether the stream can be used.
func (a *Attempt) Open() bool { return a.open }

// SentText returns what was sent as text.
func (a *Attempt) SentText() string {
	if !a.HasHeaders {
		return ""
	}
	out := text(&a.Headers, httpmsg.Unknown)
	if a.Body.Len() > 0 {
		out += "\n" + a.Body.String() + "\n"
	}
	if a.Trailers != nil {
		out += "trailers:\n" + text(a.Trailers, httpmsg.Unknown)
	}
	if !a.Ended {
		out += "...\n"
	}
	return out
}

// --- what the upstream does -------------------------------------------------------

// Ready gives the stream.
func (a *Attempt) Ready() {
	now := a.cluster.loop.Now()
	a.open = true
	a.conn = upstream.StreamConnection{
		ID: uint64(len(a.cluster.Attempts)), Remote: a.Host.Address(), Version: httpmsg.HTTP11, ConnectStart: now, ConnectEnd: now,
	}
	a.callbacks.OnStreamReady(a, a.Host)
}

// Fail gives none.
func (a *Attempt) Fail(f upstream.PoolFailure, reason string) {
	a.callbacks.OnStreamFailure(f, reason, a.Host)
}

// Overflow gives none because of a limit, before there is a connection.
func (a *Attempt) Overflow(limit string) {
	a.callbacks.OnStreamFailure(upstream.Overflow, limit, nil)
}

// Interim sends a 1xx response.
func (a *Attempt) Interim(fields ...string) {
	set(a.handler.ResponseHeaders(), fields)
	a.handler.OnInterim()
}

// Respond sends response headers, given as names and values in turn.
func (a *Attempt) Respond(end bool, fields ...string) {
	h := a.handler.ResponseHeaders()
	set(h, fields)
	h.SetArena(a.arena[:])
	a.respond(end)
}

// RespondMap sends a copy of h. It does not allocate.
func (a *Attempt) RespondMap(h *httpmsg.Headers, end bool) {
	to := a.handler.ResponseHeaders()
	to.CopyFrom(h)
	to.SetArena(a.arena[:])
	a.respond(end)
}

func (a *Attempt) respond(end bool) {
	a.close(end)
	a.handler.OnHeaders(end)
}

// Send sends a piece of the response's body.
func (a *Attempt) Send(text string, end bool) {
	a.data.AppendString(text)
	a.close(end)
	a.handler.OnData(&a.data, end)
	a.data.Drain(a.data.Len())
}

// SendTrailers ends the response with trailers.
func (a *Attempt) SendTrailers(fields ...string) {
	t := new(httpmsg.Headers)
	set(t, fields)
	a.close(true)
	a.handler.OnTrailers(t)
}

// Break ends the stream early.
func (a *Attempt) Break(reason httpmsg.ResetReason, transportFailure string) {
	a.open = false
	a.handler.OnReset(reason, transportFailure)
}

// High says that too much of the request waits to be sent, Low that it is less.
func (a *Attempt) High() { a.handler.OnWriteBufferHigh() }

// Low undoes one High.
func (a *Attempt) Low() { a.handler.OnWriteBufferLow() }

// Count sets the bytes on the wire.
func (a *Attempt) Count(m streaminfo.Meter) { a.conn.Meter = m }

// close ends the stream when both sides are complete.
func (a *Attempt) close(responseEnd bool) {
	a.responseEnded = a.responseEnded || responseEnd
	if a.responseEnded && a.Ended {
		a.open = false
	}
}

// --- upstream.RequestStream -------------------------------------------------------

// Cancel implements upstream.Cancel.
func (a *Attempt) Cancel() { a.Cancelled = true }

// EncodeHeaders implements upstream.RequestStream, as do the methods that follow.
func (a *Attempt) EncodeHeaders(h *httpmsg.Headers, endStream bool) error {
	a.mustBeOpen()
	if a.RefuseHeaders != "" {
		return errors.New(a.RefuseHeaders)
	}
	a.Headers.CopyFrom(h)
	a.HasHeaders, a.Ended = true, endStream
	return nil
}

// EncodeData adds to Body.
func (a *Attempt) EncodeData(data *buffer.Buffer, endStream bool) {
	a.mustBeOpen()
	a.Body.Move(data)
	a.Ended = endStream
	a.close(false)
}

// EncodeTrailers sets Trailers.
func (a *Attempt) EncodeTrailers(trailers *httpmsg.Headers) {
	a.mustBeOpen()
	a.Trailers, a.Ended = trailers, true
	a.close(false)
}

// Reset closes the stream.
func (a *Attempt) Reset(httpmsg.ResetReason) { a.open, a.WasReset = false, true }

// ReadDisable counts in Disabled.
func (a *Attempt) ReadDisable(disable bool) {
	a.mustBeOpen()
	if disable {
		a.Disabled++
	} else {
		a.Disabled--
	}
}

// Connection describes the connection.
func (a *Attempt) Connection() *upstream.StreamConnection { return &a.conn }

func (a *Attempt) mustBeOpen() {
	if !a.open {
		panic("testkit/httpfilter: use of a stream that is not open")
	}
}

// A Host is an upstream.Host that notes outcomes.
type Host struct {
	IsCanary bool
	Where    streaminfo.Locality
	// Responses are the statuses that were recorded, Failures how many of them failed
	// whatever the status, Timeouts how many timeouts. With Count set the responses are
	// only counted, in Recorded.
	Responses []int
	Failures  int
	Timeouts  int
	Count     bool
	Recorded  int

	addr address.Address
	name string
}

var _ upstream.Host = (*Host)(nil)

// NewHost returns a host with an address and a name, which may be "".
func NewHost(addr, name string) *Host {
	return &Host{addr: address.FromAddrPort(netip.MustParseAddrPort(addr)), name: name}
}

// Address implements upstream.Host, as do the methods that follow.
func (h *Host) Address() address.Address { return h.addr }

// Hostname returns the name.
func (h *Host) Hostname() string { return h.name }

// Canary returns IsCanary.
func (h *Host) Canary() bool { return h.IsCanary }

// Locality returns Where.
func (h *Host) Locality() *streaminfo.Locality { return &h.Where }

// LocalityMetadata returns nil.
func (h *Host) LocalityMetadata() map[string]*structpb.Struct { return nil }

// Priority implements upstream.Host.
func (h *Host) Priority() int { return 0 }

// Metadata returns nil.
func (h *Host) Metadata() map[string]*structpb.Struct { return nil }

// RecordResponse adds to Responses.
func (h *Host) RecordResponse(_ int, status int, failed bool) {
	h.Recorded++
	if failed {
		h.Failures++
	}
	if !h.Count {
		h.Responses = append(h.Responses, status)
	}
}

// RecordTimeout adds to Timeouts.
func (h *Host) RecordTimeout(int) { h.Timeouts++ }
