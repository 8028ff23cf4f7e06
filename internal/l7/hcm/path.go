package hcm

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A path carries one message of a stream, the request or the response, through
// the filters. Both directions follow the same rules; only the calls differ, and
// what waits at the end: nothing for a request (the last filter is terminal), the
// codec for a response.
//
// Headers, body and trailers of a message arrive in this order, and each filter
// sees them in this order. What a filter stops waits in its position: at most its
// headers, a buffered body and the trailers, and it goes on as a whole when the
// filter continues.
type path struct {
	s        *stream
	response bool
	headers  *httpmsg.Headers // nil until they arrived
	trailers *httpmsg.Headers // nil if there are none
	// limit is how many bytes of body one filter may hold, 0 for any number.
	limit int
	// dead is set when nothing may move any more: the stream ended, or a local reply
	// took the place of the message.
	dead bool
	// complete is set when the source has delivered the end of the message.
	complete bool
	// paused counts the reasons for which the source does not read.
	paused int
	// calling is set while a filter is called: what it adds then waits for its answer.
	calling bool
	added   addition
}

// at returns the filter and its position i steps from the source, nil if the
// filter does not look at this direction.
func (p *path) at(i int) (*activeFilter, *position) {
	if p.response {
		f := &p.s.filters[len(p.s.filters)-1-i]
		if f.enc == nil || f.off {
			return nil, nil
		}
		return f, &f.writes
	}
	f := &p.s.filters[i]
	if f.dec == nil || f.off {
		return nil, nil
	}
	return f, &f.reads
}

// receiveHeaders starts the message.
func (p *path) receiveHeaders(h *httpmsg.Headers, end bool) {
	p.headers, p.complete = h, end
	p.passHeaders(0, end)
}

// receiveData takes the next piece of the body from the source.
func (p *path) receiveData(data *buffer.Buffer, end bool) {
	if p.dead {
		data.Drain(data.Len())
		return
	}
	p.complete = p.complete || end
	p.passData(0, data, end)
	data.Drain(data.Len())
}

// receiveTrailers ends the message.
func (p *path) receiveTrailers(t *httpmsg.Headers) {
	if p.dead {
		return
	}
	p.complete, p.trailers = true, t
	p.passTrailers(0)
}

// passHeaders shows the headers to the filters from i on, and behind them what the
// filters added meanwhile.
func (p *path) passHeaders(i int, end bool) {
	var adders []adder
	for ; i < len(p.s.filters); i++ {
		f, pos := p.at(i)
		if f == nil {
			continue
		}
		p.calling = true
		status := p.callHeaders(f, end)
		p.calling = false
		if p.dead {
			return
		}
		if added := p.takeAdded(); added.body != nil || added.trailers != nil {
			adders = append(adders, adder{i, added})
			end = false
		}
		if status == httpfilter.Continue {
			continue
		}
		if status == httpfilter.ContinueAndDontEndStream {
			end = false
			continue
		}
		if status != httpfilter.StopIteration {
			pos.stopAll = true
			pos.streaming = status == httpfilter.StopAllIterationAndWatermark
		}
		pos.headersHeld, pos.headersEnd = true, end
		p.passAdded(adders)
		return
	}
	if p.response {
		p.s.writeHeaders(p.headers, end)
	}
	p.passAdded(adders)
}

// passAdded hands on what filters added while they saw the headers, in order.
func (p *path) passAdded(adders []adder) {
	for k, a := range adders {
		if p.dead {
			return
		}
		last := k == len(adders)-1
		ends := last && p.complete && p.trailers == nil && a.trailers == nil
		if _, pos := p.at(a.by); pos.headersHeld {
			// The filter itself is stopped: what it added waits with the headers.
			if a.body != nil {
				pos.take(p, a.body)
			}
			pos.bodyEnd = ends
			if a.trailers != nil {
				p.trailers, pos.trailersHeld = a.trailers, true
			}
			continue
		}
		if a.body != nil {
			p.passData(a.by+1, a.body, ends)
			a.body.Drain(a.body.Len())
		}
		if a.trailers != nil {
			p.trailers = a.trailers
			p.passTrailers(a.by + 1)
		}
	}
}

// passData shows a piece of the body to the filters from i on. What nobody took
// is dropped by the caller.
func (p *path) passData(i int, data *buffer.Buffer, end bool) {
	trailersFrom := -1
	for ; i < len(p.s.filters); i++ {
		f, pos := p.at(i)
		if f == nil {
			continue
		}
		if pos.stopAll {
			pos.bodyEnd = pos.bodyEnd || end
			p.hold(f, pos, data)
			return
		}
		p.calling = true
		status := p.callData(f, data, end)
		p.calling = false
		if p.dead {
			return
		}
		added := p.takeAdded()
		if added.body != nil {
			data.Move(added.body)
		}
		if added.trailers != nil {
			p.trailers, end = added.trailers, false
			trailersFrom = i + 1
		}
		if status != httpfilter.DataContinue {
			pos.bodyEnd = end
			if status != httpfilter.DataStopNoBuffer {
				pos.streaming = status == httpfilter.DataStopAndWatermark
				p.hold(f, pos, data)
			}
			pos.trailersHeld = trailersFrom == i+1
			break
		}
		if pos.headersHeld {
			pos.headersHeld = false
			p.passHeaders(i+1, false)
			if p.dead {
				return
			}
		}
		if pos.held() != nil {
			// All that was buffered goes on in one piece, in a buffer of its own: the next
			// filter may hold it in turn.
			whole := p.newBuffer()
			whole.Move(pos.body)
			p.drained(pos)
			whole.Move(data)
			p.passData(i+1, whole, end)
			whole.Drain(whole.Len())
			break
		}
	}
	if i == len(p.s.filters) && p.response {
		p.s.writeData(data, end)
	}
	if trailersFrom >= 0 && !p.dead && (i == len(p.s.filters) || i >= trailersFrom) {
		p.passTrailers(trailersFrom)
	}
}

