package hcm

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// recreate runs the request through the filters once more, in a new stream, and ends
// this one: see RecreateStream of httpfilter.StreamCallbacks. f is the filter that
// asks, and holds the body.
func (s *stream) recreate(f *activeFilter, response *httpmsg.Headers) bool {
	held := f.HeldRequest()
	if s.ended || s.headersSent || !s.request.Complete {
		return false
	}
	if response != nil {
		s.response.Headers, s.info.ResponseCode = response, response.StatusCode()
	}
	var body buffer.Buffer
	body.Init(s.m.d.Buffers())
	if held != nil {
		body.Move(held)
	}
	if s.request.Paused > 0 {
		s.enc.ReadDisable(false)
	}
	m, enc, trailers := s.m, s.enc, s.request.Trailers
	s.continued = true
	s.finish()
	n := m.newStream()
	n.codecSide, s.codecSide = s.codecSide, n.codecSide
	n.codecSide.stream, s.codecSide.stream = n, s
	n.begin(m, enc)
	n.resumeFrom(s)
	n.serve(body.Len() == 0 && trailers == nil)
	if body.Len() > 0 {
		n.DecodeData(&body, trailers == nil)
	}
	body.Drain(body.Len())
	if trailers != nil {
		n.DecodeTrailers(trailers)
	}
	return true
}

// resumeFrom takes over what s knows of the client and its request. As in Envoy the
// address of the client is that of the connection again.
func (n *stream) resumeFrom(s *stream) {
	n.recreated, n.headersDone = true, true
	n.disarmHeaders()
	n.requestReceived()
	n.requestHeaders, s.requestHeaders = s.requestHeaders, n.requestHeaders
	n.downstreamHigh = s.downstreamHigh
	i := &n.info
	i.Start, i.RxHeadersEnd, i.LastRxByte = s.info.Start, s.info.RxHeadersEnd, s.info.LastRxByte
	i.Version, i.BytesReceived, i.DownstreamBytes = s.info.Version, s.info.BytesReceived, s.info.DownstreamBytes
	i.RequestID = s.info.RequestID
	for _, name := range s.info.RequestState {
		i.SetRequestState(name, s.info.FilterState[name])
	}
}
