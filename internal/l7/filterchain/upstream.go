package filterchain

import (
	"strings"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// upstreamFilters is a list of filters between a router and its hosts. It is immutable.
type upstreamFilters []upstreamFilter

type upstreamFilter struct {
	name     string
	build    httpfilter.Builder
	disabled bool
}

// NewChain implements httpfilter.UpstreamFilters.
func (u upstreamFilters) NewChain(router httpfilter.Callbacks, h upstream.ResponseHandler) httpfilter.UpstreamChain {
	c := &chain{router: router, handler: h, filters: make([]chainFilter, len(u))}
	c.request.Init(c, false)
	c.response.Init(c, true)
	c.request.Limit, c.response.Limit = router.DecoderBufferLimit(), router.EncoderBufferLimit()
	c.waiting.Init(c.Buffers())
	r := router.Route()
	for i := range c.filters {
		f := &c.filters[i]
		f.Callbacks, f.c, f.index, f.name = router, c, i, u[i].name
		f.Off = Off(r, f.name, u[i].disabled)
		f.filter = u[i].build(f)
		f.Dec, _ = f.filter.(httpfilter.DecoderFilter)
		f.Enc, _ = f.filter.(httpfilter.EncoderFilter)
	}
	return c
}

// A chain takes one attempt to send a request through its filters.
type chain struct {
	router            httpfilter.Callbacks
	handler           upstream.ResponseHandler
	filters           []chainFilter
	request, response Path

	headers *httpmsg.Headers       // of the response, the handler's
	stream  upstream.RequestStream // nil before Ready, and when it has ended
	// What passed the filters before Ready.
	headersWait, headersEnd, bodyEnd bool
	waiting                          buffer.Buffer
	trailers                         *httpmsg.Headers
	heldMetadata                     []*httpmsg.Headers // until the headers are sent
	heldBytes                        int

	sentHeaders bool
	// sentAll and gotAll say that the stream has seen the end of request and response.
	sentAll, gotAll bool
	ended           bool
}

var (
	_ httpfilter.UpstreamChain = (*chain)(nil)
	_ Owner                    = (*chain)(nil)
)

// --- the stream that the router sends the request to -----------------------------

// EncodeHeaders implements upstream.RequestStream, as do the methods that follow.
func (c *chain) EncodeHeaders(h *httpmsg.Headers, endStream bool) error {
	c.request.ReceiveHeaders(h, endStream)
	return nil
}

// EncodeData takes a piece of the body through the filters.
func (c *chain) EncodeData(data *buffer.Buffer, endStream bool) {
	c.request.ReceiveData(data, endStream)
}

// EncodeTrailers takes the trailers through them.
func (c *chain) EncodeTrailers(trailers *httpmsg.Headers) { c.request.ReceiveTrailers(trailers) }

// Reset ends filters and stream.
func (c *chain) Reset(reason httpmsg.ResetReason) {
	if c.ended {
		return
	}
	c.ended = true
	c.kill()
	if c.request.Paused > 0 {
		c.router.RequestLow()
	}
	for i := range c.filters {
		c.filters[i].filter.OnDestroy()
	}
	if c.stream != nil && !(c.sentAll && c.gotAll) {
		c.stream.Reset(reason)
	}
	c.stream = nil
}

// kill drops all that is on its way.
func (c *chain) kill() {
	c.request.Kill()
	c.response.Kill()
	c.headersWait = false
	c.waiting.Drain(c.waiting.Len())
}

// ReadDisable stops or resumes the response's bytes.
func (c *chain) ReadDisable(disable bool) {
	if c.stream != nil && !c.gotAll {
		c.stream.ReadDisable(disable)
	}
}

// Connection describes the connection of the stream.
func (c *chain) Connection() *upstream.StreamConnection { return c.stream.Connection() }

// Ready implements httpfilter.UpstreamChain.
func (c *chain) Ready(s upstream.RequestStream) {
	c.stream = s
	if !c.headersWait {
		return
	}
	c.headersWait = false
	if !c.sendHeaders(c.headersEnd) {
		return
	}
	if c.waiting.Len() > 0 || c.bodyEnd {
		c.sendData(&c.waiting, c.bodyEnd)
	}
	if c.trailers != nil && !c.ended {
		c.sendTrailers(c.trailers)
	}
}

// --- the ends of the paths ----------------------------------------------------------

// Buffers implements Owner, as do the methods that follow.
func (c *chain) Buffers() *buffer.Pool { return c.router.Dispatcher().Buffers() }

// Filters is how many filters there are.
func (c *chain) Filters() int { return len(c.filters) }

// Filter returns one of them.
func (c *chain) Filter(i int) *Filter { return &c.filters[i].Filter }

// PassedHeaders takes headers to the stream, or to the router.
func (c *chain) PassedHeaders(p *Path, end bool) {
	switch {
	case p.Response:
		c.handler.OnHeaders(end) // they are in its map
	case c.stream == nil:
		c.headersWait, c.headersEnd = true, end
	default:
		c.sendHeaders(end)
	}
}

// sendHeaders reports whether more of the request may follow. Headers that lack what the
// codec needs, because a filter removed it, are answered.
func (c *chain) sendHeaders(end bool) bool {
	c.sentAll = end
	err := c.stream.EncodeHeaders(c.request.Headers, end)
	if err == nil {
		c.sentHeaders = true
		c.sendHeldMetadata()
		return !c.ended
	}
	c.router.Stream().Flags |= streaminfo.DownstreamProtocolError
	c.sentAll = false
	text := err.Error()
	c.localReply(httpfilter.LocalReply{
		Status: 503, Body: text,
		Details: "filter_removed_required_request_headers{" + strings.ReplaceAll(text, " ", "_") + "}",
	})
	return false
}

// PassedData takes a piece of a body to the stream, or to the router.
func (c *chain) PassedData(p *Path, data *buffer.Buffer, end bool) {
	switch {
	case p.Response:
		c.handler.OnData(data, end)
	case c.stream == nil:
		c.waiting.Move(data)
		c.bodyEnd = end
	default:
		c.sendData(data, end)
	}
}

func (c *chain) sendData(data *buffer.Buffer, end bool) {
	c.sentAll = end
	c.stream.EncodeData(data, end)
}

// PassedTrailers takes trailers to the stream, or to the router.
func (c *chain) PassedTrailers(p *Path) {
	switch {
	case p.Response:
		c.handler.OnTrailers(p.Trailers)
	case c.stream == nil:
		c.trailers = p.Trailers
	default:
		c.sendTrailers(p.Trailers)
	}
}

func (c *chain) sendTrailers(trailers *httpmsg.Headers) {
	c.sentAll = true
	c.stream.EncodeTrailers(trailers)
}

// PauseSource stops or resumes the client's request, or the host's response.
func (c *chain) PauseSource(p *Path, pause bool) {
	switch {
	case p.Response:
		c.ReadDisable(pause)
	case pause:
		c.router.RequestHigh()
	default:
		c.router.RequestLow()
	}
}

// BodyTooLarge answers.
func (c *chain) BodyTooLarge(p *Path) {
	if !p.Response {
		c.localReply(RequestTooLarge())
		return
	}
	c.localReply(httpfilter.LocalReply{Status: 500, Body: "Internal Server Error", Details: "response_payload_too_large"})
}

// localReply answers the client in place of a host.
func (c *chain) localReply(reply httpfilter.LocalReply) {
	if !c.ended {
		c.kill()
		c.router.SendLocalReply(reply)
	}
}

// --- the handler of the host's response ---------------------------------------------

// ResponseHeaders implements upstream.ResponseHandler, as do the methods that follow.
func (c *chain) ResponseHeaders() *httpmsg.Headers {
	c.headers = c.handler.ResponseHeaders()
	return c.headers
}

// OnInterim shows a 1xx response to the filters.
func (c *chain) OnInterim() {
	for i := len(c.filters) - 1; i >= 0; i-- {
		if f := &c.filters[i]; f.Enc != nil && !f.Off && f.Enc.EncodeInterim(c.headers) != httpfilter.Continue {
			return
		}
	}
	c.handler.OnInterim()
}

// OnHeaders takes the headers through the filters.
func (c *chain) OnHeaders(endStream bool) {
	c.gotAll = endStream
	if !c.response.Dead {
		c.response.ReceiveHeaders(c.headers, endStream)
	}
}

// OnData takes a piece of the body through them.
func (c *chain) OnData(data *buffer.Buffer, endStream bool) {
	c.gotAll = endStream
	c.response.ReceiveData(data, endStream)
}

// OnTrailers takes the trailers through them.
func (c *chain) OnTrailers(trailers *httpmsg.Headers) {
	c.gotAll = true
	c.response.ReceiveTrailers(trailers)
}

// OnReset ends the attempt.
func (c *chain) OnReset(reason httpmsg.ResetReason, transportFailure string) {
	c.stream = nil
	c.handler.OnReset(reason, transportFailure)
}

// OnWriteBufferHigh is the router's matter.
func (c *chain) OnWriteBufferHigh() { c.handler.OnWriteBufferHigh() }

// OnWriteBufferLow is the router's matter.
func (c *chain) OnWriteBufferLow() { c.handler.OnWriteBufferLow() }
