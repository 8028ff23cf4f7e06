package fault

import (
	"math"
	"strconv"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A filter is the filter of one stream.
type filter struct {
	httpfilter.PassResponseBody
	cfg     *config
	cb      httpfilter.Callbacks
	timer   event.Timer // of the delay; made when first needed
	limiter *limiter    // made when first needed

	// Of the stream: what is used; the downstream cluster, "" if it does not count; an
	// active fault was counted; the request waits; the response is slowed down.
	used     *settings
	cluster  string
	active   bool
	delaying bool
	limiting bool
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.EncoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

func newFilter(cfg *config, cb httpfilter.Callbacks) *filter {
	return &filter{cfg: cfg, cb: cb, used: cfg.settings}
}

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	if r := f.cb.Route(); r != nil {
		if s, ok := r.FilterConfig(f.cb.Name()).(*settings); ok {
			f.used = s
		}
	}
	if !f.used.matches(h, f.cb) {
		return httpfilter.Continue
	}
	if f.used.perCluster {
		f.cluster = h.Get(httpmsg.XEnvoyDownstreamServiceCluster)
	}
	snapshot := f.cfg.runtime.Snapshot()
	f.limit(h, snapshot)
	if f.delay(h, snapshot) || f.abort(h, snapshot) {
		return httpfilter.StopIteration
	}
	return httpfilter.Continue
}

// matches reports whether faults are for this request.
func (s *settings) matches(h *httpmsg.Headers, cb httpfilter.Callbacks) bool {
	if s.cluster != "" && s.cluster != cluster(h, cb) {
		return false
	}
	if s.nodes != nil && !s.nodes[h.Get(httpmsg.XEnvoyDownstreamServiceNode)] {
		return false
	}
	for _, m := range s.headers {
		if !m.MatchHeaders(h) {
			return false
		}
	}
	return true
}

// cluster returns the name of the cluster that the request goes to, "" for none.
func cluster(h *httpmsg.Headers, cb httpfilter.Callbacks) string {
	if r := cb.Route(); r != nil && r.Forward != nil {
		return r.Forward.ClusterName(h, cb.Stream(), cb.StreamID())
	}
	return ""
}

// key returns a runtime key, or the one of the downstream cluster.
func (f *filter) key(key, suffix string) string {
	if f.cluster == "" {
		return key
	}
	return "fault.http." + f.cluster + "." + suffix
}

// enabled draws whether the request belongs to the share.
func (f *filter) enabled(s *share, key string, h *httpmsg.Headers, snapshot runtimeconf.Snapshot) bool {
	numerator := s.numerator
	if n, ok := number(h, s.header); ok {
		numerator = min(n, numerator)
	}
	fraction := runtimeconf.Fraction{Key: key, Millionths: uint32(min(numerator*s.unit, 1_000_000))}
	return fraction.Enabled(snapshot, f.cb.Dispatcher().Random())
}

// number returns the number in the first header with that name, "" for none.
func number(h *httpmsg.Headers, name string) (n uint64, ok bool) {
	if name == "" {
		return 0, false
	}
	text, ok := h.Find(name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

// begin counts an active fault, one for all faults of the stream.
func (f *filter) begin(snapshot runtimeconf.Snapshot) bool {
	if !f.active {
		f.active = f.cfg.stats.begin(f.cb.Dispatcher().Shard(), snapshot.Integer(f.used.keys.maxActive, f.used.maxActive))
	}
	return f.active
}

// limit slows the response down, if so configured.
func (f *filter) limit(h *httpmsg.Headers, snapshot runtimeconf.Snapshot) {
	rate := f.used.rate
	if rate == nil {
		return
	}
	kbps := rate.kbps
	if rate.header != "" {
		kbps, _ = number(h, "x-envoy-fault-throughput-response")
	}
	if kbps == 0 || !f.enabled(&rate.share, f.used.keys.ratePercent, h, snapshot) || !f.begin(snapshot) {
		return
	}
	f.cfg.stats.responseRLInjected.Inc(f.cb.Dispatcher().Shard())
	if f.limiter == nil {
		f.limiter = newLimiter(f.cb)
	}
	f.limiter.start(kbps)
	f.limiting = true
}

// delay makes the request wait, and reports whether it does.
func (f *filter) delay(h *httpmsg.Headers, snapshot runtimeconf.Snapshot) bool {
	delay := f.used.delay
	if delay == nil || !f.enabled(&delay.share, f.key(f.used.keys.delayPercent, "delay.fixed_delay_percent"), h, snapshot) {
		return false
	}
	ms := uint64(delay.fixed / time.Millisecond)
	if delay.header != "" {
		var ok bool
		if ms, ok = number(h, "x-envoy-fault-delay-request"); !ok {
			return false
		}
	}
	ms = snapshot.Integer(f.used.keys.delayDuration, ms)
	if f.cluster != "" {
		ms = snapshot.Integer(f.key("", "delay.fixed_duration_ms"), ms)
	}
	if ms == 0 || !f.begin(snapshot) {
		return false
	}
	d := f.cb.Dispatcher()
	f.cfg.stats.delaysInjected.Inc(d.Shard())
	if st := f.clusterStats(); st != nil {
		st.delaysInjected.Inc(d.Shard())
	}
	f.mark(streaminfo.DelayInjected)
	if f.timer == nil {
		f.timer = d.NewTimer(f.onDelayed)
	}
	f.delaying = true
	f.timer.Enable(time.Duration(min(ms, math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond)
	return true
}

// mark notes a fault for the access log.
func (f *filter) mark(flag streaminfo.Flags) {
	f.cb.Stream().Flags |= flag
	f.cb.Stream().SetMetadata(f.cb.Name(), f.used.metadata)
}

func (f *filter) clusterStats() *clusterStats {
	if f.cluster == "" {
		return nil
	}
	return f.cfg.stats.cluster(f.cluster)
}

// onDelayed goes on after the delay.
func (f *filter) onDelayed() {
	f.delaying = false
	if !f.abort(f.cb.RequestHeaders(), f.cfg.runtime.Snapshot()) {
		f.cb.ContinueDecoding()
	}
}

// abort answers the request, and reports whether it did.
func (f *filter) abort(h *httpmsg.Headers, snapshot runtimeconf.Snapshot) bool {
	abort := f.used.abort
	if abort == nil || !f.enabled(&abort.share, f.key(f.used.keys.abortPercent, "abort.abort_percent"), h, snapshot) {
		return false
	}
	reply := httpfilter.LocalReply{Body: abort.body, Details: "fault_filter_abort"}
	if status, ok := f.httpStatus(h, snapshot); ok {
		reply.Status = status
	} else if status, ok := f.grpcStatus(h, snapshot); ok {
		reply.Status, reply.GRPCStatus, reply.HasGRPCStatus = 200, status, true
	} else {
		return false
	}
	if !f.begin(snapshot) {
		return false
	}
	shard := f.cb.Dispatcher().Shard()
	f.cfg.stats.abortsInjected.Inc(shard)
	if st := f.clusterStats(); st != nil {
		st.abortsInjected.Inc(shard)
	}
	f.mark(streaminfo.FaultInjected)
	f.cb.SendLocalReply(reply)
	return true
}

// httpStatus returns the status of an abort. What the runtime says counts if it fits
// into a response.
func (f *filter) httpStatus(h *httpmsg.Headers, snapshot runtimeconf.Snapshot) (status int, ok bool) {
	abort := f.used.abort
	code, ok := uint64(abort.http), abort.hasHTTP
	if abort.header != "" {
		code, ok = number(h, "x-envoy-fault-abort-request")
		ok = ok && code >= 200 && code < 600
	}
	if !ok {
		return 0, false
	}
	given := snapshot.Integer(f.used.keys.abortHTTP, code)
	if f.cluster != "" {
		given = snapshot.Integer(f.key("", "abort.http_status"), given)
	}
	if given >= 200 && given <= 999 {
		code = given
	}
	return int(code), true
}

func (f *filter) grpcStatus(h *httpmsg.Headers, snapshot runtimeconf.Snapshot) (status int, ok bool) {
	abort := f.used.abort
	code, ok := uint64(abort.grpc), abort.hasGRPC
	if abort.header != "" {
		code, ok = number(h, "x-envoy-fault-abort-grpc-request")
	}
	if !ok {
		return 0, false
	}
	code = snapshot.Integer(f.used.keys.abortGRPC, code)
	if f.cluster != "" {
		code = snapshot.Integer(f.key("", "abort.grpc_status"), code)
	}
	return int(min(code, math.MaxInt32)), true
}

// DecodeData implements httpfilter.DecoderFilter.
func (f *filter) DecodeData(*buffer.Buffer, bool) httpfilter.DataStatus {
	if f.delaying {
		return httpfilter.DataStopAndWatermark
	}
	return httpfilter.DataContinue
}

// DecodeTrailers implements httpfilter.DecoderFilter.
func (f *filter) DecodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	if f.delaying {
		return httpfilter.TrailersStop
	}
	return httpfilter.TrailersContinue
}

// EncodeHeaders implements httpfilter.EncoderFilter.
func (f *filter) EncodeHeaders(*httpmsg.Headers, bool) httpfilter.HeadersStatus {
	return httpfilter.Continue
}

// EncodeData implements httpfilter.EncoderFilter.
func (f *filter) EncodeData(data *buffer.Buffer, endStream bool) httpfilter.DataStatus {
	if !f.limiting {
		return httpfilter.DataContinue
	}
	f.limiter.write(data, endStream)
	return httpfilter.DataStopNoBuffer
}

// EncodeTrailers implements httpfilter.EncoderFilter.
func (f *filter) EncodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	if f.limiting && f.limiter.holdTrailers() {
		return httpfilter.TrailersStop
	}
	return httpfilter.TrailersContinue
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {
	if f.delaying {
		f.timer.Disable()
	}
	if f.limiting {
		f.limiter.stop()
	}
	if f.active {
		f.cfg.stats.end(f.cb.Dispatcher().Shard())
	}
}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() {
	f.used, f.cluster = f.cfg.settings, ""
	f.active, f.delaying, f.limiting = false, false, false
}
