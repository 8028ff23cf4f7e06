package tcpproxy

import (
	"strconv"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/filterstate"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// maxIdle bounds the idle timeout that the filter state can ask for, in milliseconds: 35
// years, which can be added to a time.
const maxIdle = 1 << 40

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
	drainDetails       = "tcp_proxy_drain_close"
	remoteCloseDetails = "closing_upstream_tcp_connection_due_to_downstream_remote_close"
	localCloseDetails  = "closing_upstream_tcp_connection_due_to_downstream_local_close"
	resetDetails       = "closing_upstream_tcp_connection_due_to_downstream_reset_close"
)

// A filter joins one downstream connection with its upstream connection. It is the
// downstream connection's read filter and callbacks; peer is the upstream's.
//
// Until the upstream connection is up, reading from the downstream is disabled, unless
// early data is allowed. If it never is, the downstream is reset. Envoy closes with what
// the client sent unread, which is a reset too, unless the client has sent nothing yet.
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
	tunnel     *tunnel // nil: the bytes go to a connection
	up         outlet  // nil: none
	downClosed bool
	flushing   bool // the upstream connection outlives the downstream's, for its output

	early early

	idleTimeout time.Duration // of idle

	// nil: none
	idle, duration, logTimer, backoff event.Timer
}

// An outlet takes what the client sends: a connection, or a tunnel.
type outlet interface {
	Write(data *buffer.Buffer, endStream bool)
	// Close ends it. It is up no more unless it has output to flush.
	Close(t network.CloseType, details string)
	ReadDisable(disable bool)
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
	f.pick.Downstream, f.pick.Stream = f.down.Info(), f.stream
	f.down.AddCallbacks(f)
	f.down.EnableHalfClose(true)
	f.early.data.Init(f.down.Dispatcher().Buffers())
	if !f.config.early.allowed {
		f.down.ReadDisable(true)
	}
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
	if f.early.until = f.waitsFor(); f.early.until == immediately {
		f.start()
	} else {
		f.armIdle()
	}
	return network.StopIteration
}

// start picks the cluster and connects.
func (f *filter) start() {
	c := f.config
	name := f.cb.Upstream().Cluster
	if own, ok := f.state(filterstate.TCPProxyCluster).(filterstate.Text); ok && name == "" {
		name = string(own)
	} else if name == "" {
		name = c.pick(f.down.Dispatcher().Random())
	}
	if f.cluster = c.clusters.Get(name); f.cluster == nil {
		c.stats.noRoute.Inc(f.shard())
		f.fail(streaminfo.NoClusterFound, noCluster)
		return
	}
	upstream.Describe(&f.stream.Upstream, f.cluster)
	f.hash()
	f.addTLVs()
	if direct, _ := f.state(filterstate.TCPProxyDisableTunneling).(filterstate.Bool); c.tunneling != nil && !bool(direct) {
		f.tunnel = &tunnel{filter: f}
		f.pick.HTTP = true
	}
	f.connect()
}

// state returns an object that an earlier filter left, nil for none.
func (f *filter) state(name string) any { return match.FilterStateObject(f.stream, name) }

// connect asks for an upstream connection, or a tunnel, again if that fails at once.
func (f *filter) connect() {
	f.inCall = true
	for again := true; again; again = f.retry {
		f.retry = false
		if f.tunnel != nil {
			f.pending = f.cluster.NewStream(f.down.Dispatcher(), &f.pick, f.tunnel, f.tunnel)
		} else {
			f.pending = f.cluster.NewConnection(f.down.Dispatcher(), &f.pick, &f.peer)
		}
	}
	f.inCall = false
}

// failed says that a pool has no connection, or no stream.
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
	if why != upstream.LocalConnectionFailure {
		f.stream.Flags |= streaminfo.UpstreamConnectionFailure
	}
	f.attemptFailed(reason)
}

