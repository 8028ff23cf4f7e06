package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An h2Peer is the near end of an HTTP/2 connection: it reads what comes, writes it down,
// and answers what every peer answers by itself. The board is locked in all its methods.
type h2Peer struct {
	server  bool
	hold    map[string]bool // what it does not do by itself: settings, ping, window
	writer  *frameWriter
	buf     []byte // not read yet
	started bool   // the preface has come, or is not to come
	dec     *hpack.Decoder
	fields  []hpack.HeaderField // of the header block that dec reads
	block   *headerBlock        // that has not ended
	streams map[uint32]*h2Stream
	conn    []string // what came for the connection
	settled bool     // the own SETTINGS are sent
	late    []byte   // what is to be sent after them
	broken  string   // why nothing more can be read
}

type headerBlock struct {
	stream  uint32
	end     bool
	payload []byte
}

// An h2Stream is what came on a stream.
type h2Stream struct {
	events   []h2Event
	ended    bool // END_STREAM or RST_STREAM has come
	answered bool // by an upstream
}

// An h2Event is a header block, data, or something else in one line.
type h2Event struct {
	kind   string
	fields []hpack.HeaderField
	data   []byte
}

func newH2Peer(server bool, scheme string) *h2Peer {
	p := &h2Peer{server: server, started: !server, writer: newFrameWriter(scheme), hold: map[string]bool{}, streams: map[uint32]*h2Stream{}}
	p.dec = hpack.NewDecoder(4096, func(f hpack.HeaderField) { p.fields = append(p.fields, f) })
	return p
}

// feed takes what was read. It returns the text that stands for it, in the order of
// arrival, and the answer that every peer gives.
func (p *h2Peer) feed(b []byte) (log, answer []byte) {
	p.buf = append(p.buf, b...)
	if !p.started {
		if len(p.buf) < len(preface) {
			return nil, nil
		}
		p.started, p.buf = true, p.buf[len(preface):]
	}
	for p.broken == "" && len(p.buf) >= 9 {
		n := int(p.buf[0])<<16 | int(p.buf[1])<<8 | int(p.buf[2])
		if len(p.buf) < 9+n {
			break
		}
		kind, flags := http2.FrameType(p.buf[3]), http2.Flags(p.buf[4])
		stream := binary.BigEndian.Uint32(p.buf[5:]) &^ (1 << 31)
		text, reply := p.frame(kind, flags, stream, p.buf[9:9+n])
		p.buf = p.buf[9+n:]
		log, answer = append(log, text...), append(answer, reply...)
	}
	return log, answer
}

// frame takes one frame.
func (p *h2Peer) frame(kind http2.FrameType, flags http2.Flags, stream uint32, payload []byte) (log string, answer []byte) {
	if flags.Has(http2.FlagDataPadded) && (kind == http2.FrameData || kind == http2.FrameHeaders) {
		if len(payload) == 0 || len(payload) <= int(payload[0]) {
			p.broken = "padding"
			return "", nil
		}
		payload = payload[1 : len(payload)-int(payload[0])]
	}
	switch kind {
	case http2.FrameData:
		return p.data(flags, stream, payload)
	case http2.FrameHeaders:
		if flags.Has(http2.FlagHeadersPriority) && len(payload) >= 5 {
			payload = payload[5:]
		}
		p.block = &headerBlock{stream: stream, end: flags.Has(http2.FlagHeadersEndStream), payload: slices.Clone(payload)}
		return p.endBlock(flags), nil
	case http2.FrameContinuation:
		if p.block == nil || p.block.stream != stream {
			p.broken = "CONTINUATION"
			return "", nil
		}
		p.block.payload = append(p.block.payload, payload...)
		return p.endBlock(flags), nil
	case http2.FrameRSTStream:
		return p.event(stream, "RST_STREAM "+code(payload), true), nil
	case http2.FrameSettings:
		return p.settings(flags, payload)
	case http2.FramePing:
		return p.ping(flags, payload)
	case http2.FrameGoAway:
		line := fmt.Sprintf("GOAWAY %d %s %s", binary.BigEndian.Uint32(payload), code(payload[4:]), payload[8:])
		p.conn = append(p.conn, strings.TrimSpace(line))
		return line + "\n", nil
	case http2.FrameWindowUpdate:
		return fmt.Sprintf("WINDOW_UPDATE %d\n", stream), nil // not recorded: when and how much is no contract
	case http2.FramePriority:
		return "", nil
	case frameMetadata:
		return p.metadata(stream, payload), nil
	}
	return p.event(stream, fmt.Sprintf("FRAME %#x %#x %q", uint8(kind), uint8(flags), payload), false), nil
}

func code(payload []byte) string { return http2.ErrCode(binary.BigEndian.Uint32(payload)).String() }

func (p *h2Peer) stream(id uint32) *h2Stream {
	if p.streams[id] == nil {
		p.streams[id] = &h2Stream{}
	}
	return p.streams[id]
}

// event is something on a stream that has one line.
func (p *h2Peer) event(stream uint32, line string, end bool) string {
	s := p.stream(stream)
	s.events = append(s.events, h2Event{kind: line})
	s.ended = s.ended || end
	word, rest, _ := strings.Cut(line, " ")
	return fmt.Sprintf("%s %d %s\n", word, stream, rest)
}

func (p *h2Peer) data(flags http2.Flags, stream uint32, payload []byte) (log string, answer []byte) {
	s := p.stream(stream)
	if len(payload) > 0 {
		if n := len(s.events); n == 0 || s.events[n-1].kind != "DATA" {
			s.events = append(s.events, h2Event{kind: "DATA"})
		}
		last := &s.events[len(s.events)-1]
		last.data = append(last.data, payload...)
		log = fmt.Sprintf("DATA %d %s\n", stream, payload)
	}
	end := flags.Has(http2.FlagDataEndStream)
	if end {
		log += p.event(stream, "END_STREAM", true)
	}
	if len(payload) == 0 || p.hold["window"] {
		return log, nil
	}
	size := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	answer = appendFrame(nil, http2.FrameWindowUpdate, 0, 0, size)
	if !end {
		answer = appendFrame(answer, http2.FrameWindowUpdate, 0, stream, size)
	}
	return log, answer
}

