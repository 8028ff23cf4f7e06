package grpcaccesslog

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/grpcclient"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// The fields of StreamAccessLogsMessage.
const (
	identifierField protowire.Number = 1
	httpLogs        protowire.Number = 2
	tcpLogs         protowire.Number = 3
)

const (
	method = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
	// hardLimit bounds what is kept where the configured size does not, in bytes.
	hardLimit = 1 << 20
	// maxKept bounds the room that is kept for the next message.
	maxKept = 64 << 10
	// maxIdle is how long a stream stays open with nothing to say. Loggers are not told
	// when their listener is gone; its streams end this way.
	maxIdle = 10 * time.Minute
)

type loggerStats struct{ written, dropped, flushed, flushFailed *stats.Counter }

func newStats(root stats.Scope) loggerStats {
	s := root.Scope("access_logs.grpc_access_log.")
	return loggerStats{
		written: s.Counter("logs_written"), dropped: s.Counter("logs_dropped"),
		flushed: s.Counter("grpc_entries_flushed"), flushFailed: s.Counter("grpc_entries_flush_failed"),
	}
}

// A logger sends entries to a service. It implements accesslog.Logger.
type logger struct {
	// Set while the logger is built, and read-only after.
	client      grpcclient.Client
	identifier  []byte
	field       protowire.Number // of the entries in a message
	encode      func(*Encoder, *format.Entry)
	headers     HTTPHeaders
	filterState []string
	customTags  []tag
	interval    time.Duration
	size        int // bytes of entries that are sent together, 0: each for itself
	stats       loggerStats

	senders []sender // one per worker, used by it only
}

var _ accesslog.Logger = (*logger)(nil)

// Log implements accesslog.Logger.
func (l *logger) Log(e *format.Entry) {
	switch {
	case len(l.senders) == 0:
		l.stats.dropped.Inc(e.Shard)
	case e.Shard >= 0 && e.Shard < len(l.senders):
		l.senders[e.Shard].log(e)
	default: // not on a worker: one of them takes it
		s, w := &l.senders[0], Encoder{}
		l.encode(&w, e)
		s.d.Post(func() { s.add(w.b) })
	}
}

// A sender is the stream of one worker with what waits for it. It implements
// grpcclient.Receiver.
type sender struct {
	logger *logger
	d      event.Dispatcher
	call   grpcclient.Call // nil for none
	timer  event.Timer     // made with the first entry
	// entries are those that wait, encoded as fields of their list; count is their number.
	entries Encoder
	count   int
	out     Encoder   // room for a message
	sent    time.Time // when the last message was
	// begun says that the stream was told who speaks.
	begun bool
	// failed says that the last stream ended: the next one waits for the timer, so that a
	// service that is down is asked once an interval.
	failed bool
}

var _ grpcclient.Receiver = (*sender)(nil)

// hasRoom reports whether another entry is taken, and counts it either way.
func (s *sender) hasRoom() bool {
	shard, limit := s.d.Shard(), s.logger.limit()
	if len(s.entries.b) >= limit {
		s.flush()
	}
	if len(s.entries.b) >= limit {
		s.logger.stats.dropped.Inc(shard)
		return false
	}
	s.logger.stats.written.Inc(shard)
	return true
}

func (l *logger) limit() int {
	if l.size == 0 {
		return hardLimit
	}
	return l.size
}

func (s *sender) log(e *format.Entry) {
	if s.hasRoom() {
		start := s.entries.Begin(1)
		s.logger.encode(&s.entries, e)
		s.entries.End(start)
		s.added()
	}
}

// add takes an entry that is encoded already.
func (s *sender) add(entry []byte) {
	if s.hasRoom() {
		s.entries.Bytes(1, entry)
		s.added()
	}
}

func (s *sender) added() {
	s.count++
	if len(s.entries.b) >= s.logger.size {
		s.flush()
	}
	if s.timer == nil {
		s.timer = s.d.NewTimer(s.onTimer)
	}
	switch {
	case s.count == 1:
		s.timer.Enable(s.logger.interval)
	case !s.timer.Enabled():
		s.timer.Enable(maxIdle)
	}
}

// onTimer ends the flush interval, or the time that a stream may be idle.
func (s *sender) onTimer() {
	s.failed = false
	s.flush()
	switch idle := s.d.Now().Sub(s.sent); {
	case s.count > 0:
		s.timer.Enable(s.logger.interval)
	case s.call == nil:
	case idle < maxIdle:
		s.timer.Enable(maxIdle - idle)
	default:
		s.call.Cancel()
		s.call = nil
	}
}

// flush sends what waits, if there is a stream that takes it.
func (s *sender) flush() {
	if s.count == 0 || s.failed {
		return
	}
	if !s.ready() {
		s.logger.stats.flushFailed.Add(s.d.Shard(), uint64(s.count))
		return
	}
	s.out.b = s.out.b[:0]
	if !s.begun {
		s.out.Bytes(identifierField, s.logger.identifier)
		s.begun = true
	}
	s.out.Bytes(s.logger.field, s.entries.b)
	s.logger.stats.flushed.Add(s.d.Shard(), uint64(s.count))
	s.entries.b, s.count, s.sent = s.entries.b[:0], 0, s.d.Now()
	s.call.Send(s.out.b, false)
	if cap(s.out.b) > maxKept {
		s.out.b, s.entries.b = nil, nil
	}
}

// ready reports whether there is a stream with room, and begins one if there is none.
func (s *sender) ready() bool {
	if s.call == nil {
		s.begun = false
		call := s.logger.client.Start(s.d, method, grpcclient.Options{}, s)
		if s.failed { // at once
			return false
		}
		s.call = call
	}
	return !s.call.AboveHighWatermark()
}

// OnMessage implements grpcclient.Receiver. The service has nothing to say before the end.
func (s *sender) OnMessage([]byte) {}

// OnSent implements grpcclient.Receiver.
func (s *sender) OnSent() {
	if len(s.entries.b) >= s.logger.size {
		s.flush()
	}
}

// OnStatus implements grpcclient.Receiver.
func (s *sender) OnStatus(int, string) { s.call, s.failed = nil, true }
