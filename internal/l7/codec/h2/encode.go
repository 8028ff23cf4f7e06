package h2

import (
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// fieldRoom is more than a field takes in a header block besides its bytes, and
// blockRoom what a block takes besides its fields.
const (
	fieldRoom = 12
	blockRoom = 128
)

// A blockWriter writes a header block behind the room for its frame header.
type blockWriter struct {
	w    *writer
	p    []byte
	size int // bytes of names and values
}

func (w *writer) beginBlock(h *httpmsg.Headers) blockWriter {
	p := w.begin(h.ByteSize() + fieldRoom*h.Len() + blockRoom)
	return blockWriter{w: w, p: w.hpack.Begin(p[:frameHeaderLen])}
}

func (b *blockWriter) add(id httpmsg.ID, name, value string) {
	b.size += len(name) + len(value)
	b.p = b.w.hpack.Append(b.p, id, name, value, false)
}

func (b *blockWriter) addID(id httpmsg.ID, value string) { b.add(id, id.String(), value) }

// fields adds all that are no pseudo-headers and that HTTP/2 has, but none that would
// break the message: nothing that a filter sets may do so.
func (b *blockWriter) fields(h *httpmsg.Headers) {
	list := h.Fields()
	for i := range list {
		f := &list[i]
		id := f.ID()
		switch id {
		case httpmsg.Unknown:
			if !isLowerToken(f.Name) {
				continue
			}
		case httpmsg.Method, httpmsg.Path, httpmsg.Authority, httpmsg.Scheme, httpmsg.Status, httpmsg.Protocol,
			httpmsg.Connection, httpmsg.KeepAlive, httpmsg.ProxyConnection, httpmsg.TransferEncoding,
			httpmsg.Upgrade, httpmsg.HTTP2Settings, httpmsg.Host:
			continue
		case httpmsg.TE:
			if !httpmsg.HasToken(f.Value, "trailers") {
				continue
			}
			b.addID(id, "trailers")
			continue
		}
		if codec.ValidValue(f.Value) {
			b.add(id, f.Name, f.Value)
		}
	}
}

// sendBlock sends the block, and counts it.
func (s *stream) sendBlock(b *blockWriter, endStream bool) {
	n := s.c.writer.headers(s.id, b.p, endStream)
	if s.decoder != nil {
		m := s.decoder.Meter()
		m.Sent += uint64(n)
		m.HeaderSent += uint64(n)
		m.DecompressedHeaderSent += uint64(b.size)
	}
}

// sendResponse sends the headers of a response. The answer to an extended CONNECT that
// is accepted says 200.
func (s *stream) sendResponse(h *httpmsg.Headers, endStream bool) {
	b := s.c.writer.beginBlock(h)
	status := h.Get(httpmsg.Status)
	switch {
	case h.StatusCode() < 100:
		status = "500" // a filter broke it
	case s.upgrade && status == "101":
		status = "200"
	}
	b.addID(httpmsg.Status, status)
	b.fields(h)
	s.sendBlock(&b, endStream)
}

// sendRequest sends the headers of a request, its pseudo-headers in their order. One for
// an upgrade becomes an extended CONNECT.
func (s *stream) sendRequest(h *httpmsg.Headers, endStream bool) {
	b := s.c.writer.beginBlock(h)
	var sent uint8
	list := h.Fields()
	for i := range list {
		id := list[i].ID()
		if id < httpmsg.Method || id > httpmsg.Scheme || sent&bit(id) != 0 {
			continue
		}
		sent |= bit(id)
		value := list[i].Value
		switch {
		case id == httpmsg.Method && s.upgrade:
			value = "CONNECT"
		case s.connect && (id == httpmsg.Scheme || id == httpmsg.Path), value == "":
			continue
		case id == httpmsg.Scheme && !isScheme(value):
			value = "http"
		}
		b.addID(id, value)
	}
	if !s.connect && h.Get(httpmsg.Scheme) == "" {
		b.addID(httpmsg.Scheme, "http")
	}
	if s.upgrade {
		b.addID(httpmsg.Protocol, s.protocol)
	}
	b.fields(h)
	s.sendBlock(&b, endStream)
}

// sendTrailers ends the message with trailers.
func (s *stream) sendTrailers(trailers *httpmsg.Headers) {
	b := s.c.writer.beginBlock(trailers)
	b.fields(trailers)
	s.localEnd = true
	s.sendBlock(&b, true)
}
