package h2

import (
	"encoding/binary"
	"slices"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// goAwayError tells the peer of an error of the connection, and returns it.
func (c *connection) goAwayError(code ErrorCode, cause string) *codec.Error {
	c.writer.goAway(c.side.lastStream(), code, cause)
	return failure(cause)
}

// silentError returns an error of the connection that the peer is not told of: as in
// Envoy it gets nothing of what this Dispatch has put out. Where h2spec insists on a
// GOAWAY there is one.
func (c *connection) silentError(cause string) *codec.Error {
	c.silent = true
	return failure(cause)
}

// streamFault is silentError where the RFC knows an error of a stream. The whole
// connection ends, as in Envoy: otherwise a peer could make us reset streams without
// resetting one itself.
func (c *connection) streamFault(s *stream, cause string) *codec.Error {
	c.fault(s, detailUnknown)
	return c.silentError(cause)
}

// fault tells the stream at fault, if there is one, that the connection fails.
func (c *connection) fault(s *stream, detail string) {
	c.dead = true
	if s != nil && s.open && s.decoder != nil {
		s.details = detail
		c.side.onFault(s, detail)
	}
}

// resetInvalid resets a stream whose message is malformed.
func (c *connection) resetInvalid(s *stream, detail string) {
	c.resetStream(s, ProtocolError, httpmsg.ResetProtocolError, detail)
}

// invalidLength resets a stream whose body is not as long as its content-length, in
// Envoy's words.
func (c *connection) invalidLength(s *stream) {
	c.resetInvalid(s, detailRemoteReset)
}

// beginFrame checks a frame by its header, before its payload comes.
func (c *connection) beginFrame() *codec.Error {
	r := &c.reader
	f := &r.frame
	switch {
	case f.length > maxFrame:
		return c.goAwayError(FrameSizeError, "too large frame size")
	case !r.settled && (f.typ != frameSettings || f.flags&flagAck != 0):
		return c.goAwayError(ProtocolError, "SETTINGS expected")
	case r.block.active && (f.typ != frameContinuation || f.stream != r.block.id):
		return c.goAwayError(ProtocolError, "unexpected non-CONTINUATION frame or stream_id is invalid")
	}
	switch f.typ {
	case frameData:
		return c.beginDataFrame()
	case frameHeaders:
		return c.beginHeaders()
	case frameContinuation:
		if !r.block.active {
			return c.goAwayError(ProtocolError, "CONTINUATION: unexpected")
		}
		return c.countBlockFrame(int(f.length))
	case framePushPromise:
		return c.silentError("PUSH_PROMISE: push disabled")
	case framePing:
		if f.stream != 0 {
			return c.goAwayError(ProtocolError, "PING: stream_id != 0")
		}
	case frameSettings, frameGoAway:
		if f.stream != 0 {
			return c.silentError("stream_id != 0")
		}
	case frameRSTStream, framePriority:
		if f.stream == 0 {
			return c.silentError("stream_id == 0")
		}
	case frameMetadata:
		r.stream = nil
		if c.settings.AllowMetadata {
			r.stream = c.find(f.stream)
		}
	}
	return nil
}

func (c *connection) beginDataFrame() *codec.Error {
	r := &c.reader
	f := &r.frame
	r.padded, r.stream = false, nil
	if f.stream == 0 {
		return c.goAwayError(ProtocolError, "DATA: stream_id == 0")
	}
	if !c.receive.take(f.length) {
		return c.goAwayError(FlowControlError, "DATA: connection window exceeded")
	}
	s := c.find(f.stream)
	switch {
	case s == nil:
		return c.checkClosed("DATA")
	case s.remoteEnd:
		err := c.goAwayError(StreamClosed, "DATA: stream in half-closed(remote)")
		c.fault(s, detailCodec)
		return err
	case !s.receive.take(f.length):
		err := c.goAwayError(FlowControlError, "DATA: stream window exceeded")
		c.fault(s, detailUnknown)
		return err
	case !s.headersIn:
		return c.goAwayError(ProtocolError, "DATA: stream not opened")
	}
	r.stream = s
	return nil
}

// checkClosed refuses a frame on a stream that is not open and that the peer must not
// use: one that was never opened, or that it has ended. Others it may not know to be
// gone.
func (c *connection) checkClosed(what string) *codec.Error {
	id := c.reader.frame.stream
	switch {
	case c.side.isIdle(id):
		return c.goAwayError(ProtocolError, what+": stream in idle")
	case c.closed.has(id):
		return c.goAwayError(StreamClosed, what+": stream closed")
	}
	return nil
}

// onFrame handles the payload of a frame. It may keep no part of it.
func (c *connection) onFrame(p []byte) *codec.Error {
	switch c.reader.frame.typ {
	case frameHeaders:
		return c.onHeadersFrame(p)
	case frameContinuation:
		return c.onFragment(p)
	case framePriority:
		return c.onPriority(p)
	case frameRSTStream:
		return c.onRSTStream(p)
	case frameSettings:
		return c.onSettings(p)
	case framePing:
		return c.onPing(p)
	case frameGoAway:
		return c.onGoAway(p)
	case frameWindowUpdate:
		return c.onWindowUpdate(p)
	case frameMetadata:
		return c.onMetadata(p)
	}
	return nil
}

func (c *connection) badSize() *codec.Error {
	err := c.goAwayError(FrameSizeError, "")
	err.Cause = "invalid frame size"
	return err
}

func (c *connection) onPriority(p []byte) *codec.Error {
	if len(p) != 5 {
		return c.badSize()
	}
	if err := c.inbound.priority(c.stats, c.shard); err != nil {
		return err
	}
	return c.checkDependency(p)
}

// checkDependency refuses a stream that depends on itself. Priorities mean nothing
// otherwise.
func (c *connection) checkDependency(p []byte) *codec.Error {
	if binary.BigEndian.Uint32(p)&maxStreamID == c.reader.frame.stream {
		return c.goAwayError(ProtocolError, "depends on itself")
	}
	return nil
}

func (c *connection) onRSTStream(p []byte) *codec.Error {
	if len(p) != 4 {
		return c.badSize()
	}
	id := c.reader.frame.stream
	s := c.find(id)
	if s == nil {
		if c.side.isIdle(id) {
			return c.silentError("RST_STREAM: stream in idle")
		}
		if slices.ContainsFunc(c.retired, func(s *stream) bool { return s.id == id }) {
			c.stats.RxReset.Inc(c.shard) // both sides at once
		}
		c.closed.add(id)
		return c.checkResets()
	}
	c.stats.RxReset.Inc(c.shard)
	if s.decoder != nil { // WINDOW_UPDATE does not count, as in Envoy
		s.decoder.Meter().Received += rstStreamLen
	}
	s.remoteEnd = true // it sends nothing more
	reason := httpmsg.ResetRemoteReset
	s.details = detailRemoteReset
	switch ErrorCode(binary.BigEndian.Uint32(p)) {
	case RefusedStream:
		reason, s.details = httpmsg.ResetRemoteRefusedStream, detailRemoteRefused
	case ConnectError:
		reason = httpmsg.ResetConnectError
	case ProtocolError:
		if !c.server {
			reason = httpmsg.ResetProtocolError
		}
	}
	c.abort(s, reason)
	return c.checkResets()
}

func (c *connection) checkResets() *codec.Error {
	if c.side.allowsReset() {
		return nil
	}
	return c.goAwayError(InternalError, "")
}

func (c *connection) onSettings(p []byte) *codec.Error {
	c.reader.settled = true
	if c.reader.frame.flags&flagAck != 0 {
		if len(p) != 0 {
			return c.badSize()
		}
		c.hpack.SettingsAcked()
		return nil
	}
	if len(p)%6 != 0 {
		return c.badSize()
	}
	if err := c.inbound.settings(); err != nil {
		return err
	}
	for ; len(p) > 0; p = p[6:] {
		if err := c.onSetting(binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])); err != nil {
			return err
		}
	}
	c.writer.frame(frameSettings, flagAck, 0, nil, true)
	c.side.onSettings()
	return nil
}

