package h2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/net/http2"
	xhpack "golang.org/x/net/http2/hpack"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// scope makes metrics of one cell and keeps them by name.
type scope struct {
	counters map[string]*stats.Counter
	gauges   map[string]*stats.Gauge
	otherMetrics
}

type otherMetrics interface{ stats.Scope }

func newScope() *scope {
	return &scope{counters: map[string]*stats.Counter{}, gauges: map[string]*stats.Gauge{}}
}

func (s *scope) Scope(string) stats.Scope { return s }

func (s *scope) Counter(name string) *stats.Counter {
	s.counters[name] = stats.NewCounter([]*atomic.Uint64{new(atomic.Uint64)})
	return s.counters[name]
}

func (s *scope) Gauge(name string) *stats.Gauge {
	s.gauges[name] = stats.NewGauge([]*atomic.Uint64{new(atomic.Uint64)})
	return s.gauges[name]
}

func (s *scope) Histogram(string, stats.Unit) stats.Histogram { return ignore{} }

type ignore struct{}

func (ignore) Record(int, uint64) {}

// A log is a transcript of calls and frames. Pieces of a body that follow each other
// are one entry, so that it does not depend on how the input is cut.
type log struct {
	lines  []string
	inData string
}

func (l *log) add(format string, args ...any) {
	l.lines, l.inData = append(l.lines, fmt.Sprintf(format, args...)), ""
}

func (l *log) data(prefix, text string, end bool) {
	if text != "" {
		if l.inData == prefix {
			l.lines[len(l.lines)-1] += text
		} else {
			l.add("%s %s", prefix, text)
			l.inData = prefix
		}
	}
	if end {
		l.add("%s END", prefix)
	}
}

func fieldsOf(h *httpmsg.Headers) string {
	var b strings.Builder
	for _, f := range h.Fields() {
		fmt.Fprintf(&b, " %s", field(f.Name, f.Value))
	}
	return b.String()
}

func field(name, value string) string {
	if strings.ContainsAny(value, " \"\r\n\x00") || value == "" {
		return fmt.Sprintf("%s=%q", name, value)
	}
	return name + "=" + value
}

// A user is what uses a codec in tests: a connection manager or a pool. It writes down
// what it is told.
type user struct {
	log
	scope   *scope
	out     buffer.Buffer
	unsent  int
	woken   bool
	server  *ServerConnection
	client  *ClientConnection
	streams map[string]*exchanger
	count   int
	dead    bool
	resets  int // that are allowed
	// opened and headers are called with a stream of the peer's that begins.
	opened, headers func(*exchanger)
	// ended is called for a client's stream.
	ended func(*exchanger)
	quiet bool // add no lines
}

func newUser(isServer bool, s Settings) *user {
	u := &user{scope: newScope(), streams: map[string]*exchanger{}, resets: int(s.StreamResetBurst)}
	if isServer {
		u.server = NewServer(u, u, &s, NewStats(u.scope), stats.Any, new(Streams), &u.out)
	} else {
		u.client = NewClient(u, &s, NewStats(u.scope), stats.Any, new(Streams), &u.out)
	}
	return u
}

func (u *user) conn() *connection {
	if u.server != nil {
		return &u.server.connection
	}
	return &u.client.connection
}

func (u *user) codec() codec.Connection {
	if u.server != nil {
		return u.server
	}
	return u.client
}

func (u *user) Unsent() int { return u.unsent }
func (u *user) Redispatch() { u.woken = true }

func (u *user) note(format string, args ...any) {
	if !u.quiet {
		u.add(format, args...)
	}
}

func (u *user) OnGoAway(last uint32, code ErrorCode) { u.note("* goaway last=%d code=%d", last, code) }
func (u *user) OnSettings()                          { u.note("* settings: %d streams", u.client.MaxStreams()) }
func (u *user) OnPingAck(data uint64)                { u.note("* ping ack %d", data) }

// AllowsReset implements ServerCallbacks.
func (u *user) AllowsReset() bool {
	u.resets--
	return u.resets >= 0
}

func (u *user) OnStreamEnd(d codec.ResponseDecoder) {
	e := d.(*exchanger)
	e.over = true
	u.note("* %s over", e.name)
	if u.ended != nil {
		u.ended(e)
	}
}

