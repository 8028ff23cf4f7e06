package connpool

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A stream is one request on a connection. It passes the user's calls to the codec
// and the codec's to the user.
type stream struct {
	c       *client
	handler upstream.ResponseHandler
	encoder codec.RequestEncoder

	active     bool // the request counts
	requested  bool // the request is complete
	responded  bool // the response is complete
	connection upstream.StreamConnection
}

var (
	_ upstream.RequestStream = (*stream)(nil)
	_ codec.ResponseDecoder  = (*stream)(nil)
)

// init makes the latest request of c out of an empty stream, in place: it is large.
func (s *stream) init(c *client, h upstream.ResponseHandler, v httpmsg.Version) {
	s.c, s.handler, s.active = c, h, true
	to, info := &s.connection, c.conn.Info()
	to.ID, to.Local, to.Remote, to.TLS, to.Version = c.conn.ID(), info.Local, info.Remote, info.TLS, v
	to.Reused, to.ConnectStart, to.ConnectEnd = c.streams > 1, c.start, c.up
}

// end stops counting the request.
func (s *stream) end() {
	s.active, s.handler = false, nil
	s.c.streamEnds(s.c.worker.d)
}

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
	s.c.write()
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
	s.c.write()
}

// EncodeTrailers implements upstream.RequestStream.
func (s *stream) EncodeTrailers(trailers *httpmsg.Headers) {
	if !s.active {
		return
	}
	s.requested = true
	s.encoder.EncodeTrailers(trailers)
	s.c.write()
}

// Reset implements upstream.RequestStream.
func (s *stream) Reset(reason httpmsg.ResetReason) {
	if s.active {
		c := s.c
		s.encoder.Reset(reason)
		c.write()
	}
}

// ReadDisable implements upstream.RequestStream.
func (s *stream) ReadDisable(disable bool) {
	if s.active {
		s.encoder.ReadDisable(disable)
		s.c.write()
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
	s.responded = endStream
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
	s.handler.OnReset(reason, s.c.conn.TransportFailure())
}

// OnWriteBufferHigh implements codec.StreamCallbacks.
func (s *stream) OnWriteBufferHigh() { s.handler.OnWriteBufferHigh() }

// OnWriteBufferLow implements codec.StreamCallbacks.
func (s *stream) OnWriteBufferLow() { s.handler.OnWriteBufferLow() }

// resetReason is what the end of a connection means to its requests.
func resetReason(e network.Event) httpmsg.ResetReason {
	if e == network.LocalClose {
		return httpmsg.ResetLocalReset
	}
	return httpmsg.ResetConnectionTermination
}
