package grpcstats

import (
	"strings"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
)

// A kind is the protocol of a call.
type kind uint8

const (
	other         kind = iota
	grpcCall           // any gRPC call
	connectUnary       // a Connect call with one message each way
	connectStream      // a Connect call with frames
)

// A filter is the filter of one stream.
type filter struct {
	cfg *settings
	cb  httpfilter.Callbacks

	// Of the stream.
	kind         kind
	grpcResponse bool
	calls        *upstream.GRPCCalls // nil if the call is not counted
	requests     grpc.Counter
	responses    responseCounter
	messages     *Messages // nil until there were messages
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.EncoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	if f.kind = kindOf(h); f.kind == other {
		return httpfilter.Continue
	}
	if f.calls = f.findCalls(h); f.calls == nil && !f.cfg.emitFilterState {
		f.kind = other // nobody wants to know
	}
	return httpfilter.Continue
}

func kindOf(h *httpmsg.Headers) kind {
	if grpc.IsRequest(h) {
		return grpcCall
	}
	if strings.HasPrefix(h.Get(httpmsg.ContentType), "application/connect+") {
		return connectStream
	}
	if _, ok := h.Find("connect-protocol-version"); ok {
		return connectUnary
	}
	return other
}

// findCalls returns where to count the call, nil for nowhere.
func (f *filter) findCalls(h *httpmsg.Headers) *upstream.GRPCCalls {
	service, name, ok := grpc.ServiceAndMethod(h.Get(httpmsg.Path))
	if !ok {
		return nil
	}
	cluster := grpc.Cluster(h, f.cb, f.cfg.clusters)
	if cluster == nil {
		return nil
	}
	prefix := allPrefix
	if f.cfg.allMethods {
		if f.cfg.replaceDots {
			service = undotted(service)
		}
		prefix = h.Take(appendPrefix(h.Room(), service, name))
	} else if own, ok := f.cfg.listed[method{service, name}]; ok {
		prefix = own
	}
	return cluster.Stats().GRPC.Get(prefix)
}

// DecodeData implements httpfilter.DecoderFilter.
func (f *filter) DecodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	switch {
	case f.kind == connectUnary && endStream:
		f.countRequests(1, 1)
	case f.kind == grpcCall || f.kind == connectStream:
		f.countRequests(f.requests.Count(data), f.requests.Frames)
	}
	return httpfilter.DataContinue
}

func (f *filter) countRequests(more, all int) {
	if more == 0 {
		return
	}
	if f.calls != nil {
		f.calls.AddRequestMessages(f.cb.Dispatcher().Shard(), more)
	}
	if m := f.filterState(); m != nil {
		m.Requests = all
	}
}

// DecodeTrailers implements httpfilter.DecoderFilter.
func (f *filter) DecodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	return httpfilter.TrailersContinue
}

// EncodeInterim implements httpfilter.EncoderFilter.
func (f *filter) EncodeInterim(*httpmsg.Headers) httpfilter.HeadersStatus { return httpfilter.Continue }

// EncodeHeaders implements httpfilter.EncoderFilter.
func (f *filter) EncodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	if f.kind == other {
		return httpfilter.Continue
	}
	f.grpcResponse = grpc.IsResponse(h, endStream)
	switch {
	case f.calls == nil:
	case f.kind == connectUnary:
		f.calls.RecordResult(f.cb.Dispatcher().Shard(), h.StatusCode() == 200)
	default:
		f.recordStatus(h)
	}
	if endStream {
		f.recordTime()
	}
	return httpfilter.Continue
}

// EncodeData implements httpfilter.EncoderFilter.
func (f *filter) EncodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	switch {
	case f.grpcResponse || f.kind == connectStream:
		f.countResponses(f.responses.count(data), f.responses.frames)
		if f.kind != connectStream || f.grpcResponse || !endStream {
			break
		}
		if f.calls != nil {
			f.calls.RecordResult(f.cb.Dispatcher().Shard(), f.responses.success())
		}
		f.recordTime()
	case f.kind == connectUnary && endStream:
		f.countResponses(1, 1)
		f.recordTime()
	}
	return httpfilter.DataContinue
}

func (f *filter) countResponses(more, all int) {
	if more == 0 {
		return
	}
	if f.calls != nil {
		f.calls.AddResponseMessages(f.cb.Dispatcher().Shard(), more)
	}
	if m := f.filterState(); m != nil {
		m.Responses = all
	}
}

// EncodeTrailers implements httpfilter.EncoderFilter.
func (f *filter) EncodeTrailers(trailers *httpmsg.Headers) httpfilter.TrailersStatus {
	if f.kind == grpcCall && f.calls != nil {
		f.recordStatus(trailers)
		f.recordTime()
	}
	return httpfilter.TrailersContinue
}

func (f *filter) recordStatus(h *httpmsg.Headers) {
	if h.Has(httpmsg.GRPCStatus) {
		f.calls.RecordStatus(f.cb.Dispatcher().Shard(), h.Get(httpmsg.GRPCStatus))
	}
}

// recordTime records the time between the last byte of the request and that of the
// response, if both went.
func (f *filter) recordTime() {
	up := &f.cb.Stream().Upstream
	if f.calls == nil || !f.cfg.upstreamStats || up.LastTxByte.IsZero() || up.LastRxByte.IsZero() {
		return
	}
	f.calls.RecordTime(f.cb.Dispatcher().Shard(), uint64(max(up.LastRxByte.Sub(up.LastTxByte).Milliseconds(), 0)))
}

// filterState returns what is shared with access logs, nil if nothing is.
func (f *filter) filterState() *Messages {
	if f.messages == nil && f.cfg.emitFilterState {
		f.messages = new(Messages)
		f.cb.Stream().SetFilterState("envoy.filters.http.grpc_stats", f.messages)
	}
	return f.messages
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() { *f = filter{cfg: f.cfg, cb: f.cb} }
