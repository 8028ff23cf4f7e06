// Package httpfilter holds a harness for HTTP filters: a Stream plays the
// connection manager for one filter, Clusters and their Attempts the upstream.
// Import it as filtertest beside api/httpfilter.
//
//	l := loop.New(1)
//	s := filtertest.New(l)
//	s.Build(builder)
//	s.Request(true, ":method", "GET", ":path", "/", ":authority", "a")
//	fmt.Print(s.Reply())
package httpfilter

import (
	"fmt"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/testkit/connection"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

// A Stream is a fake httpfilter.Callbacks with one filter, and behaves as the
// connection manager does: it ends when the response is complete or the stream is
// reset, and then destroys the filter. Its exported members are for the test to
// read, and those marked so to set.
type Stream struct {
	Loop *loop.Fake
	Conn *connection.Fake
	Info streaminfo.Stream
	// FilterName, Table and the limits are the test's to set. Table is called at the
	// first use of the route; nil gives none. A limit of 0 means no limit.
	FilterName               string
	Table                    func(h *httpmsg.Headers) *route.Route
	DecodeLimit, EncodeLimit int

	// In is the request, Out the response, as far as they went through the filter. The
	// response of a terminal filter is in Out too.
	In, Out Flow
	// Recreated counts the times that the stream was run once more, RecreatedBody is the
	// body that it had then.
	Recreated     int
	RecreatedBody string
	// Local is the local reply that was sent, nil for none.
	Local *httpfilter.LocalReply
	// Interims are the 1xx responses, one string each.
	Interims []string
	// Details is the response code detail.
	Details string
	// WasReset says that the stream was reset, for ResetReason.
	WasReset    bool
	ResetReason httpmsg.ResetReason
	// Paused counts the pauses of the request's source that are in force.
	Paused int
	// Destroyed says that the stream is over and the filter was told.
	Destroyed bool

	filter     httpfilter.Filter
	decoder    httpfilter.DecoderFilter // nil if the filter is none
	encoder    httpfilter.EncoderFilter
	watcher    httpfilter.WatermarkCallbacks
	high       int
	route      *route.Route
	routeKnown bool
	reply      httpfilter.LocalReply
	local      httpmsg.Headers
	localBody  buffer.Buffer
	headers    httpmsg.Headers
	arena      [256]byte
}

var _ httpfilter.Callbacks = (*Stream)(nil)

// New returns a stream on l. Build follows.
func New(l *loop.Fake) *Stream {
	s := &Stream{Loop: l, Conn: connection.New(l), FilterName: "filter"}
	s.In.init(s, false)
	s.Out.init(s, true)
	s.localBody.Init(l.Buffers())
	s.begin()
	return s
}

// Build makes the filter.
func (s *Stream) Build(b httpfilter.Builder) httpfilter.Filter {
	s.filter = b(s)
	s.decoder, _ = s.filter.(httpfilter.DecoderFilter)
	s.encoder, _ = s.filter.(httpfilter.EncoderFilter)
	return s.filter
}

func (s *Stream) begin() {
	s.Info = streaminfo.Stream{
		Start: s.Loop.Now(), Version: httpmsg.HTTP11, HasVersion: true, Downstream: s.Conn.Info(),
	}
}

// Recycle makes the stream, whose filter was destroyed, serve another request with
// the same filter.
func (s *Stream) Recycle() {
	if !s.Destroyed {
		panic("testkit/httpfilter: the stream to be recycled is not over")
	}
	s.filter.(httpfilter.Resetter).Reset()
	s.In.reset()
	s.Out.reset()
	s.Local, s.Interims, s.Details = nil, s.Interims[:0], ""
	s.WasReset, s.ResetReason, s.Paused, s.Destroyed = false, httpmsg.ResetNone, 0, false
	s.watcher, s.high, s.route, s.routeKnown = nil, 0, nil, false
	s.localBody.Drain(s.localBody.Len())
	s.begin()
}

// --- what the client does ---------------------------------------------------------

// Request sends request headers, given as names and values in turn.
func (s *Stream) Request(end bool, fields ...string) {
	set(&s.headers, fields)
	s.RequestMap(end)
}

// Headers is the map of RequestMap, for the test to fill.
func (s *Stream) Headers() *httpmsg.Headers { return &s.headers }

// RequestMap sends the headers in the map of Headers. It does not allocate.
func (s *Stream) RequestMap(end bool) {
	s.headers.SetArena(s.arena[:])
	s.In.headers(&s.headers, end)
}

// Body sends a piece of the request's body, Trailers ends it.
func (s *Stream) Body(text string, end bool) { s.In.text(text, end) }

// Trailers ends the request with trailers.
func (s *Stream) Trailers(fields ...string) { s.In.trailers(fields) }

// Respond plays what is behind a filter that is not terminal: it sends response
// headers through the filter. RespondBody and RespondTrailers follow.
func (s *Stream) Respond(end bool, fields ...string) {
	h := new(httpmsg.Headers)
	set(h, fields)
	s.Out.headers(h, end)
}

// RespondBody sends a piece of the response's body.
func (s *Stream) RespondBody(text string, end bool) { s.Out.text(text, end) }

// RespondTrailers ends the response with trailers.
func (s *Stream) RespondTrailers(fields ...string) { s.Out.trailers(fields) }

// Leave ends the stream as the client does that goes away.
func (s *Stream) Leave() {
	s.Info.Flags |= streaminfo.DownstreamConnectionTermination
	s.end()
}

// High says that the downstream has too much output, Low that it has room again.
func (s *Stream) High() {
	s.high++
	if s.watcher != nil {
		s.watcher.OnDownstreamHigh()
	}
}

// Low undoes one High.
func (s *Stream) Low() {
	s.high--
	if s.watcher != nil {
		s.watcher.OnDownstreamLow()
	}
}

func (s *Stream) end() {
	if s.Destroyed {
		return
	}
	s.Destroyed = true
	if c, ok := s.filter.(httpfilter.StreamCompleter); ok {
		c.OnStreamComplete()
	}
	s.filter.OnDestroy()
}

// Reply returns the response, or how the stream ended without: the status and the
// response code detail with the flags, the headers but :status, and the body.
func (s *Stream) Reply() string {
	var b strings.Builder
	flags := s.Info.Flags.Append(nil)
	h := s.Out.Headers
	if s.WasReset {
		fmt.Fprintf(&b, "reset: %s [%s] %s\n", s.ResetReason, flags, s.Details)
	} else if h != nil {
		fmt.Fprintf(&b, "%s [%s] %s\n", h.Get(httpmsg.Status), flags, s.Details)
	}
	if h != nil {
		b.WriteString(text(h, httpmsg.Status))
	}
	if s.Out.Body.Len() > 0 {
		fmt.Fprintf(&b, "\n%s\n", s.Out.Body.String())
	}
	if s.Out.Trailers != nil {
		fmt.Fprintf(&b, "trailers:\n%s", text(s.Out.Trailers, httpmsg.Unknown))
	}
	if h != nil && !s.Out.Ended && !s.WasReset {
		b.WriteString("...\n")
	}
	return b.String()
}

// --- httpfilter.StreamCallbacks ---------------------------------------------------

// Name implements httpfilter.StreamCallbacks, as do the methods that follow; those
// of DecoderCallbacks and EncoderCallbacks are further down.
func (s *Stream) Name() string { return s.FilterName }

// Dispatcher returns the loop.
func (s *Stream) Dispatcher() event.Dispatcher { return s.Loop }

// Connection returns the downstream connection.
func (s *Stream) Connection() network.Connection { return s.Conn }

// StreamID returns 1.
func (s *Stream) StreamID() uint64 { return 1 }

// Stream returns Info.
func (s *Stream) Stream() *streaminfo.Stream { return &s.Info }

// Route asks Table, once.
func (s *Stream) Route() *route.Route {
	if !s.routeKnown && s.Table != nil {
		s.route = s.Table(&s.headers)
	}
	s.routeKnown = true
	return s.route
}

// ClearRoute makes Route ask again.
func (s *Stream) ClearRoute() { s.routeKnown, s.route = false, nil }

// RecreateStream implements httpfilter.StreamCallbacks: it ends the stream, and what
// follows is up to the test.
func (s *Stream) RecreateStream(response *httpmsg.Headers) bool {
	if s.Destroyed || !s.In.end {
		return false
	}
	s.Recreated++
	s.RecreatedBody = s.In.held.String()
	s.Info.ResponseCode = response.StatusCode()
	s.end()
	return true
}

// RequestHeaders returns the request headers once they arrived.
func (s *Stream) RequestHeaders() *httpmsg.Headers { return s.In.seen }

// RequestTrailers returns the request trailers once they arrived.
func (s *Stream) RequestTrailers() *httpmsg.Headers { return s.In.seenTrailers }

// ResponseHeaders returns the response headers once they arrived.
func (s *Stream) ResponseHeaders() *httpmsg.Headers { return s.Out.seen }

// ResponseTrailers returns the response trailers once they arrived.
func (s *Stream) ResponseTrailers() *httpmsg.Headers { return s.Out.seenTrailers }

// ResetStream ends the stream.
func (s *Stream) ResetStream(reason httpmsg.ResetReason, details string) {
	if s.Destroyed {
		return
	}
	s.WasReset, s.ResetReason, s.Details = true, reason, details
	s.end()
}

// SendLocalReply answers, through the encoder side of the filter unless that has seen
// another response.
func (s *Stream) SendLocalReply(reply httpfilter.LocalReply) {
	switch {
	case s.Destroyed:
		return
	case s.Out.Headers != nil:
		s.ResetStream(httpmsg.ResetLocalReset, reply.Details)
		return
	}
	s.reply = reply
	s.Local = &s.reply
	s.Details = strings.ReplaceAll(reply.Details, " ", "_")
	s.local.Reset()
	s.local.SetStatusCode(reply.Status)
	if reply.Modify != nil {
		reply.Modify(&s.local)
	}
	s.localBody.AppendString(reply.Body)
	s.In.dead = true
	if s.Out.seen != nil {
		s.Out.seenTrailers = nil
		s.Out.pass(&s.local, reply.Body == "")
		s.Out.passData(&s.localBody, true)
		return
	}
	s.Out.headers(&s.local, reply.Body == "")
	if reply.Body != "" && !s.Destroyed {
		s.Out.end = true
		s.Out.callData(&s.localBody, true)
	}
}

// --- httpfilter.DecoderCallbacks --------------------------------------------------

// ContinueDecoding lets the request go on.
func (s *Stream) ContinueDecoding() { s.In.resume() }

// DecodingBuffer returns the body that is held.
func (s *Stream) DecodingBuffer() *buffer.Buffer { return s.In.buffered() }

// AddDecodedData adds to the body.
func (s *Stream) AddDecodedData(data *buffer.Buffer, _ bool) { s.In.add(data) }

// AddDecodedTrailers adds trailers.
func (s *Stream) AddDecodedTrailers() *httpmsg.Headers { return s.In.addTrailers() }

// DecoderBufferLimit returns DecodeLimit.
func (s *Stream) DecoderBufferLimit() int { return s.DecodeLimit }

// SetDecoderBufferLimit sets DecodeLimit.
func (s *Stream) SetDecoderBufferLimit(limit int) { s.DecodeLimit = limit }

// RequestHigh counts in Paused.
func (s *Stream) RequestHigh() { s.Paused++ }

// RequestLow counts in Paused.
func (s *Stream) RequestLow() {
	if s.Paused--; s.Paused < 0 {
		panic("testkit/httpfilter: RequestLow without RequestHigh")
	}
}

// EncodeInterim notes a 1xx response.
func (s *Stream) EncodeInterim(h *httpmsg.Headers) {
	if !s.Destroyed {
		s.Interims = append(s.Interims, text(h, httpmsg.Unknown))
	}
}

// StartResponse begins the response of a terminal filter, or of one that answers.
func (s *Stream) StartResponse(h *httpmsg.Headers, endStream bool, details string) {
	if s.Destroyed || s.Out.Headers != nil {
		return
	}
	s.Details = details
	s.Out.headers(h, endStream)
}

// SendResponseData goes on with it.
func (s *Stream) SendResponseData(data *buffer.Buffer, endStream bool) {
	if s.Destroyed {
		data.Drain(data.Len())
		return
	}
	s.Out.passData(data, endStream)
}

// SendResponseTrailers ends it.
func (s *Stream) SendResponseTrailers(trailers *httpmsg.Headers) {
	if !s.Destroyed {
		s.Out.passTrailers(trailers)
	}
}

// WatchDownstream sets who is told of High and Low.
func (s *Stream) WatchDownstream(w httpfilter.WatermarkCallbacks) {
	s.watcher = w
	if s.high > 0 {
		w.OnDownstreamHigh()
	}
}

// --- httpfilter.EncoderCallbacks --------------------------------------------------

// ContinueEncoding lets the response go on.
func (s *Stream) ContinueEncoding() { s.Out.resume() }

// EncodingBuffer returns the body that is held.
func (s *Stream) EncodingBuffer() *buffer.Buffer { return s.Out.buffered() }

// AddEncodedData adds to the body.
func (s *Stream) AddEncodedData(data *buffer.Buffer, _ bool) { s.Out.add(data) }

// AddEncodedTrailers adds trailers.
func (s *Stream) AddEncodedTrailers() *httpmsg.Headers { return s.Out.addTrailers() }

// EncoderBufferLimit returns EncodeLimit.
func (s *Stream) EncoderBufferLimit() int { return s.EncodeLimit }

// SetEncoderBufferLimit sets EncodeLimit.
func (s *Stream) SetEncoderBufferLimit(limit int) { s.EncodeLimit = limit }

// ResponseHigh counts in Out.Paused.
func (s *Stream) ResponseHigh() { s.Out.Paused++ }

// ResponseLow counts in Out.Paused.
func (s *Stream) ResponseLow() { s.Out.Paused-- }

// set makes h hold fields, given as names and values in turn.
func set(h *httpmsg.Headers, fields []string) {
	h.Reset()
	for i := 0; i+1 < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
}

// text returns the fields but one, one a line.
func text(h *httpmsg.Headers, but httpmsg.ID) string {
	var b strings.Builder
	for _, f := range h.Fields() {
		if but == httpmsg.Unknown || f.ID() != but {
			fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
		}
	}
	return b.String()
}
