package h1

import (
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A bodyMode says how a body is written.
type bodyMode uint8

const (
	noBody    bodyMode = iota // bytes of a body are dropped
	sized                     // as content-length says
	chunked                   // in chunks
	unchunked                 // as it comes: until the connection closes, or a tunnel
)

// metered is who has the meter of the stream that is written.
type metered interface{ meter() *streaminfo.Meter }

// A writer appends one message at a time to the output.
type writer struct {
	out      *buffer.Buffer
	settings *Settings
	stream   metered
	mode     bodyMode
	left     uint64 // bytes that content-length still promises
	// misframed: the body was not as long as content-length promised.
	misframed bool
	rooms     [1][]byte

	// How the names of the head that is being written are spelled.
	keys   httpmsg.KeyFormatter
	proper bool
}

// headOverhead is the most that a head has besides its fields: a status line or
// the blanks of a request line, and the headers that the codec adds.
const headOverhead = 160

// begin returns an empty slice with room for n bytes, at the end of the output if
// it has the room. Only commit may follow.
func (w *writer) begin(n int) []byte {
	room := w.out.Reserve(w.rooms[:0], 1)[0]
	if len(room) >= n {
		return room[:0:len(room)]
	}
	w.out.Commit(w.rooms[:], 0)
	w.rooms[0] = nil
	return make([]byte, 0, n)
}

// beginHead is begin for a head with these fields.
func (w *writer) beginHead(h *httpmsg.Headers) []byte {
	w.keys, w.proper = h.Formatter(), w.settings.ProperCaseWords
	return w.begin(headSize(h))
}

// commit adds p and an empty line to the output. p began with what begin returned:
// it is a first line of that length, and fields.
func (w *writer) commit(p []byte, firstLine int) {
	fields := uint64(len(p) - firstLine)
	p = append(p, "\r\n"...)
	m := w.stream.meter()
	m.Sent += uint64(len(p))
	m.HeaderSent += fields
	m.DecompressedHeaderSent += fields
	room := w.rooms[0]
	switch {
	case room == nil:
		w.out.Append(p)
	case len(p) > len(room): // a formatter took more than its share
		w.out.Commit(w.rooms[:], 0)
		w.out.Append(p)
	default:
		w.out.Commit(w.rooms[:], len(p))
	}
	w.rooms[0] = nil
}

// headSize is the room that the head with these fields needs.
func headSize(h *httpmsg.Headers) int { return h.ByteSize() + 4*h.Len() + headOverhead }

// A fieldFilter says which headers a head keeps. Transfer-encoding is always the
// codec's.
type fieldFilter struct{ connection, contentLength bool }

// fields appends the header lines of h. Pseudo-headers are skipped, and fields
// that would break the line: nothing that a filter sets may add a second one.
func (w *writer) fields(p []byte, h *httpmsg.Headers, keep fieldFilter) []byte {
	list := h.Fields()
	for i := range list {
		f := &list[i]
		switch f.ID() {
		case httpmsg.Unknown:
			if !isToken(f.Name) {
				continue
			}
		case httpmsg.Method, httpmsg.Path, httpmsg.Authority, httpmsg.Scheme, httpmsg.Status, httpmsg.Protocol,
			httpmsg.TransferEncoding:
			continue
		case httpmsg.Connection:
			if !keep.connection {
				continue
			}
		case httpmsg.ContentLength:
			if !keep.contentLength {
				continue
			}
		}
		if codec.ValidValue(f.Value) {
			p = w.field(p, f.Name, f.Value)
		}
	}
	return p
}

func (w *writer) field(p []byte, name, value string) []byte {
	switch {
	case w.keys != nil:
		p = w.keys.FormatKey(p, name)
	case w.proper:
		p = httpmsg.AppendProperCase(p, name)
	default:
		p = append(p, name...)
	}
	p = append(p, ": "...)
	p = append(p, value...)
	return append(p, "\r\n"...)
}

// setLength makes the body as long as content-length says.
func (w *writer) setLength(contentLength string) {
	w.mode = sized
	w.left, _ = parseLength(contentLength)
}

// data appends a piece of the body and empties data.
func (w *writer) data(data *buffer.Buffer, last bool) {
	n, before := data.Len(), w.out.Len()
	switch w.mode {
	case chunked:
		if n > 0 {
			w.chunk(data)
		}
		if last {
			w.out.AppendString("0\r\n\r\n")
		}
	case sized:
		take := min(uint64(n), w.left)
		w.out.MoveN(data, int(take))
		w.left -= take
		w.misframed = w.misframed || data.Len() > 0
		data.Drain(data.Len())
	case unchunked:
		w.out.Move(data)
	default:
		data.Drain(n)
	}
	w.stream.meter().Sent += uint64(w.out.Len() - before)
	if last {
		w.end()
	}
}

func (w *writer) chunk(data *buffer.Buffer) {
	var room [18]byte
	p := strconv.AppendUint(room[:0], uint64(data.Len()), 16)
	w.out.Append(append(p, "\r\n"...))
	w.out.Move(data)
	w.out.AppendString("\r\n")
}

// trailers ends the message. Their names are always lower case, as Envoy's are.
func (w *writer) trailers(h *httpmsg.Headers) {
	if w.mode == chunked {
		w.keys, w.proper = nil, false
		p := append(w.begin(headSize(h)), "0\r\n"...)
		lastChunk := len(p)
		if w.settings.EnableTrailers {
			p = w.fields(p, h, fieldFilter{})
		}
		w.commit(p, lastChunk)
	}
	w.end()
}

// end closes the message's account.
func (w *writer) end() {
	w.misframed = w.misframed || w.mode == sized && w.left > 0
	w.mode = noBody
}
