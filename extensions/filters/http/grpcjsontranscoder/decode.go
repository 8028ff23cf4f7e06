package grpcjsontranscoder

import (
	transcoderv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_json_transcoder/v3"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
)

// requestState is how far the body of a request came.
type requestState struct {
	body  []byte // what there is of a message that is not complete
	array arrayReader
	held  int  // bytes that wait, as the statistics have it
	begun bool // a message went
	// Of an HttpBody: what goes before the first one, its content type, and the query
	// parameters that go with it, nil for none.
	prefix      []byte
	contentType string
	unknown     *transcoderv3.UnknownQueryParams
}

// beginRaw makes what goes before the body of a request that is no JSON. It reports
// false after an answer.
func (f *filter) beginRaw(h *httpmsg.Headers) bool {
	c := f.call
	var err error
	if c.request.prefix, err = c.cfg.translateRequest(c.rule, nil, c.values); err != nil {
		f.reply(400, err.Error(), late+invalid)
		return false
	}
	c.request.contentType = h.Get(httpmsg.ContentType)
	return true
}

// DecodeData implements httpfilter.DecoderFilter.
func (f *filter) DecodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	c := f.call
	if c == nil {
		return httpfilter.DataContinue
	}
	var out buffer.Buffer
	out.Init(data.Pool())
	if !f.takeRequest(data, &out) || endStream && !f.endRequest(&out, late) {
		out.Drain(out.Len())
		return httpfilter.DataStopNoBuffer
	}
	if f.holdRequest(c.request.stored()); out.Len() == 0 && !endStream && c.rawRequest {
		return httpfilter.DataStopNoBuffer
	}
	data.Move(&out)
	return httpfilter.DataContinue
}

// stored is how many bytes wait.
func (r *requestState) stored() int { return len(r.body) + len(r.array.element) }

// takeRequest takes a piece of the body and puts what it completes into out. It reports
// false after an answer.
func (f *filter) takeRequest(data, out *buffer.Buffer) bool {
	c := f.call
	streaming := c.method.IsStreamingClient()
	for data.Len() > 0 {
		p := data.Front()
		if c.rawRequest && streaming {
			p = p[:min(len(p), maxPiece-len(c.request.body))]
		}
		switch {
		case streaming && !c.rawRequest:
			if err := c.request.array.feed(p, func(element []byte) error { return c.sendMessage(out, element) }); err != nil {
				f.reply(400, err.Error(), late+invalid)
				return false
			}
		default:
			c.request.body = append(c.request.body, p...)
		}
		data.Drain(len(p))
		if limit := limitOf(c.cfg.maxRequest, f.cb.DecoderBufferLimit()); limit > 0 && c.request.stored() > limit && (!c.rawRequest || !streaming) {
			f.reply(413, "Request rejected because the transcoder's internal buffer size exceeds the configured limit.",
				late+"{request_buffer_size_limit_reached}")
			return false
		}
		if c.rawRequest && streaming && len(c.request.body) == maxPiece && !f.sendRaw(out) {
			return false
		}
	}
	return !c.rawRequest || !streaming || c.request.begun && len(c.request.body) == 0 || f.sendRaw(out)
}

func limitOf(own, stream int) int {
	if own > 0 {
		return own
	}
	return stream
}

// sendMessage appends the message of a JSON value to out.
func (c *call) sendMessage(out *buffer.Buffer, text []byte) error {
	message, err := c.cfg.translateRequest(c.rule, text, c.values)
	if err != nil {
		return err
	}
	c.values, c.request.begun = nil, true
	h := grpc.NewHeader(0, len(message))
	out.Append(h[:])
	out.Append(message)
	return nil
}

// sendRaw appends a message with the HttpBody that waits to out.
func (f *filter) sendRaw(out *buffer.Buffer) bool {
	r := &f.call.request
	message, err := appendEnvelope(r.prefix, f.call.body, r.contentType, r.unknown, len(r.body))
	if err != nil {
		f.reply(400, err.Error(), late+invalid)
		return false
	}
	h := grpc.NewHeader(0, len(message)+len(r.body))
	out.Append(h[:])
	out.Append(message)
	out.Append(r.body)
	r.prefix, r.contentType, r.body, r.begun = nil, "", r.body[:0], true
	return true
}

// endRequest puts what is left of the request into out. It reports false after an answer.
func (f *filter) endRequest(out *buffer.Buffer, details string) bool {
	c := f.call
	r := &c.request
	var err error
	switch {
	case c.rawRequest:
		return r.begun && len(r.body) == 0 || f.sendRaw(out)
	case !c.method.IsStreamingClient():
		err = c.sendMessage(out, r.body)
		r.body = nil
	default:
		err = r.array.finish()
	}
	if err != nil {
		f.reply(400, err.Error(), details+invalid)
	}
	return err == nil
}

// finishRequest ends a request that has no more body, and adds what is left of it.
func (f *filter) finishRequest(details string) bool {
	var out buffer.Buffer
	out.Init(f.cb.Dispatcher().Buffers())
	if !f.endRequest(&out, details) {
		out.Drain(out.Len())
		return false
	}
	f.holdRequest(0)
	if out.Len() > 0 {
		f.cb.AddDecodedData(&out, true)
	}
	return true
}

// DecodeTrailers implements httpfilter.DecoderFilter.
func (f *filter) DecodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	if f.call != nil && !f.finishRequest(late) {
		return httpfilter.TrailersStop
	}
	return httpfilter.TrailersContinue
}

// holdRequest says how many bytes of the request wait.
func (f *filter) holdRequest(n int) {
	r := &f.call.request
	if n != r.held {
		f.stats.request.Add(f.cb.Dispatcher().Shard(), int64(n-r.held))
		r.held = n
	}
}
