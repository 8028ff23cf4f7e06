// Package filterchain takes the messages of a stream through its HTTP filters: what a
// filter stops waits, what it adds goes on. It serves the connection manager, and the
// filters between a router and its hosts.
package filterchain

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// An Owner is the stream that a path belongs to.
type Owner interface {
	Buffers() *buffer.Pool
	// Filters is how many filters there are, Filter returns one of them, in the order of
	// the configuration.
	Filters() int
	Filter(i int) *Filter
	// PassedHeaders, PassedData and PassedTrailers take what has passed all filters. What
	// is left in data is dropped.
	PassedHeaders(p *Path, end bool)
	PassedData(p *Path, data *buffer.Buffer, end bool)
	PassedTrailers(p *Path)
	// PauseSource stops (true) or resumes the source of the message.
	PauseSource(p *Path, pause bool)
	// BodyTooLarge is called when a body that must be buffered is over the limit.
	BodyTooLarge(p *Path)
}

// Off reports whether the most specific configuration of the route turns the filter of
// that name off, or on.
func Off(r *route.Route, name string, byDefault bool) bool {
	if r == nil {
		return byDefault
	}
	for i := range r.FilterConfigs {
		if c := &r.FilterConfigs[i]; c.Filter == name {
			return c.Disabled
		}
	}
	return byDefault
}

// RequestTooLarge is the answer to a request whose body cannot be buffered. As in Envoy,
// which sees the end of a body behind its last byte, the request is not complete then.
func RequestTooLarge() httpfilter.LocalReply {
	return httpfilter.LocalReply{
		Status: 413, Body: "Payload Too Large", Details: "request_payload_too_large", CutsRequest: true,
	}
}

// A Filter is one filter of a stream, with what it stopped in either direction.
type Filter struct {
	Dec httpfilter.DecoderFilter // nil if the filter does not decode
	Enc httpfilter.EncoderFilter // nil if the filter does not encode
	// Off is set for a stream that the filter does not serve.
	Off    bool
	reads  position // on the request path
	writes position // on the response path
}

// HeldRequest and HeldResponse return the body that waits at the filter, nil if there
// is none.
func (f *Filter) HeldRequest() *buffer.Buffer { return f.reads.held() }

// HeldResponse is HeldRequest for the response.
func (f *Filter) HeldResponse() *buffer.Buffer { return f.writes.held() }

// Reset drops what the filter stopped, and switches it on.
func (f *Filter) Reset() {
	f.reads.reset()
	f.writes.reset()
	f.Off = false
}

// A Path carries one message of a stream, the request or the response, through
// the filters. Both directions follow the same rules; only the calls differ, and
// what waits at the end.
//
// Headers, body and trailers of a message arrive in this order, and each filter
// sees them in this order. What a filter stops waits in its position: at most its
// headers, a buffered body and the trailers, and it goes on as a whole when the
// filter continues.
type Path struct {
	owner Owner
	// Response is set for that direction, whose filters are asked in reverse order.
	Response bool
	Headers  *httpmsg.Headers // nil until they arrived
	Trailers *httpmsg.Headers // nil if there are none
	// Limit is how many bytes of body one filter may hold, 0 for any number.
	Limit int
	// Dead is set when nothing may move any more: the stream ended, or a local reply
	// took the place of the message.
	Dead bool
	// Complete is set when the source has delivered the end of the message.
	Complete bool
	// Paused counts the reasons for which the source does not read.
	Paused int
	// calling is set while a filter is called: what it adds then waits for its answer.
	calling bool
	added   addition
}

// Init sets what the zero Path lacks.
func (p *Path) Init(owner Owner, response bool) { p.owner, p.Response = owner, response }

// at returns the filter and its position i steps from the source, nil if the
// filter does not look at this direction.
func (p *Path) at(i int) (*Filter, *position) {
	if p.Response {
		f := p.owner.Filter(p.owner.Filters() - 1 - i)
		if f.Enc == nil || f.Off {
			return nil, nil
		}
		return f, &f.writes
	}
	f := p.owner.Filter(i)
	if f.Dec == nil || f.Off {
		return nil, nil
	}
	return f, &f.reads
}

// ReceiveHeaders starts the message.
func (p *Path) ReceiveHeaders(h *httpmsg.Headers, end bool) {
	p.Headers, p.Complete = h, end
	p.passHeaders(0, end)
}

// ReceiveData takes the next piece of the body from the source.
func (p *Path) ReceiveData(data *buffer.Buffer, end bool) {
	if p.Dead {
		data.Drain(data.Len())
		return
	}
	p.Complete = p.Complete || end
	p.passData(0, data, end)
	data.Drain(data.Len())
}

// ReceiveTrailers ends the message.
func (p *Path) ReceiveTrailers(t *httpmsg.Headers) {
	if p.Dead {
		return
	}
	p.Complete, p.Trailers = true, t
	p.passTrailers(0)
}

