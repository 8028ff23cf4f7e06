package asyncclient

import (
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"strconv"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/grpcclient"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
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
	// chain are the filters of the cluster, nil if it has none; filtered is what they see.
	chain    httpfilter.UpstreamChain
	filtered *streaminfo.Stream
	timers   [2]event.Timer // of the call's timeout and of the cluster's

	request, response httpmsg.Headers
	out               buffer.Buffer // what there was no stream for yet
	reader            reader

	full    bool      // the stream takes no more
	paused  int       // times that filters asked to wait
	held    bool      // the sender was told to wait
	ended   bool      // the last message was sent, at endedAt if there is a stream
	endedAt time.Time // zero until all of the request was given to the stream
	// answered says that a response began, complete that there is all of it, and
	// outcomeOpen that the host's statistics do not know yet how it went.
	answered, complete, outcomeOpen bool
	over                            bool
}

var (
	_ grpcclient.Call              = (*call)(nil)
	_ upstream.StreamPoolCallbacks = (*call)(nil)
	_ upstream.ResponseHandler     = (*call)(nil)
)

// Start implements grpcclient.Client.
func (c *client) Start(d event.Dispatcher, method string, o grpcclient.Options, r grpcclient.Receiver) grpcclient.Call {
	k := &call{client: c, d: d, receiver: r, pick: upstream.Pick{HTTP: true}, reader: reader{max: c.maxMessage}}
	k.out.Init(d.Buffers())
	k.reader.in.Init(d.Buffers())
	if k.cluster = c.clusters.Get(c.cluster); k.cluster == nil {
		k.finish(grpcclient.Unavailable, "Cluster not available")
		return k
	}
	k.prepare(method, &o)
	k.arm(0, o.Timeout, k.onTimeout)
	waiting := k.cluster.NewStream(d, &k.pick, k.newChain(), k)
	if k.stream == nil && !k.over {
		k.waiting = waiting
	}
	return k
}

func (k *call) arm(i int, after time.Duration, do func()) {
	if after > 0 {
		k.timers[i] = k.d.NewTimer(do)
		k.timers[i].Enable(after)
	}
}

// prepare makes the headers of the request: those that Envoy sends, in its order.
func (k *call) prepare(method string, o *grpcclient.Options) {
	c, h := k.client, &k.request
	k.pick.Request = h
	h.AddID(httpmsg.Method, "POST")
	h.AddID(httpmsg.Path, method)
	h.AddID(httpmsg.Authority, c.authority)
	h.AddID(httpmsg.Scheme, "http")
	h.AddID(httpmsg.TE, "trailers")
	if o.Timeout > 0 {
		h.AddID(httpmsg.GRPCTimeout, string(httpmsg.AppendGRPCTimeout(nil, o.Timeout)))
	}
	h.AddID(httpmsg.ContentType, "application/grpc")
	k.addMetadata(o.Parent)
	if c.forwardedFor != "" {
		h.AddID(httpmsg.XEnvoyInternal, "true")
		h.AddID(httpmsg.XForwardedFor, c.forwardedFor)
	}
	if o.Timeout > 0 {
		h.AddID(httpmsg.XEnvoyExpectedRQTimeoutMs, strconv.FormatInt(o.Timeout.Milliseconds(), 10))
	}
}

func (k *call) addMetadata(parent *streaminfo.Stream) {
	if len(k.client.metadata) == 0 {
		return
	}
	if parent == nil {
		parent = new(streaminfo.Stream)
	}
	entry := format.Entry{Stream: parent, Now: k.d.Now(), Shard: k.d.Shard()}
	for i := range k.client.metadata {
		m := &k.client.metadata[i]
		value := m.value.String(&k.request, &entry)
		switch {
		case value == "":
			continue
		case m.binary:
			value = base64.StdEncoding.EncodeToString([]byte(value))
		}
		k.request.Append(m.name, value)
	}
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
		k.encode()
	}
}

// encode sends what waits.
func (k *call) encode() {
	if k.ended {
		k.endedAt = k.d.Now()
	}
	k.stream.EncodeData(&k.out, k.ended)
}

// AboveHighWatermark implements grpcclient.Call.
func (k *call) AboveHighWatermark() bool {
	if k.over {
		return false
	}
	limit := k.cluster.Info().PerConnectionBufferLimit
	k.held = k.full || k.paused > 0 || limit > 0 && k.out.Len() > limit
	return k.held
}

// release tells who waits that more may be sent.
func (k *call) release() {
	if k.held && !k.over && !k.AboveHighWatermark() {
		k.receiver.OnSent()
	}
}

// Cancel implements grpcclient.Call.
func (k *call) Cancel() {
	if !k.over {
		k.close()
	}
}