func (c *connection) onSetting(id uint16, value uint32) *codec.Error {
	switch id {
	case settingHeaderTableSize:
		c.writer.hpack.SetMaxTableSize(min(value, c.settings.HeaderTableSize))
	case settingEnablePush:
		if value > 1 || value == 1 && !c.server {
			return c.silentError("SETTINGS: invalid ENABLE_PUSH")
		}
	case settingMaxConcurrentStreams:
		c.peer.maxStreams = value
	case settingInitialWindowSize:
		return c.setInitialWindow(value)
	case settingMaxFrameSize:
		if value < maxFrame || value > 1<<24-1 {
			return c.silentError("SETTINGS: invalid MAX_FRAME_SIZE")
		}
	case settingEnableConnect:
		if value > 1 || value == 0 && c.peer.connect {
			return c.silentError("SETTINGS: invalid ENABLE_CONNECT_PROTOCOL")
		}
		c.peer.connect = value == 1
	}
	return nil
}

// setInitialWindow changes the windows of all streams by the difference.
func (c *connection) setInitialWindow(value uint32) *codec.Error {
	if value > maxWindow {
		return c.silentError("SETTINGS: invalid INITIAL_WINDOW_SIZE")
	}
	by := int64(value) - c.peer.initialWindow
	c.peer.initialWindow = int64(value)
	for _, s := range c.streams {
		if s.sendWindow += by; s.sendWindow > maxWindow {
			return c.silentError("SETTINGS: stream window overflow")
		}
		if s.sendWindow > 0 && s.send.Len() > 0 {
			c.queue.push(s)
		}
	}
	return nil
}

