package filterchain

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// position is what a path keeps of a filter.
type position struct {
	headersHeld bool // the filter stopped the headers
	headersEnd  bool // they ended the message
	// stopAll is set while the filter is not to be called at all.
	stopAll bool
	// body is what the filter holds, nil until it first holds anything.
	body    *buffer.Buffer
	bodyEnd bool // the body that was held, or dropped, was the last piece
	// streaming is set when a body over the limit pauses the source.
	streaming, over bool
	trailersHeld    bool
}

// held returns the body that waits, nil if there is none.
func (p *position) held() *buffer.Buffer {
	if p.body == nil || p.body.Len() == 0 {
		return nil
	}
	return p.body
}

func (p *position) reset() {
	body := p.body
	if body != nil {
		body.Drain(body.Len())
	}
	*p = position{body: body}
}

// hold keeps data with a filter, within the limit.
func (p *Path) hold(f *Filter, pos *position, data *buffer.Buffer) {
	pos.take(p, data)
	if p.Limit == 0 || pos.body.Len() <= p.Limit {
		return
	}
	if pos.streaming {
		if !pos.over {
			pos.over = true
			p.PauseSource()
		}
		return
	}
	p.owner.BodyTooLarge(p)
}

func (pos *position) take(p *Path, data *buffer.Buffer) {
	if pos.body == nil {
		pos.body = p.newBuffer()
	}
	pos.body.Move(data)
}

// drained lets the source go on when a body over the limit has left.
func (p *Path) drained(pos *position) {
	if pos.over {
		pos.over = false
		p.ResumeSource()
	}
}

// addition is what the filter that is being called added to the message.
type addition struct {
	body     *buffer.Buffer
	trailers *httpmsg.Headers
}

// An adder is a filter that added to the message while it saw the headers.
type adder struct {
	by int
	addition
}

// AddData adds to the body on behalf of filter i, counted from the source. streaming
// says that a body over the limit pauses the source.
func (p *Path) AddData(i int, data *buffer.Buffer, streaming bool) {
	if p.Dead {
		data.Drain(data.Len())
		return
	}
	if p.calling {
		if p.added.body == nil {
			p.added.body = p.newBuffer()
		}
		p.added.body.Move(data)
		return
	}
	f, pos := p.at(i)
	if pos.headersHeld || pos.stopAll || pos.held() != nil { // trailers that wait do not hold up the body
		pos.streaming = streaming
		p.hold(f, pos, data)
		return
	}
	p.passData(i+1, data, false)
	data.Drain(data.Len())
}

// AddTrailers adds trailers on behalf of the filter that is being called.
func (p *Path) AddTrailers() *httpmsg.Headers {
	if p.added.trailers == nil {
		p.added.trailers = new(httpmsg.Headers)
	}
	return p.added.trailers
}

func (p *Path) takeAdded() addition {
	a := p.added
	p.added = addition{}
	return a
}
