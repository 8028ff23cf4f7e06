package router

import (
	"slices"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A shadow sends a copy of a request to another cluster and drops the answer. It is
// the stream of a router of its own, which counts and times out as any. It gets the
// request while that arrives; afterwards it goes on alone.
type shadow struct {
	// Callbacks is nil: of its methods a router without redirects calls those that are
	// defined here.
	httpfilter.Callbacks

	// of is the filter whose request is copied, nil once that was sent as a whole.
	of       *filter
	d        event.Dispatcher
	id       uint64
	limit    int // of the request's body
	router   *filter
	route    route.Route
	forward  route.Forward
	info     streaminfo.Stream
	client   streaminfo.Connection // nobody
	headers  httpmsg.Headers
	trailers httpmsg.Headers
	copied   buffer.Buffer // scratch: a piece of the body
	kept     buffer.Buffer // the body, as long as it may be sent again
	paused   int           // how often the source of the request is stopped for this
	ended    bool
}

// shadowHeaders returns the headers that shadows get, nil if there are no shadows.
func (f *filter) shadowHeaders() *httpmsg.Headers {
	if len(f.policies.Mirrors) == 0 || f.headers.Get(httpmsg.Method) == "CONNECT" {
		return nil
	}
	h := new(httpmsg.Headers)
	h.CopyFrom(f.headers)
	return h
}

// startShadows begins to mirror the request with headers h, which may be nil.
func (f *filter) startShadows(h *httpmsg.Headers, endStream bool) {
	if h == nil || f.over {
		return
	}
	for i := range f.policies.Mirrors {
		m := &f.policies.Mirrors[i]
		if m.Fraction != nil && !m.Fraction.Enabled(f.cfg.runtime.Snapshot(), f.cb.StreamID()) {
			continue
		}
		name := m.Cluster
		if name == "" {
			name, _ = f.headers.Find(m.ClusterHeader)
		}
		if name == "" || f.cfg.clusters.Get(name) == nil {
			f.cfg.log.Debugf("request is not mirrored: no cluster %q", name)
			continue
		}
		if slices.Contains(f.copiedTo, name) {
			f.cfg.log.Debugf("copy of a request is not mirrored: it comes from cluster %q", name)
			continue
		}
		s := f.newShadow(m, name, h)
		if !endStream {
			f.shadows = append(f.shadows, s)
		}
		s.router.DecodeHeaders(&s.headers, endStream)
	}
}

func (f *filter) newShadow(m *route.Mirror, cluster string, h *httpmsg.Headers) *shadow {
	s := &shadow{
		of: f, d: f.d, id: f.d.Random(), limit: f.cb.DecoderBufferLimit(),
		forward: route.Forward{Cluster: cluster, Timeout: f.timeouts.response, Request: unchanged{}},
		info:    streaminfo.Stream{Start: f.d.Now(), Version: httpmsg.HTTP11, HasVersion: true, RequestID: f.info.RequestID},
	}
	s.copied.Init(f.d.Buffers())
	s.kept.Init(f.d.Buffers())
	s.route.Forward, s.info.Downstream = &s.forward, &s.client
	s.headers.CopyFrom(h)
	if m.Request != nil {
		e := f.entry
		e.Request = &s.headers
		m.Request.MutateHeaders(&s.headers, &e)
	}
	switch {
	case m.HostRewrite != "":
		s.headers.Set(httpmsg.Authority, m.HostRewrite)
	case !m.KeepHost:
		s.headers.Set(httpmsg.Authority, shadowHost(s.headers.Get(httpmsg.Authority)))
	}
	s.headers.Set(httpmsg.XEnvoyInternal, "true")
	if own := f.cfg.forwardedFor; own != "" {
		list, found := s.headers.Joined(httpmsg.XForwardedFor.String())
		if found && list != "" {
			own = list + "," + own
		}
		s.headers.Set(httpmsg.XForwardedFor, own)
	}
	s.router = newFilter(f.cfg.shadow, s)
	s.router.copiedTo = append(slices.Clip(f.copiedTo), cluster)
	return s
}

// shadowHost appends -shadow to a host, before its port.
func shadowHost(host string) string {
	name, port, found := strings.Cut(host, ":")
	if !found || name == "" || port == "" || strings.Contains(port, ":") {
		return host + "-shadow"
	}
	return name + "-shadow:" + port
}

// unchanged is a RequestRewrite that does nothing.
type unchanged struct{}

// RewriteRequest implements route.RequestRewrite.
func (unchanged) RewriteRequest(*httpmsg.Headers, *format.Entry, bool) {}

// --- the request, as it arrives -----------------------------------------------------

func (f *filter) shadowData(data *buffer.Buffer, endStream bool) {
	for _, s := range f.shadows {
		if s.ended {
			continue
		}
		s.copied.AppendCopy(data)
		if s.router.DecodeData(&s.copied, endStream) == httpfilter.DataStopAndBuffer {
			s.kept.Move(&s.copied)
		}
		s.copied.Reset()
	}
}

func (f *filter) shadowTrailers(trailers *httpmsg.Headers) {
	for _, s := range f.shadows {
		if !s.ended {
			s.trailers.CopyFrom(trailers)
			s.router.DecodeTrailers(&s.trailers)
		}
	}
}

// leaveShadows lets the shadows go on alone.
func (f *filter) leaveShadows() {
	for _, s := range f.shadows {
		for s.paused > 0 {
			s.RequestLow()
		}
		s.of = nil
	}
	f.shadows = nil
}

// cancelShadows ends the shadows whose request will never be complete.
func (f *filter) cancelShadows() {
	for _, s := range f.shadows {
		s.end()
		s.of = nil
	}
	f.shadows = nil
}

func (s *shadow) end() {
	if !s.ended {
		s.ended = true
		s.kept.Reset()
		s.router.OnDestroy()
	}
}

// --- httpfilter.Callbacks -----------------------------------------------------------

// Dispatcher implements httpfilter.Callbacks, as do the methods that follow.
func (s *shadow) Dispatcher() event.Dispatcher { return s.d }

// StreamID returns a random number.
func (s *shadow) StreamID() uint64 { return s.id }

// Stream returns the stream info, of which only upstream logs know.
func (s *shadow) Stream() *streaminfo.Stream { return &s.info }

// Route returns a route to the cluster of the shadow.
func (s *shadow) Route() *route.Route { return &s.route }

// DecoderBufferLimit returns the limit of the request.
func (s *shadow) DecoderBufferLimit() int { return s.limit }

// DecodingBuffer returns what is kept of the request for retries, which the cluster may
// want.
func (s *shadow) DecodingBuffer() *buffer.Buffer { return &s.kept }

// RequestHigh stops the source of the request.
func (s *shadow) RequestHigh() {
	if s.of != nil {
		s.paused++
		s.of.cb.RequestHigh()
	}
}

// RequestLow lets it go on.
func (s *shadow) RequestLow() {
	if s.of != nil && s.paused > 0 {
		s.paused--
		s.of.cb.RequestLow()
	}
}

// WatchDownstream does nothing: nobody reads the response.
func (s *shadow) WatchDownstream(httpfilter.WatermarkCallbacks) {}

// EncodeInterim drops a response.
func (s *shadow) EncodeInterim(*httpmsg.Headers) {}

// StartResponse drops a response.
func (s *shadow) StartResponse(_ *httpmsg.Headers, endStream bool, _ string) {
	if endStream {
		s.end()
	}
}

// SendResponseData drops a piece of it.
func (s *shadow) SendResponseData(data *buffer.Buffer, endStream bool) {
	data.Drain(data.Len())
	if endStream {
		s.end()
	}
}

// SendResponseTrailers drops its end.
func (s *shadow) SendResponseTrailers(*httpmsg.Headers) { s.end() }

// SendLocalReply drops the answer of the router.
func (s *shadow) SendLocalReply(httpfilter.LocalReply) { s.end() }
