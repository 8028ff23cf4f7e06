package grpcjsontranscoder

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/httpbody"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
)

// The content types of responses.
const (
	typeJSON   = "application/json"
	typeEvents = "text/event-stream"
)

// responseState is how far the response came.
type responseState struct {
	headers  *httpmsg.Headers // nil for a response that passes
	cutter   grpc.Cutter
	message  []byte // what there is of a message that is not complete
	out      []byte // what is translated and waits
	heldBack int    // bytes that wait, as the statistics have it
	messages int
	hadBody  bool
	typed    bool // the content type of an HttpBody is set
}

// EncodeInterim implements httpfilter.EncoderFilter.
func (f *filter) EncodeInterim(*httpmsg.Headers) httpfilter.HeadersStatus { return httpfilter.Continue }

// EncodeHeaders implements httpfilter.EncoderFilter.
func (f *filter) EncodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	c := f.call
	if c == nil || c.failed {
		return httpfilter.Continue
	}
	if !grpc.IsResponse(h, endStream) {
		c.failed = true
		return httpfilter.Continue
	}
	c.headers = h
	streaming := c.method.IsStreamingServer()
	if streaming && c.cfg.delimiters == asEvents {
		h.Set(httpmsg.ContentType, typeEvents)
	} else if streaming || !endStream {
		h.Set(httpmsg.ContentType, typeJSON)
	}
	switch {
	case endStream:
		if !f.endResponse(h) {
			return httpfilter.StopIteration
		}
		return httpfilter.Continue
	case streaming && !c.rawResponse:
		return httpfilter.Continue
	default: // the length, or the content type, is not known
		return httpfilter.StopIteration
	}
}

// EncodeData implements httpfilter.EncoderFilter.
func (f *filter) EncodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	c := f.call
	if c == nil || c.headers == nil || c.failed {
		return httpfilter.DataContinue
	}
	c.hadBody = true
	before := c.messages
	err := f.takeResponse(data)
	data.Drain(data.Len())
	if err == nil && endStream && !c.rawResponse {
		err = c.finishResponse()
	}
	if err != nil {
		f.failResponse(err)
		return httpfilter.DataStopNoBuffer
	}
	f.holdResponse(len(c.message) + len(c.out))
	switch {
	case !c.method.IsStreamingServer() && !endStream:
		return httpfilter.DataStopNoBuffer
	case c.rawResponse && !c.typed && c.messages == before && !endStream:
		return httpfilter.DataStopNoBuffer
	}
	f.release(data)
	return httpfilter.DataContinue
}

// errTooLarge says that a response cannot be transcoded because of its size.
var errTooLarge = errors.New("Response not transcoded because the transcoder's internal buffer size exceeds the configured limit.")

// takeResponse translates the messages that a piece of the body completes.
func (f *filter) takeResponse(data *buffer.Buffer) error {
	c := f.call
	limit := limitOf(c.cfg.maxResponse, f.cb.EncoderBufferLimit())
	var room [16][]byte
	for _, p := range data.Slices(room[:0], math.MaxInt) {
		for len(p) > 0 {
			part, rest, first, last := c.cutter.Next(p)
			p = rest
			if first && c.cutter.Header().Flags() != 0 {
				return fmt.Errorf("Unsupported gRPC frame flag: %d", c.cutter.Header().Flags())
			}
			c.message = append(c.message, part...)
			if limit > 0 && len(c.message)+len(c.out) > limit {
				return errTooLarge
			}
			if !last {
				continue
			}
			if err := c.translate(); err != nil {
				return err
			}
			c.message = c.message[:0]
		}
	}
	return nil
}

// translate appends the message that is complete to what goes out.
func (c *call) translate() error {
	c.messages++
	streaming := c.method.IsStreamingServer()
	if !streaming && c.messages > 1 {
		return nil // the first one is the answer
	}
	if c.rawResponse {
		return c.translateRaw()
	}
	switch {
	case !streaming:
	case c.cfg.delimiters == asEvents:
		c.out = append(c.out, "data: "...)
	case c.cfg.delimiters == onLines:
	case c.messages == 1:
		c.out = append(c.out, '[')
	default:
		c.out = append(c.out, ',')
	}
	var err error
	if c.out, err = c.cfg.translateResponse(c.out, c.method.Output(), c.message); err != nil || !streaming {
		return err
	}
	switch c.cfg.delimiters {
	case asEvents:
		c.out = append(c.out, "\n\n"...)
	case onLines:
		c.out = append(c.out, '\n')
	}
	return nil
}

// translateRaw takes the data of an HttpBody as it is.
func (c *call) translateRaw() error {
	if len(c.message) == 0 {
		return nil
	}
	var body httpbody.HttpBody
	if err := mergeHTTPBody(&body, c.message, c.response); err != nil {
		return err
	}
	if !c.typed {
		c.headers.Set(httpmsg.ContentType, body.GetContentType())
		c.typed = true
	}
	c.out = append(c.out, body.GetData()...)
	return nil
}

