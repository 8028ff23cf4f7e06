package connpool

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A stream is the one request of a client at a time; the next request has the same
// object. It passes the user's calls to the codec and the codec's to the user.
type stream struct {
	c       *client
	handler upstream.ResponseHandler
	encoder codec.RequestEncoder

	active       bool // the request counts
	requested    bool // the request is complete
	responded    bool // the response is complete
	lastResponse bool // the headers said that the connection ends
	malformed    bool // the response cannot be read
	connection   upstream.StreamConnection
}

var (
	_ upstream.RequestStream = (*stream)(nil)
	_ codec.ResponseDecoder  = (*stream)(nil)
)

// EncodeHeaders implements upstream.RequestStream.
func (s *stream) EncodeHeaders(h *httpmsg.Headers, endStream bool) error {
	if !s.active {
		return nil
	}
	s.requested = endStream
	if err := s.encoder.EncodeHeaders(h, endStream); err != nil {
		s.requested = false
		return err
	}
	s.send()
	return nil
}

// EncodeData implements upstream.RequestStream.
func (s *stream) EncodeData(data *buffer.Buffer, endStream bool) {
	if !s.active {
		data.Drain(data.Len())
		return
	}
	s.requested = endStream
	s.encoder.EncodeData(data, endStream)
	s.send()
}

// EncodeTrailers implements upstream.RequestStream.
func (s *stream) EncodeTrailers(trailers *httpmsg.Headers) {
	if !s.active {
		return
	}
	s.requested = true
	s.encoder.EncodeTrailers(trailers)
	s.send()
}

// send writes what the codec made.
func (s *stream) send() { s.c.conn.Write(&s.c.out, false) }

// Reset implements upstream.RequestStream.
func (s *stream) Reset(reason httpmsg.ResetReason) {
	if s.active {
		s.encoder.Reset(reason)
	}
}

// ReadDisable implements upstream.RequestStream.
func (s *stream) ReadDisable(disable bool) {
	if s.active {
		s.encoder.ReadDisable(disable)
	}
}

// Connection implements upstream.RequestStream.
func (s *stream) Connection() *upstream.StreamConnection { return &s.connection }

// Meter implements codec.ResponseDecoder.
func (s *stream) Meter() *streaminfo.Meter { return &s.connection.Meter }

// ResponseHeaders implements codec.ResponseDecoder.
func (s *stream) ResponseHeaders() *httpmsg.Headers { return s.handler.ResponseHeaders() }

// DecodeInterim implements codec.ResponseDecoder.
func (s *stream) DecodeInterim() { s.handler.OnInterim() }

// DecodeHeaders implements codec.ResponseDecoder.
func (s *stream) DecodeHeaders(endStream bool) {
	s.lastResponse, s.responded = !s.c.codec.Reusable(), endStream
	s.connection.Version = s.c.codec.Version()
	s.handler.OnHeaders(endStream)
}

// DecodeData implements codec.ResponseDecoder.
func (s *stream) DecodeData(data *buffer.Buffer, endStream bool) {
	s.responded = endStream
	s.handler.OnData(data, endStream)
}

// DecodeTrailers implements codec.ResponseDecoder.
func (s *stream) DecodeTrailers(trailers *httpmsg.Headers) {
	s.responded = true
	s.handler.OnTrailers(trailers)
}

// OnReset implements codec.StreamCallbacks.
func (s *stream) OnReset(reason httpmsg.ResetReason) {
	s.malformed = reason == httpmsg.ResetProtocolError
	s.handler.OnReset(reason, s.c.conn.TransportFailure())
}

// OnWriteBufferHigh implements codec.StreamCallbacks.
func (s *stream) OnWriteBufferHigh() { s.handler.OnWriteBufferHigh() }

// OnWriteBufferLow implements codec.StreamCallbacks.
func (s *stream) OnWriteBufferLow() { s.handler.OnWriteBufferLow() }