// passHeaders shows the headers to the filters from i on, and behind them what the
// filters added meanwhile.
func (p *Path) passHeaders(i int, end bool) {
	var adders []adder
	for ; i < p.owner.Filters(); i++ {
		f, pos := p.at(i)
		if f == nil {
			continue
		}
		p.calling = true
		status := p.callHeaders(f, end)
		p.calling = false
		if p.Dead {
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
	p.owner.PassedHeaders(p, end)
	p.passAdded(adders)
}

// passAdded hands on what filters added while they saw the headers, in order.
func (p *Path) passAdded(adders []adder) {
	for k, a := range adders {
		if p.Dead {
			return
		}
		last := k == len(adders)-1
		ends := last && p.Complete && p.Trailers == nil && a.trailers == nil
		if _, pos := p.at(a.by); pos.headersHeld {
			// The filter itself is stopped: what it added waits with the headers.
			if a.body != nil {
				pos.take(p, a.body)
			}
			pos.bodyEnd = ends
			if a.trailers != nil {
				p.Trailers, pos.trailersHeld = a.trailers, true
			}
			continue
		}
		if a.body != nil {
			p.passData(a.by+1, a.body, ends)
			a.body.Drain(a.body.Len())
		}
		if a.trailers != nil {
			p.Trailers = a.trailers
			p.passTrailers(a.by + 1)
		}
	}
}

// passData shows a piece of the body to the filters from i on. What nobody took
// is dropped by the caller.
func (p *Path) passData(i int, data *buffer.Buffer, end bool) {
	trailersFrom := -1
	for ; i < p.owner.Filters(); i++ {
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
		if p.Dead {
			return
		}
		added := p.takeAdded()
		if added.body != nil {
			data.Move(added.body)
		}
		if added.trailers != nil {
			p.Trailers, end = added.trailers, false
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
			if p.Dead {
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
	if i == p.owner.Filters() {
		p.owner.PassedData(p, data, end)
	}
	if trailersFrom >= 0 && !p.Dead && (i == p.owner.Filters() || i >= trailersFrom) {
		p.passTrailers(trailersFrom)
	}
}

func (p *Path) newBuffer() *buffer.Buffer {
	b := new(buffer.Buffer)
	b.Init(p.owner.Buffers())
	return b
}

// passTrailers shows the trailers to the filters from i on.
func (p *Path) passTrailers(i int) {
	for ; i < p.owner.Filters() && !p.Dead; i++ {
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
		if p.Dead {
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
	if !p.Dead {
		p.owner.PassedTrailers(p)
	}
}

// flush hands the headers and the body that wait at filter i to the next one.
func (p *Path) flush(i int, pos *position, end bool) {
	if pos.headersHeld {
		pos.headersHeld = false
		p.passHeaders(i+1, end && pos.held() == nil)
		if p.Dead || end && pos.held() == nil {
			return
		}
	}
	if pos.held() != nil || end {
		p.passHeld(i+1, pos, end)
	}
}

// passHeld hands the body of a position to filter i and those behind it.
func (p *Path) passHeld(i int, pos *position, end bool) {
	whole := p.newBuffer()
	if pos.body != nil {
		whole.Move(pos.body)
	}
	p.drained(pos)
	p.passData(i, whole, end)
	whole.Drain(whole.Len())
}

// Resume goes on behind filter i, counted from the source, that stopped the message.
func (p *Path) Resume(i int) {
	f, pos := p.at(i)
	if f == nil || p.Dead {
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
	if pos.trailersHeld && !p.Dead {
		pos.trailersHeld = false
		p.passTrailers(i + 1)
	}
}

// resumeAll goes on with a filter that saw nothing but the headers: the body and
// the trailers that waited are shown to itself first.
func (p *Path) resumeAll(i int, pos *position, bodyEnd bool) {
	pos.stopAll = false
	bare := pos.headersEnd && !pos.trailersHeld
	if pos.headersHeld {
		pos.headersHeld = false
		p.passHeaders(i+1, bare && pos.held() == nil)
	}
	switch {
	case p.Dead:
	case bare && pos.held() != nil:
		// The message has no body but the one that the filter added.
		p.passHeld(i+1, pos, true)
	case pos.held() != nil || bodyEnd:
		p.passHeld(i, pos, bodyEnd)
	}
	if !p.Dead && pos.trailersHeld {
		pos.trailersHeld = false
		p.passTrailers(i)
	}
}

// PauseSource stops reading of the message at its source; ResumeSource undoes one
// call.
func (p *Path) PauseSource() {
	p.Paused++
	if p.Paused == 1 {
		p.owner.PauseSource(p, true)
	}
}

// ResumeSource undoes one PauseSource.
func (p *Path) ResumeSource() {
	if p.Paused == 0 {
		return
	}
	p.Paused--
	if p.Paused == 0 {
		p.owner.PauseSource(p, false)
	}
}

func (p *Path) callHeaders(f *Filter, end bool) httpfilter.HeadersStatus {
	if p.Response {
		return f.Enc.EncodeHeaders(p.Headers, end)
	}
	return f.Dec.DecodeHeaders(p.Headers, end)
}

func (p *Path) callData(f *Filter, data *buffer.Buffer, end bool) httpfilter.DataStatus {
	if p.Response {
		return f.Enc.EncodeData(data, end)
	}
	return f.Dec.DecodeData(data, end)
}

func (p *Path) callTrailers(f *Filter) httpfilter.TrailersStatus {
	if p.Response {
		return f.Enc.EncodeTrailers(p.Trailers)
	}
	return f.Dec.DecodeTrailers(p.Trailers)
}

// Kill drops all that waits.
func (p *Path) Kill() {
	p.Dead = true
	for i := range p.owner.Filters() {
		if f := p.owner.Filter(i); p.Response {
			f.writes.reset()
		} else {
			f.reads.reset()
		}
	}
	if p.added.body != nil {
		p.added.body.Drain(p.added.body.Len())
	}
	p.added = addition{}
}
