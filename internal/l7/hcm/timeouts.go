package hcm

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// armTimers starts the timers of a new stream. They are made when they are first
// needed, and recycled with the stream.
func (s *stream) armTimers() {
	s.setIdleTimeout(s.cfg.streamIdleTimeout)
	s.flushTimeout = s.cfg.streamFlushTimeout
	if t := s.cfg.requestTimeout; t > 0 {
		s.requestTimer = s.arm(s.requestTimer, s.onRequestTimeout, t)
		s.requestArmed = true
	}
	if t := s.cfg.requestHeadersTimeout; t > 0 {
		s.headersTimer = s.arm(s.headersTimer, s.onHeadersTimeout, t)
	}
	if t := s.cfg.maxStreamDuration; t > 0 {
		s.armMaxDuration(t)
	}
	if t := s.cfg.flushLogs.interval; t > 0 {
		s.logTimer = s.arm(s.logTimer, s.logPeriodically, t)
	}
}

func (s *stream) arm(t event.Timer, f func(), d time.Duration) event.Timer {
	if t == nil {
		t = s.m.d.NewTimer(f)
	}
	t.Enable(d)
	return t
}

func (s *stream) armMaxDuration(d time.Duration) {
	if d <= 0 {
		if s.durationArmed {
			s.maxDurationTimer.Disable()
			s.durationArmed = false
		}
		return
	}
	s.maxDurationTimer = s.arm(s.maxDurationTimer, s.onMaxDuration, d)
	s.durationArmed = true
}

func (s *stream) setIdleTimeout(d time.Duration) {
	s.idleTimeout = d
	if d > 0 {
		s.idleTimer.Enable(d)
		s.idleArmed = true
	} else if s.idleArmed {
		s.idleTimer.Disable()
		s.idleArmed = false
	}
}

// touch puts the idle timeout off: something happened on the stream.
func (s *stream) touch() {
	if s.idleArmed {
		s.idleTimer.Enable(s.idleTimeout)
	}
}

func (s *stream) disarmHeaders() {
	if s.headersTimer != nil {
		s.headersTimer.Disable()
	}
}

func (s *stream) disarmTimers() {
	if s.idleArmed {
		s.idleTimer.Disable()
	}
	if s.requestArmed {
		s.requestTimer.Disable()
	}
	if s.durationArmed {
		s.maxDurationTimer.Disable()
	}
	if s.logTimer != nil {
		s.logTimer.Disable()
	}
	s.disarmHeaders()
}

func (s *stream) onIdleTimeout() {
	if s.unsent {
		s.onFlushTimeout()
		return
	}
	s.m.cfg.stats.rqIdleTimeout.Inc(s.m.shard)
	s.info.Flags |= streaminfo.StreamIdleTimeout
	status := 408
	if s.request.Complete {
		// The client has done its part: the other side is late.
		status = 504
	}
	s.timeOut(httpfilter.LocalReply{Status: status, Body: "stream timeout", Details: "stream_idle_timeout"})
}

func (s *stream) onRequestTimeout() {
	s.m.cfg.stats.rqTimeout.Inc(s.m.shard)
	s.timeOut(httpfilter.LocalReply{Status: 408, Body: "request timeout", Details: "request_overall_timeout"})
}

func (s *stream) onHeadersTimeout() {
	s.m.cfg.stats.rqHeaderTimeout.Inc(s.m.shard)
	s.timeOut(httpfilter.LocalReply{Status: 408, Body: "request header timeout", Details: "request_header_timeout"})
}

func (s *stream) onMaxDuration() {
	const grpcDeadlineExceeded = 4
	s.m.cfg.stats.rqMaxDurationReached.Inc(s.m.shard)
	s.timeOut(httpfilter.LocalReply{
		Status: s.timeoutStatus(), GRPCStatus: grpcDeadlineExceeded, HasGRPCStatus: true,
		Body: "downstream duration timeout", Details: "max_duration_timeout",
	})
}

// timeoutStatus is 408 when the request is late, 504 when the response is.
func (s *stream) timeoutStatus() int {
	if s.request.Complete {
		return 504
	}
	return 408
}

// timeOut answers, or ends a stream whose response has begun.
func (s *stream) timeOut(reply httpfilter.LocalReply) {
	if !s.headersDone {
		// There are no headers to keep the connection for.
		s.m.endKeepAlive()
	}
	s.sendLocalReply(reply)
}
