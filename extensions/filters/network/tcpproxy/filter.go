package tcpproxy

import (
	"strconv"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// A failure is why there is no upstream connection; the close reason shows its
// number, as Envoy's does.
type failure int

const (
	connectFailed failure = iota
	noHealthyUpstream
	resourceLimitExceeded
	noCluster
)

// Close reasons, for access logs.
const (
	failureDetails     = "tcp_initializion_failure:" // sic
	idleDetails        = "tcp_session_idle_timeout"
	durationDetails    = "max_connection_duration_reached"
	remoteCloseDetails = "closing_upstream_tcp_connection_due_to_downstream_remote_close"
	localCloseDetails  = "closing_upstream_tcp_connection_due_to_downstream_local_close"
	resetDetails       = "closing_upstream_tcp_connection_due_to_downstream_reset_close"
)

// A filter joins one downstream connection with its upstream connection. It is the
// downstream connection's read filter and callbacks; peer is the upstream's.
//
// Until the upstream connection is up, reading from the downstream is disabled. If
// it never is, the downstream is reset. Envoy closes with what the client sent
// unread, which is a reset too, unless the client has sent nothing yet.
type filter struct {
	config *config
	cb     network.ReadCallbacks
	down   network.Connection
	stream *streaminfo.Stream

	cluster  upstream.Cluster
	pick     upstream.Pick
	pending  upstream.Cancel // nil: no connection is on its way
	attempts int
	inCall   bool // NewConnection is being called
	retry    bool // it failed meanwhile

	peer       peer
	up         network.ClientConnection // nil: none
	downClosed bool
	flushing   bool // the upstream connection outlives the downstream's, for its output

	// nil: none
	idle, duration, logTimer event.Timer
}

func newFilter(c *config) *filter {
	f := &filter{config: c}
	f.peer.filter = f
	return f
}

// InitializeRead implements network.ReadFilter.
func (f *filter) InitializeRead(cb network.ReadCallbacks) {
	f.cb, f.down = cb, cb.Connection()
	f.stream = f.down.Stream()
	f.pick.Downstream = f.down.Info()
	f.down.AddCallbacks(f)
	f.down.EnableHalfClose(true)
	f.down.ReadDisable(true)
	f.down.SetStats(&f.config.stats.bytes)
	f.config.stats.total.Inc(f.shard())
}

func (f *filter) shard() int { return f.down.Dispatcher().Shard() }

// OnNewConnection implements network.ReadFilter.
func (f *filter) OnNewConnection() network.FilterStatus {
	c, d := f.config, f.down.Dispatcher()
	if c.maxDuration > 0 {
		f.duration = d.NewTimer(f.durationReached)
		jitter := c.jitter * float64(d.Random()>>11) / (1 << 53)
		f.duration.Enable(c.maxDuration + time.Duration(jitter*float64(c.maxDuration)))
	}
	if c.logOnStart {
		f.log(format.TcpConnectionStart)
	}
	if c.logInterval > 0 {
		f.logTimer = d.NewTimer(f.logPeriodic)
		f.logTimer.Enable(c.logInterval)
	}
	name := f.cb.Upstream().Cluster
	if name == "" {
		name = c.pick(d.Random())
	}
	if f.cluster = c.clusters.Get(name); f.cluster == nil {
		c.stats.noRoute.Inc(f.shard())
		f.fail(streaminfo.NoClusterFound, noCluster)
		return network.StopIteration
	}
	f.stream.Upstream.Cluster, f.stream.Upstream.ClusterRaw = f.cluster.Info().ObservabilityName, f.cluster.Info().Name
	f.hash()
	f.connect()
	return network.StopIteration
}

// connect asks for an upstream connection, again if that fails at once.
func (f *filter) connect() {
	f.inCall = true
	for again := true; again; again = f.retry {
		f.retry = false
		f.pending = f.cluster.NewConnection(f.down.Dispatcher(), &f.pick, &f.peer)
	}
	f.inCall = false
}

// failed ends an attempt to connect.
func (f *filter) failed(why upstream.PoolFailure, reason string, host upstream.Host) {
	f.pending = nil
	switch why {
	case upstream.NoHealthyHost:
		f.fail(streaminfo.NoHealthyUpstream, noHealthyUpstream)
		return
	case upstream.Overflow:
		f.fail(streaminfo.UpstreamOverflow, resourceLimitExceeded)
		return
	}
	f.attempted(host)
	f.stream.Upstream.FailureReason = reason
	if why != upstream.LocalConnectionFailure {
		f.stream.Flags |= streaminfo.UpstreamConnectionFailure
	}
	switch {
	case f.attempts >= f.config.maxAttempts:
		f.cluster.Stats().UpstreamCxConnectAttemptsExceeded.Inc(f.shard())
		f.fail(streaminfo.UpstreamConnectAttemptsExceeded, connectFailed)
	case f.inCall:
		f.retry = true
	default:
		f.connect()
	}
}

// attempted notes the host of an attempt.
func (f *filter) attempted(host upstream.Host) {
	f.attempts++
	f.stream.AttemptCount = f.attempts
	if host != nil {
		u := &f.stream.Upstream
		u.Host, u.Hostname = host.Address(), host.Hostname()
		u.HostsAttempted = append(u.HostsAttempted, u.Host)
	}
}

// fail closes the downstream connection: there is no upstream.
func (f *filter) fail(flag streaminfo.Flags, why failure) {
	f.stream.Flags |= flag
	f.down.Close(network.NoFlush, failureDetails+strconv.Itoa(int(why)))
}

// OnData implements network.ReadFilter.
func (f *filter) OnData(data *buffer.Buffer, endStream bool) network.FilterStatus {
	if f.up == nil { // the data waits with the connection
		return network.StopIteration
	}
	f.stream.Upstream.Bytes.Sent += uint64(data.Len())
	f.active()
	f.up.Write(data, endStream)
	return network.StopIteration
}

// OnEvent implements network.Callbacks for the downstream connection.
func (f *filter) OnEvent(e network.Event) {
	if e == network.Connected {
		return
	}
	f.downClosed = true
	disable(f.duration)
	disable(f.logTimer)
	if f.pending != nil {
		f.pending.Cancel()
		f.pending = nil
	}
	if f.up != nil {
		f.closeUp(e)
	}
	if f.up == nil {
		disable(f.idle)
	}
	f.log(format.TcpConnectionEnd)
}

// closeUp closes the upstream connection after the downstream's, whose output may
// still have to leave.
func (f *filter) closeUp(e network.Event) {
	switch {
	case f.down.Info().CloseType == streaminfo.CloseRemoteReset:
		f.up.Close(network.AbortReset, resetDetails)
	case e == network.RemoteClose:
		f.up.Close(network.FlushWrite, remoteCloseDetails)
	default:
		f.up.Close(network.NoFlush, localCloseDetails)
	}
	if f.up != nil {
		f.flushing = true
		f.config.stats.upstreamFlush.Inc(f.shard())
		f.config.stats.flushActive.Inc(f.shard())
	}
}

// OnWriteBufferHigh implements network.Callbacks for the downstream connection.
func (f *filter) OnWriteBufferHigh() {
	if f.up != nil {
		f.cluster.Stats().UpstreamFlowControlPausedReadingTotal.Inc(f.shard())
		f.up.ReadDisable(true)
	}
}

// OnWriteBufferLow implements network.Callbacks for the downstream connection.
func (f *filter) OnWriteBufferLow() {
	if f.up != nil {
		f.cluster.Stats().UpstreamFlowControlResumedReadingTotal.Inc(f.shard())
		f.up.ReadDisable(false)
	}
}

// active begins the idle timeout anew.
func (f *filter) active() {
	if f.idle != nil {
		f.idle.Enable(f.config.idleTimeout)
	}
}

func (f *filter) idleReached() {
	f.config.stats.idleTimeout.Inc(f.shard())
	f.end(idleDetails)
}

func (f *filter) durationReached() {
	f.config.stats.maxDuration.Inc(f.shard())
	f.stream.Flags |= streaminfo.DurationTimeout
	f.end(durationDetails)
}

// end closes both connections.
func (f *filter) end(details string) {
	if up := f.up; up != nil {
		f.peer.ending = true
		up.Close(network.NoFlush, details)
	}
	f.down.Close(network.NoFlush, details)
}

func (f *filter) logPeriodic() {
	f.log(format.TcpPeriodic)
	f.logTimer.Enable(f.config.logInterval)
}

func (f *filter) log(t format.EntryType) {
	if len(f.config.logs) == 0 {
		return
	}
	d := f.down.Dispatcher()
	if t == format.TcpConnectionEnd {
		f.stream.End = d.Now()
	}
	e := format.Entry{Stream: f.stream, Type: t, Now: d.Now(), Shard: d.Shard(), Random: d.Random()}
	for _, l := range f.config.logs {
		l.Log(&e)
	}
}

func disable(t event.Timer) {
	if t != nil {
		t.Disable()
	}
}