func (p *path) newBuffer() *buffer.Buffer {
	b := new(buffer.Buffer)
	b.Init(p.s.m.d.Buffers())
	return b
}

// passTrailers shows the trailers to the filters from i on.
func (p *path) passTrailers(i int) {
	for ; i < len(p.s.filters) && !p.dead; i++ {
		f, pos := p.at(i)
		if f == nil {
			continue
		}
		if pos.stopAll {
			pos.trailersHeld = true
			return
		}
		p.calling = true
		status := p.callTrailers(f)
		p.calling = false
		if p.dead {
			return
		}
		if added := p.takeAdded(); added.body != nil {
			pos.take(p, added.body)
		}
		if status == httpfilter.TrailersStop {
			pos.trailersHeld = true
			return
		}
		p.flush(i, pos, false)
	}
	if p.response && !p.dead {
		p.s.writeTrailers(p.trailers)
	}
}

// flush hands the headers and the body that wait at filter i to the next one.
func (p *path) flush(i int, pos *position, end bool) {
	if pos.headersHeld {
		pos.headersHeld = false
		p.passHeaders(i+1, end && pos.held() == nil)
		if p.dead || end && pos.held() == nil {
			return
		}
	}
	if pos.held() != nil || end {
		p.passHeld(i+1, pos, end)
	}
}

// passHeld hands the body of a position to filter i and those behind it.
func (p *path) passHeld(i int, pos *position, end bool) {
	whole := p.newBuffer()
	if pos.body != nil {
		whole.Move(pos.body)
	}
	p.drained(pos)
	p.passData(i, whole, end)
	whole.Drain(whole.Len())
}

// resume goes on behind a filter that stopped the message.
func (p *path) resume(i int) {
	f, pos := p.at(i)
	if f == nil || p.dead {
		return
	}
	stopped := pos.headersHeld || pos.stopAll || pos.held() != nil || pos.trailersHeld || pos.bodyEnd
	if !stopped {
		return
	}
	bodyEnd := pos.bodyEnd
	pos.bodyEnd = false
	if pos.stopAll {
		p.resumeAll(i, pos, bodyEnd)
		return
	}
	last := bodyEnd && !pos.trailersHeld
	if pos.headersHeld && pos.headersEnd && !pos.trailersHeld {
		last = true
	}
	p.flush(i, pos, last)
	if pos.trailersHeld && !p.dead {
		pos.trailersHeld = false
		p.passTrailers(i + 1)
	}
}

// resumeAll goes on with a filter that saw nothing but the headers: the body and
// the trailers that waited are shown to itself first.
func (p *path) resumeAll(i int, pos *position, bodyEnd bool) {
	pos.stopAll = false
	bare := pos.headersEnd && !pos.trailersHeld
	if pos.headersHeld {
		pos.headersHeld = false
		p.passHeaders(i+1, bare && pos.held() == nil)
	}
	switch {
	case p.dead:
	case bare && pos.held() != nil:
		// The message has no body but the one that the filter added.
		p.passHeld(i+1, pos, true)
	case pos.held() != nil || bodyEnd:
		p.passHeld(i, pos, bodyEnd)
	}
	if !p.dead && pos.trailersHeld {
		pos.trailersHeld = false
		p.passTrailers(i)
	}
}

// pauseSource stops reading of the message at its source, resumeSource undoes one
// of them.
func (p *path) pauseSource() {
	p.paused++
	if p.paused == 1 {
		p.s.pauseSource(p, true)
	}
}

func (p *path) resumeSource() {
	if p.paused == 0 {
		return
	}
	p.paused--
	if p.paused == 0 {
		p.s.pauseSource(p, false)
	}
}

func (p *path) callHeaders(f *activeFilter, end bool) httpfilter.HeadersStatus {
	if p.response {
		return f.enc.EncodeHeaders(p.headers, end)
	}
	return f.dec.DecodeHeaders(p.headers, end)
}

func (p *path) callData(f *activeFilter, data *buffer.Buffer, end bool) httpfilter.DataStatus {
	if p.response {
		return f.enc.EncodeData(data, end)
	}
	return f.dec.DecodeData(data, end)
}

func (p *path) callTrailers(f *activeFilter) httpfilter.TrailersStatus {
	if p.response {
		return f.enc.EncodeTrailers(p.trailers)
	}
	return f.dec.DecodeTrailers(p.trailers)
}

// kill drops all that waits.
func (p *path) kill() {
	p.dead = true
	for i := range p.s.filters {
		if p.response {
			p.s.filters[i].writes.reset()
		} else {
			p.s.filters[i].reads.reset()
		}
	}
	if p.added.body != nil {
		p.added.body.Drain(p.added.body.Len())
	}
	p.added = addition{}
}
