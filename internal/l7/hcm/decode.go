package hcm

import (
	"strings"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
	"github.com/nuncio-proxy/nuncio/internal/l7/filterchain"
)

// A decoder is what the codec calls for a request: the stream that serves it, which
// is another one once it was recreated.
type decoder struct{ *stream }

var _ codec.RequestDecoder = (*decoder)(nil)

// Meter implements codec.RequestDecoder.
func (d *decoder) Meter() *streaminfo.Meter { return &d.stream.info.DownstreamBytes }

// RequestHeaders implements codec.RequestDecoder.
func (s *stream) RequestHeaders() *httpmsg.Headers { return &s.requestHeaders }

// DecodeHeaders implements codec.RequestDecoder.
func (s *stream) DecodeHeaders(end bool) {
	if s.ended {
		return
	}
	s.touch()
	s.headersDone = true
	s.info.RxHeadersEnd = s.m.d.Now()
	s.disarmHeaders()
	if end {
		s.requestReceived()
	}
	s.info.Version = s.m.codec.Version()
	s.serve(end)
}

// serve takes the request, whose headers are complete, through the filters.
func (s *stream) serve(end bool) {
	s.request.Headers, s.request.Complete = &s.requestHeaders, end
	s.grpc = s.requestHeaders.IsGRPC()
	if !s.acceptRequest() {
		return
	}
	s.setUpFilters()
	if s.ended || s.request.Dead {
		return
	}
	s.request.ReceiveHeaders(&s.requestHeaders, end)
}

// DecodeData implements codec.RequestDecoder.
func (s *stream) DecodeData(data *buffer.Buffer, end bool) {
	if s.ended {
		return
	}
	s.touch()
	s.info.BytesReceived += uint64(data.Len())
	if end {
		s.requestReceived()
	}
	s.request.ReceiveData(data, end)
}

// DecodeTrailers implements codec.RequestDecoder.
func (s *stream) DecodeTrailers(trailers *httpmsg.Headers) {
	if s.ended {
		return
	}
	s.touch()
	s.requestReceived()
	s.request.ReceiveTrailers(trailers)
}

func (s *stream) requestReceived() {
	s.request.Complete = true
	s.info.LastRxByte = s.m.d.Now()
	if s.requestArmed {
		s.requestArmed = false
		s.requestTimer.Disable()
	}
}

// OnProtocolError implements codec.RequestDecoder.
func (s *stream) OnProtocolError(err *codec.Error) {
	if s.ended {
		return
	}
	s.info.Flags |= streaminfo.DownstreamProtocolError
	if s.headersSent {
		s.info.ResponseDetails = err.Detail
		return
	}
	s.m.endKeepAlive()
	s.request.Kill()
	if err.Status == 0 {
		s.info.ResponseDetails = err.Detail
		return
	}
	s.sendLocalReply(httpfilter.LocalReply{Status: err.Status, Body: err.Body, Details: err.Detail})
}

// OnReset implements codec.StreamCallbacks.
func (s *stream) OnReset(reason httpmsg.ResetReason) {
	if s.ended {
		return
	}
	if http2, ok := s.enc.(h2.Stream); ok {
		if reason == httpmsg.ResetProtocolError {
			s.info.Flags |= streaminfo.DownstreamProtocolError
		} else {
			s.info.Flags |= streaminfo.DownstreamRemoteReset
		}
		if details := http2.Details(); details != "" {
			s.info.ResponseDetails = details
		}
	}
	if s.info.ResponseDetails == "" {
		s.info.ResponseDetails = "codec_error:" + strings.ReplaceAll(reason.String(), " ", "_")
	}
	m := s.m
	s.finish()
	m.closeIfDone()
}

// OnWriteBufferHigh implements codec.StreamCallbacks.
func (s *stream) OnWriteBufferHigh() {
	s.downstreamHigh++
	for i := range s.filters {
		if w := s.filters[i].watermark; w != nil {
			w.OnDownstreamHigh()
		}
	}
}

// OnWriteBufferLow implements codec.StreamCallbacks.
func (s *stream) OnWriteBufferLow() {
	s.downstreamHigh--
	for i := range s.filters {
		if w := s.filters[i].watermark; w != nil {
			w.OnDownstreamLow()
		}
	}
}

// PauseSource implements filterchain.Owner: the source is the codec for the request, the
// terminal filter for the response.
func (s *stream) PauseSource(p *filterchain.Path, pause bool) {
	if s.ended {
		return
	}
	if !p.Response {
		if s.enc.ReadDisable(pause); pause {
			s.m.cfg.stats.flowPaused.Inc(s.m.shard)
		} else {
			s.m.cfg.stats.flowResumed.Inc(s.m.shard)
		}
		return
	}
	for i := range s.filters {
		w := s.filters[i].watermark
		switch {
		case w == nil:
		case pause:
			w.OnDownstreamHigh()
		default:
			w.OnDownstreamLow()
		}
	}
}