// endBlock reads the header block when it is whole.
func (p *h2Peer) endBlock(flags http2.Flags) string {
	if !flags.Has(http2.FlagHeadersEndHeaders) {
		return ""
	}
	b := p.block
	p.block, p.fields = nil, nil
	if _, err := p.dec.Write(b.payload); err != nil {
		p.broken = err.Error()
		return ""
	}
	if err := p.dec.Close(); err != nil {
		p.broken = err.Error()
		return ""
	}
	s := p.stream(b.stream)
	s.events = append(s.events, h2Event{kind: "HEADERS", fields: p.fields})
	log := fmt.Sprintf("HEADERS %d", b.stream)
	for _, f := range p.fields {
		log += " | " + f.Name + ": " + f.Value
	}
	log += "\n"
	if b.end {
		log += p.event(b.stream, "END_STREAM", true)
	}
	return log
}

func (p *h2Peer) metadata(stream uint32, payload []byte) string {
	var log string
	d := hpack.NewDecoder(4096, func(f hpack.HeaderField) { log += p.event(stream, "METADATA "+f.Name+": "+f.Value, false) })
	if _, err := d.Write(payload); err != nil {
		p.broken = err.Error()
	}
	return log
}

// usual are the values that settings have if they are not sent.
var usual = map[http2.SettingID]uint32{1: 4096, 4: 65535, 5: 16384, 8: 0}

func (p *h2Peer) settings(flags http2.Flags, payload []byte) (log string, answer []byte) {
	if flags.Has(http2.FlagSettingsAck) {
		return "SETTINGS ACK\n", nil
	}
	var list []string
	for ; len(payload) >= 6; payload = payload[6:] {
		id, value := http2.SettingID(binary.BigEndian.Uint16(payload)), binary.BigEndian.Uint32(payload[2:])
		if id == http2.SettingHeaderTableSize {
			p.writer.enc.SetMaxDynamicTableSizeLimit(value)
		}
		if was, has := usual[id]; !has || was != value {
			list = append(list, fmt.Sprintf("%s=%d", settingName(id), value))
		}
	}
	slices.Sort(list)
	line := strings.Join(append([]string{"SETTINGS"}, list...), " ")
	p.conn = append(p.conn, line)
	if p.hold["settings"] {
		return line + "\n", nil
	}
	return line + "\n", appendFrame(nil, http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
}

func (p *h2Peer) ping(flags http2.Flags, payload []byte) (log string, answer []byte) {
	if flags.Has(http2.FlagPingAck) {
		line := "PING ACK " + string(payload)
		p.conn = append(p.conn, line)
		return line + "\n", nil
	}
	if !slices.Contains(p.conn, "PING") { // how many there are is a matter of time
		p.conn = append(p.conn, "PING")
	}
	if p.hold["ping"] {
		return "PING\n", nil
	}
	return "PING\n", appendFrame(nil, http2.FramePing, http2.FlagPingAck, 0, payload)
}

// request is the first stream whose request is whole and not answered, 0 without any.
func (p *h2Peer) request() uint32 {
	for _, id := range slices.Sorted(maps.Keys(p.streams)) {
		if s := p.streams[id]; s.ended && !s.answered {
			return id
		}
	}
	return 0
}

// encode returns the bytes of frames, with what has to come before them.
func (p *h2Peer) encode(text string) ([]byte, error) {
	frames, err := p.writer.encode(text)
	if p.settled || err != nil {
		return frames, err
	}
	start := p.open(strings.HasPrefix(strings.TrimSpace(text), "SETTINGS"))
	return slices.Concat(start, frames, p.late), nil
}

// open is what a connection begins with; SETTINGS may be the case's own.
func (p *h2Peer) open(ownSettings bool) []byte {
	var b []byte
	if !p.server {
		b = append(b, preface...)
	}
	if !ownSettings {
		b = appendFrame(b, http2.FrameSettings, 0, 0, nil)
	}
	p.settled = true
	return b
}

// lines are what came: first for the connection, then stream by stream.
func (p *h2Peer) lines(n *names) []string {
	var lines []string
	for _, line := range p.conn {
		lines = append(lines, shorten(n.normalize(wireText([]byte(line)))))
	}
	for _, id := range slices.Sorted(maps.Keys(p.streams)) {
		for _, e := range p.streams[id].events {
			lines = append(lines, e.lines(n, id)...)
		}
	}
	if p.broken != "" {
		lines = append(lines, "what cannot be read: "+p.broken)
	}
	return lines
}

func (e h2Event) lines(n *names, stream uint32) []string {
	at := fmt.Sprintf("%d ", stream)
	var lines []string
	switch e.kind {
	case "HEADERS":
		lines = append(lines, at+e.kind)
		for _, f := range e.fields {
			lines = append(lines, at+"  "+shorten(n.normalize(wireText([]byte(f.Name+": "+f.Value)))))
		}
	case "DATA":
		for _, line := range n.lines(e.data) {
			lines = append(lines, at+"DATA "+line)
		}
	default:
		lines = append(lines, at+shorten(n.normalize(wireText([]byte(e.kind)))))
	}
	return lines
}

// speaksH2 tells whether a client that sent this, or is about to, speaks HTTP/2.
func speaksH2(b []byte) bool { return bytes.HasPrefix(b, []byte(preface[:14])) }
