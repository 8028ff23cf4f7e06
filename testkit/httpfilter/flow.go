package httpfilter

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A Flow is one message, the request or the response, on its way through the
// filter. The exported members are what came out behind it.
type Flow struct {
	Headers  *httpmsg.Headers // nil until they went on
	Body     buffer.Buffer
	Trailers *httpmsg.Headers // nil until they went on
	Ended    bool
	// Paused counts the pauses of the message's source because too much is held, or
	// because the filter asked for it.
	Paused int

	s            *Stream
	response     bool
	seen         *httpmsg.Headers
	seenTrailers *httpmsg.Headers
	held         buffer.Buffer
	data         buffer.Buffer
	headersHeld  bool
	trailersHeld bool
	stopAll      bool
	streaming    bool // a body over the limit pauses the source
	over         bool
	end          bool // the source has delivered all
	calling      bool // the filter is in a call
	dead         bool // nothing moves any more
}

func (f *Flow) init(s *Stream, response bool) {
	f.s, f.response = s, response
	for _, b := range []*buffer.Buffer{&f.Body, &f.held, &f.data} {
		b.Init(s.Loop.Buffers())
	}
}

func (f *Flow) reset() {
	for _, b := range [...]*buffer.Buffer{&f.Body, &f.held, &f.data} {
		b.Drain(b.Len())
	}
	f.Headers, f.Trailers, f.Ended, f.Paused, f.seen, f.seenTrailers = nil, nil, false, 0, nil, nil
	f.headersHeld, f.trailersHeld, f.stopAll, f.streaming, f.over = false, false, false, false, false
	f.end, f.calling, f.dead = false, false, false
}

// ignored reports whether the filter does not see this direction.
func (f *Flow) ignored() bool {
	if f.response {
		return f.s.encoder == nil
	}
	return f.s.decoder == nil
}

func (f *Flow) stopped() bool { return f.dead || f.s.Destroyed }

func (f *Flow) headers(h *httpmsg.Headers, end bool) {
	f.seen, f.end = h, end
	status := httpfilter.Continue
	if !f.ignored() {
		f.calling = true
		if f.response {
			status = f.s.encoder.EncodeHeaders(h, end)
		} else {
			status = f.s.decoder.DecodeHeaders(h, end)
		}
		f.calling = false
	}
	if f.stopped() {
		return
	}
	added := f.held.Len() > 0
	switch status {
	case httpfilter.Continue:
		f.pass(h, end && !added && f.seenTrailers == nil)
		if added && !f.stopped() {
			f.passData(&f.held, end)
		}
		f.passAddedTrailers(end)
	case httpfilter.ContinueAndDontEndStream:
		f.end = false
		f.pass(h, false)
	default:
		f.headersHeld = true
		f.stopAll = status != httpfilter.StopIteration
		f.streaming = status == httpfilter.StopAllIterationAndWatermark
	}
}

func (f *Flow) text(text string, end bool) {
	if f.stopped() {
		return
	}
	f.end = end
	f.data.AppendString(text)
	if f.stopAll {
		f.hold(&f.data)
		return
	}
	f.callData(&f.data, end)
	f.data.Drain(f.data.Len())
}

func (f *Flow) callData(data *buffer.Buffer, end bool) {
	status := httpfilter.DataContinue
	if !f.ignored() {
		f.calling = true
		if f.response {
			status = f.s.encoder.EncodeData(data, end)
		} else {
			status = f.s.decoder.DecodeData(data, end)
		}
		f.calling = false
	}
	if f.stopped() {
		return
	}
	switch status {
	case httpfilter.DataContinue:
		f.release(data, end)
		f.passAddedTrailers(end)
	case httpfilter.DataStopAndBuffer, httpfilter.DataStopAndWatermark:
		f.streaming = status == httpfilter.DataStopAndWatermark
		f.hold(data)
	}
}

func (f *Flow) trailers(fields []string) {
	if f.stopped() {
		return
	}
	f.end = true
	f.seenTrailers = new(httpmsg.Headers)
	set(f.seenTrailers, fields)
	if f.stopAll {
		f.trailersHeld = true
		return
	}
	f.callTrailers()
}

