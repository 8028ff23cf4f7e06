package asyncclient

import (
	"encoding/binary"
	"strconv"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/grpcclient"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// A call is one call of a client, on its worker.
type call struct {
	client   *client
	d        event.Dispatcher
	receiver grpcclient.Receiver
	cluster  upstream.Cluster
	pick     upstream.Pick
	waiting  upstream.Cancel // for a stream; nil when there is one
	stream   upstream.RequestStream
	host     upstream.Host
	timer    event.Timer // nil without a timeout
	began    time.Time

	request, response httpmsg.Headers
	out               buffer.Buffer // what there was no stream for yet
	in                buffer.Buffer // the beginning of a message
	message           []byte
	full              bool // the stream takes no more
	ended             bool // the last message was sent
	over              bool
}

var (
	_ grpcclient.Call              = (*call)(nil)
	_ upstream.StreamPoolCallbacks = (*call)(nil)
	_ upstream.ResponseHandler     = (*call)(nil)
)

// headerSize is the length of what precedes each message: flags, and its length.
const headerSize = 5

// Start implements grpcclient.Client.
func (c *client) Start(d event.Dispatcher, method string, parent *streaminfo.Stream, r grpcclient.Receiver) grpcclient.Call {
	k := &call{client: c, d: d, receiver: r, began: d.Now(), pick: upstream.Pick{HTTP: true}}
	k.out.Init(d.Buffers())
	k.in.Init(d.Buffers())
	if k.cluster = c.clusters.Get(c.cluster); k.cluster == nil {
		k.finish(grpcclient.Unavailable, "Cluster not available")
		return k
	}
	k.prepare(method, parent)
	if c.timeout > 0 {
		k.timer = d.NewTimer(func() { k.fail(grpcclient.DeadlineExceeded, "upstream request timeout") })
		k.timer.Enable(c.timeout)
	}
	waiting := k.cluster.NewStream(d, &k.pick, k, k)
	if k.stream == nil && !k.over {
		k.waiting = waiting
	}
	return k
}

// prepare makes the headers of the request.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
func (k *call) prepare(method string, parent *streaminfo.Stream) {
	c, h := k.client, &k.request
	h.AddID(httpmsg.Method, "POST")
	h.AddID(httpmsg.Path, method)
	h.AddID(httpmsg.Scheme, "http")
	h.AddID(httpmsg.Authority, c.authority)
	h.AddID(httpmsg.TE, "trailers")
	if c.timeout > 0 {
		h.AddID(httpmsg.GRPCTimeout, strconv.FormatInt(c.timeout.Milliseconds(), 10)+"m")
	}
	h.AddID(httpmsg.ContentType, "application/grpc")
	if len(c.metadata) == 0 {
		return
	}
	if parent == nil {
		parent = new(streaminfo.Stream)
	}
	entry := format.Entry{Stream: parent, Now: k.d.Now(), Shard: k.d.Shard()}
	for _, m := range c.metadata {
		h.Add(m.name, string(m.value.Append(nil, &entry)))
	}
	k.pick.Request = h
}

// Send implements grpcclient.Call.
func (k *call) Send(message []byte, end bool) {
	if k.over || k.ended {
		return
	}
	k.ended = end
	var header [headerSize]byte
	binary.BigEndian.PutUint32(header[1:], uint32(len(message)))
	k.out.Append(header[:])
	k.out.Append(message)
	if k.stream != nil {
		k.stream.EncodeData(&k.out, end)
	}
}

// AboveHighWatermark implements grpcclient.Call.
func (k *call) AboveHighWatermark() bool {
	limit := 0
	if k.cluster != nil {
		limit = k.cluster.Info().PerConnectionBufferLimit
	}
	return !k.over && (k.full || limit > 0 && k.out.Len() > limit)
}

// Cancel implements grpcclient.Call.
func (k *call) Cancel() {
	if !k.over {
		k.abort()
		k.close()
	}
}

// abort gives up what is under way upstream.
func (k *call) abort() {
	switch {
	case k.stream != nil:
		k.stream.Reset(httpmsg.ResetLocalReset)
	case k.waiting != nil:
		k.waiting.Cancel()
	}
}

func (k *call) close() {
	k.over = true
	if k.timer != nil {
		k.timer.Disable()
	}
	k.out.Drain(k.out.Len())
	k.in.Drain(k.in.Len())
	k.stream, k.waiting = nil, nil
}

// finish tells the receiver that the call is over.
func (k *call) finish(code int, message string) {
	if !k.over {
		k.close()
		k.receiver.OnStatus(code, message)
	}
}

// fail gives up and finishes.
func (k *call) fail(code int, message string) {
	if !k.over {
		k.abort()
		k.finish(code, message)
	}
}

// OnStreamReady implements upstream.StreamPoolCallbacks.
func (k *call) OnStreamReady(s upstream.RequestStream, host upstream.Host) {
	k.stream, k.host, k.waiting = s, host, nil
	if err := s.EncodeHeaders(&k.request, false); err != nil {
		k.fail(grpcclient.Internal, err.Error())
		return
	}
	if waited := k.out.Len() > 0; waited && !k.over {
		s.EncodeData(&k.out, k.ended)
		if !k.over {
			k.receiver.OnSent()
		}
	}
}

// OnStreamFailure implements upstream.StreamPoolCallbacks.
func (k *call) OnStreamFailure(f upstream.PoolFailure, reason string, host upstream.Host) {
	k.host = host
	k.count(503)
	text := "upstream connect error or disconnect/reset before headers"
	if f == upstream.NoHealthyHost {
		text = "no healthy upstream"
	}
	if reason != "" {
		text += ". reset reason: " + reason
	}
	k.finish(grpcclient.Unavailable, text)
}

// count counts the response as the router does.
func (k *call) count(status int) {
	k.cluster.Stats().Responses.Record(k.d.Shard(), status)
	if k.host != nil {
		k.host.RecordResponse(k.d.Shard(), status, false)
	}
}

// ResponseHeaders implements upstream.ResponseHandler.
func (k *call) ResponseHeaders() *httpmsg.Headers {
	k.response.Reset()
	return &k.response
}

// OnInterim implements upstream.ResponseHandler.
func (k *call) OnInterim() {}

// OnHeaders implements upstream.ResponseHandler.
func (k *call) OnHeaders(endStream bool) {
	status := k.response.StatusCode()
	k.count(status)
	switch {
	case k.response.Has(httpmsg.GRPCStatus) && endStream:
		k.onTrailers(&k.response)
	case status != 200:
		k.fail(fromHTTP(status), "HTTP status "+strconv.Itoa(status))
	case endStream:
		k.fail(grpcclient.Unknown, "no status")
	}
}

// OnData implements upstream.ResponseHandler.
func (k *call) OnData(data *buffer.Buffer, endStream bool) {
	k.in.Move(data)
	for !k.over && k.in.Len() >= headerSize {
		var header [headerSize]byte
		if !k.receive(header[:]) {
			break
		}
	}
	if endStream {
		k.fail(grpcclient.Unknown, "no status")
	}
}

// receive hands the receiver the first message, and reports false if it is not
// complete.
func (k *call) receive(header []byte) bool {
	peekInto(header, &k.in)
	n := int(binary.BigEndian.Uint32(header[1:]))
	switch {
	case header[0] != 0:
		k.fail(grpcclient.Internal, "compressed message")
		return false
	case n > k.client.maxMessage:
		k.fail(grpcclient.ResourceExhausted, "message is too large")
		return false
	case k.in.Len() < headerSize+n:
		return false
	}
	k.in.Drain(headerSize)
	if front := k.in.Front(); len(front) >= n {
		k.receiver.OnMessage(front[:n])
	} else {
		k.message = appendFirst(k.message[:0], &k.in, n)
		k.receiver.OnMessage(k.message)
	}
	if k.over {
		return false
	}
	k.in.Drain(n)
	return true
}

// peekInto copies the first bytes of b, which has them, to p.
func peekInto(p []byte, b *buffer.Buffer) { appendFirst(p[:0], b, len(p)) }

// appendFirst appends the first n bytes of b, which has them, to dst.
func appendFirst(dst []byte, b *buffer.Buffer, n int) []byte {
	var room [16][]byte
	if front := b.Front(); len(front) >= n {
		return append(dst, front[:n]...)
	}
	for _, s := range b.Slices(room[:0], b.Len()) {
		s = s[:min(len(s), n)]
		dst, n = append(dst, s...), n-len(s)
		if n == 0 {
			break
		}
	}
	return dst
}

// OnTrailers implements upstream.ResponseHandler.
func (k *call) OnTrailers(trailers *httpmsg.Headers) { k.onTrailers(trailers) }

func (k *call) onTrailers(h *httpmsg.Headers) {
	k.cluster.Stats().Responses.RecordTime(k.d.Shard(), uint64(k.d.Now().Sub(k.began).Milliseconds()))
	code, err := strconv.Atoi(h.Get(httpmsg.GRPCStatus))
	if err != nil || code < 0 {
		k.fail(grpcclient.Unknown, "invalid status")
		return
	}
	if !k.ended && k.stream != nil {
		k.stream.Reset(httpmsg.ResetLocalReset) // nobody reads the rest
	}
	k.finish(code, h.Get(httpmsg.GRPCMessage))
}

// OnReset implements upstream.ResponseHandler.
func (k *call) OnReset(reason httpmsg.ResetReason, transportFailure string) {
	text := "upstream connect error or disconnect/reset before headers. reset reason: " + reason.String()
	if transportFailure != "" {
		text += ", transport failure reason: " + transportFailure
	}
	k.stream = nil
	k.finish(grpcclient.Unavailable, text)
}

// OnWriteBufferHigh implements upstream.ResponseHandler.
func (k *call) OnWriteBufferHigh() { k.full = true }

// OnWriteBufferLow implements upstream.ResponseHandler.
func (k *call) OnWriteBufferLow() {
	k.full = false
	if !k.over {
		k.receiver.OnSent()
	}
}

// fromHTTP is the code that stands for an HTTP status without a gRPC one.
// https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
func fromHTTP(status int) int {
	switch status {
	case 400:
		return grpcclient.Internal
	case 401:
		return 16
	case 403:
		return 7
	case 404:
		return 12
	case 429, 502, 503, 504:
		return grpcclient.Unavailable
	}
	return grpcclient.Unknown
}