func (u *user) NewStream(enc codec.ResponseEncoder) codec.RequestDecoder {
	u.count++
	e := &exchanger{u: u, name: fmt.Sprint(enc.(responseEncoder).id), response: enc, stream: enc.(Stream)}
	u.streams[e.name] = e
	u.note("* %s begins", e.name)
	if u.opened != nil {
		u.opened(e)
	}
	return e
}

// request begins a stream of a client.
func (u *user) request() *exchanger {
	u.count++
	e := &exchanger{u: u, name: fmt.Sprintf("s%d", u.count)}
	e.requestEnc = u.client.NewStream(e)
	e.stream = e.requestEnc.(Stream)
	u.streams[e.name] = e
	return e
}

// An exchanger is the user's side of a stream.
type exchanger struct {
	u          *user
	name       string
	response   codec.ResponseEncoder
	requestEnc codec.RequestEncoder
	stream     Stream
	in         httpmsg.Headers
	meter      streaminfo.Meter
	over       bool
	onData     func(data *buffer.Buffer, end bool)
	onReset    func()
	onBlocked  func(bool)
	blocked    bool
}

func (e *exchanger) Meter() *streaminfo.Meter { return &e.meter }

func (e *exchanger) RequestHeaders() *httpmsg.Headers {
	e.in.Reset()
	return &e.in
}

func (e *exchanger) ResponseHeaders() *httpmsg.Headers { return e.RequestHeaders() }

func (e *exchanger) DecodeInterim() { e.u.note("* %s interim%s", e.name, fieldsOf(&e.in)) }

func (e *exchanger) DecodeHeaders(end bool) {
	if !e.u.quiet {
		e.u.note("* %s headers%s", e.name, fieldsOf(&e.in))
		if end {
			e.u.note("* %s END", e.name)
		}
	}
	if e.u.headers != nil {
		e.u.headers(e)
	}
}

func (e *exchanger) DecodeData(data *buffer.Buffer, end bool) {
	if e.onData != nil {
		e.onData(data, end)
	}
	if !e.u.quiet {
		e.u.log.data("* "+e.name, data.String(), end)
	}
}

func (e *exchanger) DecodeTrailers(t *httpmsg.Headers) {
	e.u.note("* %s trailers%s", e.name, fieldsOf(t))
	if e.onData != nil {
		var none buffer.Buffer
		e.onData(&none, true)
	}
}

func (e *exchanger) DecodeMetadata(m *httpmsg.Headers) {
	e.u.note("* %s metadata%s", e.name, fieldsOf(m))
}

func (e *exchanger) OnProtocolError(err *codec.Error) {
	e.over = true
	e.u.note("* %s protocol error: %s", e.name, err.Detail)
}

// OnResponseSent implements FlushedDecoder.
func (e *exchanger) OnResponseSent() { e.u.note("* %s sent", e.name) }

func (e *exchanger) OnReset(reason httpmsg.ResetReason) {
	e.over = true
	e.u.note("* %s reset: %s (%s)", e.name, reason, e.stream.Details())
	if e.onReset != nil {
		e.onReset()
	}
}

func (e *exchanger) OnWriteBufferHigh() {
	e.blocked = true
	e.u.note("* %s high", e.name)
	if e.onBlocked != nil {
		e.onBlocked(true)
	}
}

func (e *exchanger) OnWriteBufferLow() {
	e.blocked = false
	e.u.note("* %s low", e.name)
	if e.onBlocked != nil {
		e.onBlocked(false)
	}
}

// dispatch feeds bytes, in pieces of at most size bytes.
func (u *user) dispatch(p []byte, size int) {
	if len(p) > 20000 {
		size = max(size, 1009)
	}
	for len(p) > 0 && !u.dead {
		n := min(size, len(p))
		var in buffer.Buffer
		in.Append(p[:n])
		p = p[n:]
		u.step(&in)
		if in.Len() > 0 {
			u.add("! %d bytes left", in.Len())
		}
	}
	for u.woken && !u.dead {
		u.woken = false
		u.step(new(buffer.Buffer))
	}
}