func (c *connection) onPing(p []byte) *codec.Error {
	if len(p) != 8 {
		return c.badSize()
	}
	if c.reader.frame.flags&flagAck != 0 {
		c.side.onPingAck(binary.BigEndian.Uint64(p))
		return nil
	}
	c.writer.ping(p, true)
	return c.writer.pending.check(c.stats, c.shard)
}

func (c *connection) onGoAway(p []byte) *codec.Error {
	if len(p) < 8 {
		return c.badSize()
	}
	last := binary.BigEndian.Uint32(p) & maxStreamID
	c.side.onGoAway(last, ErrorCode(binary.BigEndian.Uint32(p[4:])))
	return nil
}

func (c *connection) onWindowUpdate(p []byte) *codec.Error {
	if len(p) != 4 {
		return c.badSize()
	}
	if err := c.inbound.windowUpdate(c.stats, c.shard); err != nil {
		return err
	}
	id := c.reader.frame.stream
	increment := int64(binary.BigEndian.Uint32(p) & maxWindow)
	if id == 0 {
		if c.sendWindow += increment; increment == 0 {
			return c.silentError("WINDOW_UPDATE: window_size_increment == 0")
		} else if c.sendWindow > maxWindow {
			return c.goAwayError(FlowControlError, "WINDOW_UPDATE: connection window overflow")
		}
		return nil
	}
	s := c.find(id)
	switch {
	case s == nil && c.side.isIdle(id):
		return c.silentError("WINDOW_UPDATE to idle stream")
	case increment == 0:
		return c.streamFault(s, "WINDOW_UPDATE: window_size_increment == 0")
	case s == nil:
		return nil
	}
	if s.sendWindow += increment; s.sendWindow > maxWindow {
		// The one fault of a frame that the RFC lets end no more than the stream.
		c.resetStream(s, FlowControlError, httpmsg.ResetProtocolError, detailUnknown)
		return nil
	}
	if s.send.Len() > 0 {
		c.queue.push(s)
	}
	return nil
}
