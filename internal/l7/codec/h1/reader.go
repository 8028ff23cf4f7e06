package h1

import (
	"bytes"
	"math"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// arenaSize is the room behind a header block for headers that are added to it.
const arenaSize = 256

// A state says what the next byte of the peer is.
type state uint8

const (
	inHead       state = iota // of a start line and headers
	inSized                   // of a body with a content-length
	inUntilClose              // of a body that ends with the connection
	inTunnel                  // of no HTTP
	inHeld                    // of a tunnel that is not accepted yet
	inDone                    // of the next message, or of none
	inDead                    // of nobody's interest

	// The rest are of a chunked body.
	inChunkSize    // a hexadecimal digit, or what follows them
	inChunkExt     // of a chunk extension
	inChunkSizeLF  // the LF behind the size
	inChunkData    // of the data
	inChunkCR      // the CR behind the data
	inChunkLF      // the LF behind the data
	inTrailerStart // of a trailer, or the CR of the last line
	inTrailers     // of trailers
	inLastLF       // the LF of the last line
)

// A sink is the side of a codec that a reader reads for.
type sink interface {
	// meter returns that of the stream.
	meter() *streaminfo.Meter
	// begins checks the first bytes of a message whose head is not complete.
	begins(p []byte) *codec.Error
	// onHead takes a complete head, which ends with an empty line. It sets the state.
	onHead(head []byte) *codec.Error
	// onData takes a piece of the body; the state is inDone if it is the last.
	onData(data *buffer.Buffer, last bool)
	onTrailers(trailers *httpmsg.Headers)
}

// A reader takes the bytes of a connection apart into heads and bodies.
type reader struct {
	settings *Settings
	flow     Flow
	sink     sink
	maxHead  int // bytes
	fields   fieldParser

	state   state
	left    uint64 // bytes of the body or chunk that are missing
	hasSize bool   // a digit of the chunk size has come
	body    buffer.Buffer
	partial []byte // a head, or trailers, that came in pieces
	checked bool   // the start line of partial is complete and right

	counted  int  // bytes that the last Dispatch left behind and that the stream has counted
	disabled int  // calls of ReadDisable(true) that are not taken back
	blocked  bool // no new message may begin: too much output waits
	waiting  bool // the last Dispatch left bytes behind
	yield    bool // the message is over and the next one may begin, in another run
	stopped  bool // what flow was told last
}

func (r *reader) init(s *Settings, flow Flow, to sink, fields fieldParser) {
	*r = reader{settings: s, flow: flow, sink: to, maxHead: s.MaxHeadersKB << 10, fields: fields}
}

// wantsRead reports whether run would take bytes.
func (r *reader) wantsRead() bool {
	switch {
	case r.state == inDead:
		return true
	case r.disabled > 0, r.state == inDone, r.state == inHeld:
		return false
	}
	return r.state != inHead || !r.blocked || r.partial != nil
}

// run reads until data is empty, nothing more may be read, or a message is
// complete.
func (r *reader) run(data *buffer.Buffer) *codec.Error {
	r.yield = false
	for data.Len() > 0 && !r.yield && r.wantsRead() {
		var err *codec.Error
		switch r.state {
		case inDead:
			data.Drain(data.Len())
		case inHead:
			head, e := r.readBlock(data, true)
			if err = e; head != nil {
				err = r.sink.onHead(head)
			}
		case inSized:
			r.readSized(data)
		case inUntilClose, inTunnel:
			r.sink.onData(data, false)
			data.Drain(data.Len())
		default:
			err = r.readChunked(data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// count adds what came to the meter of the stream. Bytes that are left for the next
// stream count for both, as in Envoy.
func (r *reader) count(data *buffer.Buffer) {
	r.sink.meter().Received += uint64(data.Len() - r.counted)
	r.counted = data.Len()
}

// countHead adds the fields of a head to the meter of the stream. Envoy counts a field
// in a head that has none, too.
func countHead(m *streaminfo.Meter, f *framing) {
	m.HeaderReceived += max(f.size, fieldOverhead)
	m.DecompressedHeaderReceived += m.HeaderReceived
}

// settle tells the network connection whether to read on, after a Dispatch.
func (r *reader) settle(data *buffer.Buffer) {
	r.counted = min(r.counted, data.Len())
	r.waiting = data.Len() > 0 && !r.wantsRead()
	r.tellFlow()
}

// resume does so after anything else that may let the reader read on.
func (r *reader) resume() {
	r.waiting = r.waiting && !r.wantsRead()
	r.tellFlow()
}

func (r *reader) tellFlow() {
	if stop := r.disabled > 0 || r.waiting; stop != r.stopped {
		r.stopped = stop
		r.flow.ReadDisable(stop)
	}
}

func (r *reader) readDisable(disable bool) {
	if disable {
		r.disabled++
	} else if r.disabled > 0 {
		r.disabled--
	}
	r.resume()
}

// setBody says how the body that follows a head is framed, and reports whether
// there is one.
func (r *reader) setBody(f *framing) bool {
	switch {
	case f.encoding == chunkedCoding:
		r.state, r.left, r.hasSize = inChunkSize, 0, false
	case f.length > 0:
		r.state, r.left = inSized, f.length
	default:
		r.state = inDone
		return false
	}
	return true
}

// readBlock takes a header block, up to its empty line, out of data. The block is
// in an allocation of its own; it is nil while bytes are missing.
func (r *reader) readBlock(data *buffer.Buffer, isHead bool) ([]byte, *codec.Error) {
	if r.partial == nil {
		front := data.Front()
		if n := blockLen(front, 0); n > 0 && n <= r.maxHead {
			block := make([]byte, n, n+arenaSize)
			copy(block, front)
			data.Drain(n)
			return block, nil
		}
	}
	for data.Len() > 0 {
		before := len(r.partial)
		front := data.Front()
		front = front[:min(len(front), r.maxHead+1-before)]
		r.partial = append(r.partial, front...)
		if n := blockLen(r.partial, before-2); n > 0 && n <= r.maxHead {
			data.Drain(n - before)
			block := r.partial[:n]
			r.partial, r.checked = nil, false
			return block, nil
		}
		if isHead && !r.checked {
			if err := r.sink.begins(r.partial); err != nil {
				return nil, err
			}
			r.checked = bytes.IndexByte(r.partial, '\n') >= 0
		}
		if len(r.partial) > r.maxHead {
			return nil, headersTooLarge("http1.headers_too_large")
		}
		data.Drain(len(front))
	}
	return nil, nil
}

// blockLen returns the length of the header block at the start of p including its
// empty line, 0 if it is not complete. The first from bytes hold no complete one.
func blockLen(p []byte, from int) int {
	i := max(from, 0)
	for {
		lf := bytes.IndexByte(p[i:], '\n')
		if lf < 0 {
			return 0
		}
		i += lf + 1
		if i < len(p) && p[i] == '\n' {
			return i + 1
		}
		if i+1 < len(p) && p[i] == '\r' && p[i+1] == '\n' {
			return i + 2
		}
	}
}

func (r *reader) readSized(data *buffer.Buffer) {
	n := uint64(data.Len())
	if n < r.left {
		r.left -= n
		r.sink.onData(data, false)
		data.Drain(data.Len())
		return
	}
	piece := data
	if n > r.left {
		r.body.Init(data.Pool())
		r.body.MoveN(data, int(r.left))
		piece = &r.body
	}
	r.left, r.state = 0, inDone
	r.sink.onData(piece, true)
	piece.Drain(piece.Len())
}

// readChunked takes chunks apart and passes all their data on at once.
func (r *reader) readChunked(data *buffer.Buffer) *codec.Error {
	r.body.Init(data.Pool())
	var trailers *httpmsg.Headers
	var err *codec.Error
	for err == nil && trailers == nil && data.Len() > 0 && r.state != inDone {
		switch r.state {
		case inChunkData:
			n := int(min(r.left, uint64(data.Len())))
			r.body.MoveN(data, n)
			if r.left -= uint64(n); r.left == 0 {
				r.state = inChunkCR
			}
		case inTrailers:
			trailers, err = r.readTrailers(data)
		default:
			var n int
			n, err = r.readChunkLine(data.Front())
			data.Drain(n)
		}
	}
	if err != nil && r.state != inTrailers { // as in Envoy the data that came with it is lost
		return err
	}
	if last := r.state == inDone; last || r.body.Len() > 0 {
		r.sink.onData(&r.body, last)
		r.body.Drain(r.body.Len())
		if last || !r.inChunks() {
			return nil // or the stream ended in the call
		}
	}
	if trailers != nil {
		r.state = inDone
		r.sink.onTrailers(trailers)
	}
	return err
}

func (r *reader) inChunks() bool { return r.state >= inChunkSize }

// readChunkLine reads everything about chunks that is neither data nor a trailer,
// and returns how many bytes it took.
func (r *reader) readChunkLine(p []byte) (int, *codec.Error) {
	for i, c := range p {
		switch r.state {
		case inChunkSize:
			if err := r.chunkSize(c); err != nil {
				return i, err
			}
		case inChunkExt:
			// What it says is nobody's business here: it is not passed on.
			if c == '\r' {
				r.state = inChunkSizeLF
			} else if c == '\n' {
				return i, codecError("line feed without carriage return")
			}
		case inTrailerStart:
			if c == '\n' {
				return i, codecError("line feed without carriage return")
			}
			if c != '\r' {
				r.state = inTrailers
				return i, nil
			}
			r.state = inLastLF
		case inChunkCR:
			if c != '\r' {
				return i, codecError("chunk longer than its size")
			}
			r.state = inChunkLF
		default:
			if c != '\n' {
				return i, codecError("carriage return without line feed")
			}
			if r.afterLF(); r.state == inDone || r.state == inChunkData {
				return i + 1, nil
			}
		}
	}
	return len(p), nil
}

func (r *reader) chunkSize(c byte) *codec.Error {
	digit := uint64(0)
	switch {
	case '0' <= c && c <= '9':
		digit = uint64(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		digit = uint64(c|0x20-'a') + 10
	case !r.hasSize:
		return codecError("chunk without a size")
	case c == ';', c == ' ', c == '\t':
		r.state = inChunkExt
		return nil
	case c == '\r':
		r.state = inChunkSizeLF
		return nil
	default:
		return codecError("invalid chunk size")
	}
	if r.left >= 1<<60 {
		return codecError("chunk size too large")
	}
	r.left, r.hasSize = r.left<<4|digit, true
	return nil
}

// afterLF sets the state that follows one of the line feeds of a chunk.
func (r *reader) afterLF() {
	switch {
	case r.state == inLastLF:
		r.state = inDone
	case r.state == inChunkLF:
		r.state, r.left, r.hasSize = inChunkSize, 0, false
	case r.left == 0:
		r.state = inTrailerStart
	default:
		r.state = inChunkData
	}
}

// readTrailers returns the trailers once they are complete. If they are not wanted
// it returns nil and sets inDone.
func (r *reader) readTrailers(data *buffer.Buffer) (*httpmsg.Headers, *codec.Error) {
	block, err := r.readBlock(data, false)
	if block == nil {
		return nil, err
	}
	trailers := new(httpmsg.Headers)
	var f framing
	fields := fieldParser{maxFields: r.fields.maxFields, underscores: r.fields.underscores}
	if !r.settings.EnableTrailers {
		fields.maxFields = math.MaxInt
	}
	if err := fields.parse(trailers, block, 0, &f); err != nil {
		return nil, err
	}
	if !r.settings.EnableTrailers || trailers.Len() == 0 {
		r.state = inDone
		return nil, nil
	}
	r.sink.meter().HeaderReceived += f.size
	return trailers, nil
}