// attemptFailed makes another attempt, or gives up.
func (f *filter) attemptFailed(reason string) {
	f.stream.Upstream.FailureReason = reason
	switch {
	case f.attempts >= f.config.maxAttempts:
		f.cluster.Stats().UpstreamCxConnectAttemptsExceeded.Inc(f.shard())
		f.fail(streaminfo.UpstreamConnectAttemptsExceeded, connectFailed)
	case f.config.backoff.base > 0:
		if f.backoff == nil {
			f.backoff = f.down.Dispatcher().NewTimer(f.connect)
		}
		f.backoff.Enable(f.config.backoff.after(f.attempts, f.down.Dispatcher().Random()))
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
		upstream.DescribeHost(u, host)
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
	switch {
	case f.up != nil:
		f.send(data, endStream)
	case f.config.early.allowed:
		f.receiveEarly(data, endStream)
	default: // the data waits with the connection
	}
	return network.StopIteration
}

func (f *filter) send(data *buffer.Buffer, endStream bool) {
	f.stream.Upstream.Bytes.Sent += uint64(data.Len())
	f.active()
	f.up.Write(data, endStream)
	f.endIfDraining()
}

// receive passes what the upstream sent on to the client.
func (f *filter) receive(data *buffer.Buffer, endStream bool) {
	f.stream.Upstream.Bytes.Received += uint64(data.Len())
	f.active()
	f.down.Write(data, endStream)
	f.endIfDraining()
}

// endIfDraining ends the connection, if it is told to heed a drain of its listener.
func (f *filter) endIfDraining() {
	c := f.config
	if c.drain == nil || f.downClosed || !c.drain.DrainClose(f.down.Dispatcher().Random()) {
		return
	}
	c.stats.drainClose.Inc(f.shard())
	f.stream.Upstream.LocalCloseReason = drainDetails // it may be logged before it closes
	f.end(network.FlushWrite, drainDetails)
}

// connected says that up takes what the client sends from now on.
func (f *filter) connected(up outlet) {
	f.up = up
	f.armIdle()
	if f.config.logOnConnected {
		f.log(format.TcpUpstreamConnected)
	}
	if f.down.AboveHighWatermark() {
		up.ReadDisable(true)
	}
	f.sendEarly()
	if !f.config.early.allowed || f.early.full {
		f.down.ReadDisable(false)
	}
}

// disconnected closes the downstream connection after the upstream is gone. The idle
// timeout goes on: it ends a downstream that does not take the rest.
func (f *filter) disconnected(reset bool) {
	if reset {
		f.stream.Flags |= streaminfo.UpstreamRemoteReset
		f.down.Close(network.AbortReset, "")
		return
	}
	f.down.Close(network.FlushWrite, "")
}

// OnEvent implements network.Callbacks for the downstream connection.
func (f *filter) OnEvent(e network.Event) {
	if e == network.Connected {
		if f.early.until == handshake {
			f.early.until = immediately
			f.start()
		}
		return
	}
	f.downClosed = true
	disable(f.duration)
	disable(f.logTimer)
	disable(f.backoff)
	f.early.data.Drain(f.early.data.Len())
	if f.pending != nil {
		f.pending.Cancel()
		f.pending = nil
	}
	if f.tunnel != nil && f.up == nil {
		f.tunnel.giveUp()
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
	case f.peer.ending: // it was closed before
		return
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

// upstreamHigh stops reading from the client: the upstream takes no more.
func (f *filter) upstreamHigh() {
	f.config.stats.pausedReading.Inc(f.shard())
	f.down.ReadDisable(true)
}

func (f *filter) upstreamLow() {
	f.config.stats.resumedReading.Inc(f.shard())
	f.down.ReadDisable(false)
}

// armIdle begins the idle timeout, if there is one.
func (f *filter) armIdle() {
	if f.idle == nil {
		own, ok := f.state(filterstate.TCPProxyIdleTimeout).(filterstate.Uint64)
		if f.idleTimeout = f.config.idleTimeout; ok { // 0 is at once
			f.idleTimeout = time.Duration(min(uint64(own), maxIdle)) * time.Millisecond
		}
		if f.idleTimeout > 0 || ok {
			f.idle = f.down.Dispatcher().NewTimer(f.idleReached)
		}
	}
	f.active()
}

// active begins the idle timeout anew.
func (f *filter) active() {
	if f.idle != nil {
		f.idle.Enable(f.idleTimeout)
	}
}

func (f *filter) idleReached() {
	f.config.stats.idleTimeout.Inc(f.shard())
	f.end(network.NoFlush, idleDetails)
}

func (f *filter) durationReached() {
	f.config.stats.maxDuration.Inc(f.shard())
	f.stream.Flags |= streaminfo.DurationTimeout
	f.end(network.NoFlush, durationDetails)
}

// end closes both connections.
func (f *filter) end(how network.CloseType, details string) {
	if up := f.up; up != nil {
		f.peer.ending = true
		up.Close(how, details)
	}
	f.down.Close(how, details)
}

func (f *filter) logPeriodic() {
	f.log(format.TcpPeriodic)
	f.logTimer.Enable(f.config.logInterval)
}

func (f *filter) log(t format.EntryType) {
	if len(f.config.logs) == 0 {
		return
	}
	if t == format.TcpConnectionEnd {
		f.stream.End = f.down.Dispatcher().Now()
	}
	e := f.entry(t)
	for _, l := range f.config.logs {
		l.Log(e)
	}
}

func (f *filter) entry(t format.EntryType) *format.Entry {
	d := f.down.Dispatcher()
	return &format.Entry{Stream: f.stream, Type: t, Now: d.Now(), Shard: d.Shard(), Random: d.Random()}
}

func disable(t event.Timer) {
	if t != nil {
		t.Disable()
	}
}