func (u *user) step(in *buffer.Buffer) {
	err := u.codec().Dispatch(in)
	if err == nil {
		return
	}
	u.dead = true
	var e *codec.Error
	if !errors.As(err, &e) {
		panic(err)
	}
	kind := "error"
	if e.Flood {
		kind = "flood"
	}
	u.note("= %s %s", kind, e)
}

// A peer reads the frames that a codec puts out.
type peer struct {
	prefaced bool
	buf      bytes.Buffer
	dec      *xhpack.Decoder
	enc      *xhpack.Encoder
	block    bytes.Buffer
	sent     bytes.Buffer
	framer   *http2.Framer
}

func newPeer() *peer {
	p := &peer{dec: xhpack.NewDecoder(4096, nil)}
	p.enc = xhpack.NewEncoder(&p.block)
	p.framer = http2.NewFramer(&p.sent, nil)
	p.framer.AllowIllegalWrites, p.framer.AllowIllegalReads = true, true
	return p
}

// read describes the frames in out, which it empties.
func (p *peer) read(out *buffer.Buffer, l *log) {
	p.buf.WriteString(out.String())
	out.Drain(out.Len())
	if !p.prefaced && bytes.HasPrefix(p.buf.Bytes(), []byte(preface)) {
		p.buf.Next(len(preface))
		l.add("< preface")
	}
	p.prefaced = true
	for p.buf.Len() >= frameHeaderLen {
		h := parseFrameHeader(p.buf.Bytes())
		if p.buf.Len() < frameHeaderLen+int(h.length) {
			return
		}
		p.buf.Next(frameHeaderLen)
		p.describe(h, p.buf.Next(int(h.length)), l)
	}
}

func (p *peer) describe(h frameHeader, b []byte, l *log) {
	end := ""
	if h.flags&flagEndStream != 0 {
		end = " END"
	}
	be := binary.BigEndian
	switch h.typ {
	case frameData:
		l.data(fmt.Sprintf("< DATA %d", h.stream), string(b), end != "")
	case frameHeaders, frameContinuation:
		if h.flags&flagEndHeaders == 0 {
			l.add("< (%d bytes of a header block)", len(b))
			p.block.Write(b)
			return
		}
		p.block.Write(b)
		fields, err := p.dec.DecodeFull(p.block.Bytes())
		p.block.Reset()
		var text strings.Builder
		for _, f := range fields {
			text.WriteString(" " + field(f.Name, f.Value))
		}
		if err != nil {
			text.WriteString(" " + err.Error())
		}
		l.add("< HEADERS %d%s%s", h.stream, end, text.String())
	case frameRSTStream:
		l.add("< RST_STREAM %d %s", h.stream, http2.ErrCode(be.Uint32(b)))
	case frameSettings:
		if h.flags&flagAck != 0 {
			l.add("< SETTINGS ACK")
			return
		}
		var text strings.Builder
		for ; len(b) >= 6; b = b[6:] {
			fmt.Fprintf(&text, " %s", http2.Setting{ID: http2.SettingID(be.Uint16(b)), Val: be.Uint32(b[2:])})
		}
		l.add("< SETTINGS%s", text.String())
	case framePing:
		l.add("< PING flags=%d %d", h.flags, be.Uint64(b))
	case frameGoAway:
		l.add("< GOAWAY last=%d %s %q", be.Uint32(b), http2.ErrCode(be.Uint32(b[4:])), b[8:])
	case frameWindowUpdate:
		l.add("< WINDOW_UPDATE %d +%d", h.stream, be.Uint32(b))
	case frameMetadata:
		fields, err := xhpack.NewDecoder(0, nil).DecodeFull(b)
		l.add("< METADATA %d flags=%d %v %v", h.stream, h.flags, fields, err)
	default:
		l.add("< frame %v %d bytes", h, len(b))
	}
}

// take returns what the peer's framer has written.
func (p *peer) take() []byte {
	b := bytes.Clone(p.sent.Bytes())
	p.sent.Reset()
	return b
}

// encode returns a header block.
func (p *peer) encode(fields [][2]string) []byte {
	for _, f := range fields {
		if err := p.enc.WriteField(xhpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			panic(err)
		}
	}
	b := bytes.Clone(p.block.Bytes())
	p.block.Reset()
	return b
}