// close ends what is under way.
func (k *call) close() {
	stream, waiting := k.stream, k.waiting
	k.over, k.stream, k.waiting = true, nil, nil
	for _, t := range k.timers {
		if t != nil {
			t.Disable()
		}
	}
	k.out.Drain(k.out.Len())
	k.reader.close()
	if waiting != nil {
		waiting.Cancel()
	}
	switch {
	case k.chain != nil:
		k.chain.Reset(httpmsg.ResetLocalReset) // and the stream, if that is under way
	case stream != nil && !(k.complete && k.ended):
		stream.Reset(httpmsg.ResetLocalReset)
	}
}

// finish ends the call and tells the receiver.
func (k *call) finish(code int, message string) {
	if !k.over {
		k.close()
		k.receiver.OnStatus(code, message)
	}
}

func (k *call) onTimeout() {
	k.cluster.Stats().UpstreamRqTimeout.Inc(k.d.Shard())
	if k.host != nil {
		k.host.RecordTimeout(k.d.Shard())
	}
	k.countFailure(504)
	k.finish(grpcclient.DeadlineExceeded, "upstream request timeout")
}

func (k *call) onMaxDuration() {
	k.cluster.Stats().UpstreamRqMaxDurationReached.Inc(k.d.Shard())
	k.finish(grpcclient.DeadlineExceeded, "upstream max stream duration reached")
}

// OnStreamReady implements upstream.StreamPoolCallbacks.
func (k *call) OnStreamReady(s upstream.RequestStream, host upstream.Host) {
	k.host, k.waiting = host, nil
	if k.chain != nil {
		upstream.DescribeHost(&k.filtered.Upstream, host)
		k.chain.Ready(s)
		s = k.chain
	}
	k.stream = s
	k.arm(1, k.cluster.Info().MaxStreamDuration, k.onMaxDuration)
	if err := s.EncodeHeaders(&k.request, false); err != nil {
		k.finish(grpcclient.Internal, err.Error())
		return
	}
	if k.out.Len() > 0 && !k.over {
		k.encode()
		k.release()
	}
}

// OnStreamFailure implements upstream.StreamPoolCallbacks.
func (k *call) OnStreamFailure(f upstream.PoolFailure, reason string, host upstream.Host) {
	k.host, k.waiting = host, nil
	k.countFailure(503)
	if f == upstream.NoHealthyHost {
		k.finish(grpcclient.Unavailable, "no healthy upstream")
		return
	}
	k.finish(grpcclient.Unavailable, resetText(f.ResetReason(), reason))
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
	h, status := &k.response, k.response.StatusCode()
	k.answered, k.complete = true, endStream
	k.countResponse(status, endStream)
	switch {
	case endStream && h.Has(httpmsg.GRPCStatus):
		k.finishAs(h)
	case status != 200:
		k.finish(httpmsg.GRPCStatusOfHTTP(status), "HTTP status "+strconv.Itoa(status))
	case endStream:
		k.finish(grpcclient.Unknown, "no status")
	}
}

// OnData implements upstream.ResponseHandler.
func (k *call) OnData(data *buffer.Buffer, endStream bool) {
	k.complete = endStream
	k.reader.in.Move(data)
	for !k.over {
		message, ok, err := k.reader.next()
		if err != nil {
			code := grpcclient.Internal
			if err == errTooLarge { //nolint:errorlint // it is one of ours, bare
				code = grpcclient.ResourceExhausted
			}
			k.countTime()
			k.finish(code, err.Error())
		}
		if !ok {
			break
		}
		k.receiver.OnMessage(message)
	}
	if endStream && !k.over {
		k.recordOutcome(500, false)
		k.countTime()
		k.finish(grpcclient.Unknown, "no status")
	}
}

// OnTrailers implements upstream.ResponseHandler.
func (k *call) OnTrailers(trailers *httpmsg.Headers) {
	k.complete = true
	if k.outcomeOpen {
		k.recordOutcome(grpcOutcome(trailers), false)
	}
	k.countTime()
	k.finishAs(trailers)
}

// finishAs ends the call with the status that the service sent.
func (k *call) finishAs(h *httpmsg.Headers) {
	code, ok := grpcStatus(h)
	if !ok {
		k.finish(grpcclient.Unknown, "invalid status")
		return
	}
	message := h.Get(httpmsg.GRPCMessage)
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	k.finish(code, message)
}

// OnReset implements upstream.ResponseHandler.
func (k *call) OnReset(reason httpmsg.ResetReason, transportFailure string) {
	status := 503
	if reason == httpmsg.ResetProtocolError {
		status = 502
	}
	k.stream = nil
	k.countFailure(status)
	k.finish(grpcclient.Unavailable, resetText(reason, transportFailure))
}

// OnWriteBufferHigh implements upstream.ResponseHandler.
func (k *call) OnWriteBufferHigh() {
	k.full = true
	k.cluster.Stats().UpstreamFlowControlBackedUpTotal.Inc(k.d.Shard())
}

// OnWriteBufferLow implements upstream.ResponseHandler.
func (k *call) OnWriteBufferLow() {
	k.full = false
	k.cluster.Stats().UpstreamFlowControlDrainedTotal.Inc(k.d.Shard())
	k.release()
}