// finishResponse appends what ends the body.
func (c *call) finishResponse() error {
	switch {
	case c.cutter.InHeader():
		return errors.New("Incomplete gRPC frame header received")
	case c.cutter.InMessage():
		return fmt.Errorf("Incomplete gRPC frame expected size: %d actual size: %d", c.cutter.Header().Len(), len(c.message))
	case c.method.IsStreamingServer() && c.cfg.delimiters == inArray:
		if c.messages == 0 {
			c.out = append(c.out, '[')
		}
		c.out = append(c.out, ']')
	}
	return nil
}

// failResponse answers in place of a response that cannot be transcoded.
func (f *filter) failResponse(err error) {
	switch {
	case errors.Is(err, errTooLarge):
		f.reply(500, err.Error(), late+"{response_buffer_size_limit_reached}")
	case f.call.rawResponse:
		f.cb.ResetStream(httpmsg.ResetLocalReset, late)
	default:
		f.reply(502, err.Error(), late+"{INTERNAL}")
	}
}

// release moves what waits to data.
func (f *filter) release(data *buffer.Buffer) {
	data.Append(f.call.out)
	f.call.out = f.call.out[:0]
	f.holdResponse(len(f.call.message))
}

// EncodeTrailers implements httpfilter.EncoderFilter.
func (f *filter) EncodeTrailers(trailers *httpmsg.Headers) httpfilter.TrailersStatus {
	if c := f.call; c == nil || c.headers == nil || c.failed || f.endResponse(trailers) {
		return httpfilter.TrailersContinue
	}
	return httpfilter.TrailersStop
}

// endResponse ends the response with its trailers, which may be its headers. It reports
// false after an answer.
func (f *filter) endResponse(trailers *httpmsg.Headers) bool {
	c := f.call
	status, known := grpc.Status(trailers)
	if known && f.convertStatus(status, trailers) {
		return true
	}
	if !c.rawResponse {
		if err := c.finishResponse(); err != nil {
			f.failResponse(err)
			return false
		}
	}
	length := len(c.out)
	f.addBody()
	bare := trailers == c.headers
	if c.method.IsStreamingServer() && !bare {
		return true // the headers are gone
	}
	if !known {
		c.headers.SetStatusCode(503)
	} else {
		c.headers.SetStatusCode(httpmsg.HTTPStatusOfGRPC(status))
		if !bare {
			c.headers.Set(httpmsg.GRPCStatus, strconv.Itoa(status))
		}
	}
	if message := trailers.Get(httpmsg.GRPCMessage); message != "" && !bare {
		c.headers.Set(httpmsg.GRPCMessage, message)
	}
	f.removeTrailer()
	if !c.method.IsStreamingServer() {
		c.headers.Set(httpmsg.ContentLength, strconv.Itoa(length))
	}
	return true
}

// addBody adds what waits to the body.
func (f *filter) addBody() {
	if len(f.call.out) == 0 {
		return
	}
	var rest buffer.Buffer
	rest.Init(f.cb.Dispatcher().Buffers())
	f.release(&rest)
	f.cb.AddEncodedData(&rest, true)
}

// removeTrailer removes the list of trailers for clients that are not sent any.
func (f *filter) removeTrailer() {
	if f.cb.Stream().Version < httpmsg.HTTP2 {
		f.call.headers.RemoveName("trailer")
	}
}

// convertStatus makes the body of an error that has none from its status, if that is
// asked for.
func (f *filter) convertStatus(status int, trailers *httpmsg.Headers) bool {
	c := f.call
	if !c.cfg.convertStatus || c.hadBody || status == grpc.OK {
		return false
	}
	const details = "grpc-status-details-bin"
	encoded, _ := trailers.Find(details)
	bin, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		bin = nil
	}
	text, err := c.cfg.statusJSON(bin, status, grpc.DecodeMessage(trailers.Get(httpmsg.GRPCMessage)))
	if err != nil {
		return false
	}
	c.headers.SetStatusCode(httpmsg.HTTPStatusOfGRPC(status))
	if trailers == c.headers {
		trailers.Remove(httpmsg.GRPCStatus)
		trailers.Remove(httpmsg.GRPCMessage)
		trailers.RemoveName(details)
	}
	f.removeTrailer()
	c.headers.Set(httpmsg.ContentType, typeJSON)
	c.headers.Set(httpmsg.ContentLength, strconv.Itoa(len(text)))
	c.out = append(c.out[:0], text...)
	f.addBody()
	return true
}

// holdResponse says how many bytes of the response wait.
func (f *filter) holdResponse(n int) {
	r := &f.call.responseState
	if n != r.heldBack {
		f.stats.response.Add(f.cb.Dispatcher().Shard(), int64(n-r.heldBack))
		r.heldBack = n
	}
}