func (f *Flow) callTrailers() {
	status := httpfilter.TrailersContinue
	if !f.ignored() {
		if f.response {
			status = f.s.encoder.EncodeTrailers(f.seenTrailers)
		} else {
			status = f.s.decoder.DecodeTrailers(f.seenTrailers)
		}
	}
	if f.stopped() {
		return
	}
	if status == httpfilter.TrailersStop {
		f.trailersHeld = true
		return
	}
	f.release(nil, false)
	f.passTrailers(f.seenTrailers)
}

// hold keeps data within the limit.
func (f *Flow) hold(data *buffer.Buffer) {
	f.held.Move(data)
	limit := f.s.DecodeLimit
	if f.response {
		limit = f.s.EncodeLimit
	}
	switch {
	case limit == 0 || f.held.Len() <= limit:
	case f.streaming:
		if !f.over {
			f.over = true
			f.Paused++
		}
	case f.response:
		f.s.SendLocalReply(httpfilter.LocalReply{
			Status: 500, Body: "Internal Server Error", Details: "response_payload_too_large",
		})
	default:
		f.s.SendLocalReply(httpfilter.LocalReply{Status: 413, Body: "Payload Too Large", Details: "request_payload_too_large"})
	}
}

// release lets headers and body go on, with data (which may be nil) behind them.
func (f *Flow) release(data *buffer.Buffer, end bool) {
	if f.headersHeld {
		f.headersHeld = false
		f.pass(f.seen, end && f.seenTrailers == nil && f.held.Len() == 0 && (data == nil || data.Len() == 0))
	}
	if f.stopped() || f.Ended {
		return
	}
	if data != nil {
		f.held.Move(data)
	}
	if f.over {
		f.over = false
		f.Paused--
	}
	if f.held.Len() > 0 || end {
		f.passData(&f.held, end)
	}
}

// resume goes on after a stop.
func (f *Flow) resume() {
	if f.stopped() || !f.headersHeld && !f.stopAll && f.held.Len() == 0 && !f.trailersHeld && !f.end {
		return
	}
	unseen, last := f.stopAll, f.end && f.seenTrailers == nil
	f.stopAll = false
	if unseen && f.held.Len() > 0 {
		// The filter is shown what it has not seen.
		f.headersHeld = false
		f.pass(f.seen, false)
		f.data.Move(&f.held)
		f.callData(&f.data, last)
	} else {
		f.release(nil, last)
	}
	switch {
	case !f.trailersHeld || f.stopped():
	case unseen:
		f.trailersHeld = false
		f.callTrailers()
	default:
		f.trailersHeld = false
		f.passTrailers(f.seenTrailers)
	}
}

func (f *Flow) buffered() *buffer.Buffer {
	if f.held.Len() == 0 {
		return nil
	}
	return &f.held
}

func (f *Flow) add(data *buffer.Buffer) {
	if f.calling || f.headersHeld || f.stopAll || f.held.Len() > 0 {
		f.held.Move(data)
		return
	}
	f.passData(data, false)
}

func (f *Flow) addTrailers() *httpmsg.Headers {
	if f.seenTrailers == nil {
		f.seenTrailers = new(httpmsg.Headers)
	}
	return f.seenTrailers
}

// passAddedTrailers hands on the trailers that the filter added to a message that ended
// without.
func (f *Flow) passAddedTrailers(end bool) {
	if end && f.seenTrailers != nil && !f.stopped() {
		f.passTrailers(f.seenTrailers)
	}
}

// pass, passData and passTrailers are what comes out behind the filter.
func (f *Flow) pass(h *httpmsg.Headers, end bool) {
	f.Headers = h
	if f.response {
		f.s.Info.ResponseCode = h.StatusCode()
	}
	f.finish(end)
}

func (f *Flow) passData(data *buffer.Buffer, end bool) {
	f.Body.Move(data)
	f.finish(end && f.seenTrailers == nil)
}

func (f *Flow) passTrailers(trailers *httpmsg.Headers) {
	f.Trailers = trailers
	f.finish(true)
}

func (f *Flow) finish(end bool) {
	if !end {
		return
	}
	f.Ended = true
	if f.response {
		f.s.end()
	}
}
