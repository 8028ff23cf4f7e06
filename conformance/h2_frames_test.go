package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// preface is what a client of HTTP/2 begins with.
const preface = http2.ClientPreface

const (
	frameMetadata = http2.FrameType(0x4d) // an extension of Envoy
	endMetadata   = http2.Flags(0x4)
	cutAt         = 16384 // the longest payload that every peer takes
)

// A frameWriter turns the frames of a case, which README.md describes, into bytes.
type frameWriter struct {
	enc     *hpack.Encoder
	block   bytes.Buffer
	scheme  string
	current uint32 // the stream that is written "*"
}

func newFrameWriter(scheme string) *frameWriter {
	w := &frameWriter{scheme: scheme}
	w.enc = hpack.NewEncoder(&w.block)
	return w
}

// A written frame: its words and, after them, what " | " separates.
type writtenFrame struct {
	words  []string
	parts  []string
	stream uint32
	flags  http2.Flags
	cut    int // the longest payload
	pad    int // of the first frame, -1 without
	prio   []byte
}

var (
	requestField = regexp.MustCompile(`^([A-Z]+) (\S+)$`)
	statusField  = regexp.MustCompile(`^\d{3}$`)
	escape       = regexp.MustCompile(`\\(r|n|t|0|x[0-9a-f]{2})`)
)

// encode returns the bytes of frames, one a line.
func (w *frameWriter) encode(text string) ([]byte, error) {
	var out []byte
	for line := range strings.SplitSeq(text, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		frame, err := w.frame(line)
		if err != nil {
			return nil, fmt.Errorf("frame %q: %w", line, err)
		}
		out = append(out, frame...)
	}
	return out, nil
}

func (w *frameWriter) frame(line string) ([]byte, error) {
	parts := strings.Split(line, " | ")
	f := writtenFrame{words: strings.Fields(parts[0]), parts: parts[1:], cut: cutAt, pad: -1}
	for i := range f.parts {
		part, err := unescape(f.parts[i])
		if err != nil {
			return nil, err
		}
		f.parts[i] = string(part)
	}
	payload := strings.Join(f.parts, " | ")
	switch f.words[0] {
	case "RAW":
		return []byte(payload), nil
	case "FRAME":
		return w.anyFrame(f, payload)
	case "SETTINGS":
		return settingsFrame(f.words[1:])
	case "PING":
		return appendFrame(nil, http2.FramePing, ack(f.words), 0, []byte(payload)), nil
	}
	if len(f.words) < 2 {
		return nil, fmt.Errorf("no stream")
	}
	var err error
	if f.stream, err = w.streamID(f.words[1]); err != nil {
		return nil, err
	}
	switch f.words[0] {
	case "RST_STREAM", "GOAWAY":
		return codeFrame(f, payload)
	case "WINDOW_UPDATE":
		return numberFrame(f)
	}
	if err := f.options(); err != nil {
		return nil, err
	}
	switch f.words[0] {
	case "HEADERS":
		w.fields(f.parts)
		return f.split(http2.FrameHeaders, http2.FrameContinuation, w.block.Bytes()), nil
	case "CONTINUATION":
		w.fields(f.parts)
		return f.split(http2.FrameContinuation, http2.FrameContinuation, w.block.Bytes()), nil
	case "DATA":
		return f.split(http2.FrameData, http2.FrameData, []byte(payload)), nil
	case "PRIORITY":
		return appendFrame(nil, http2.FramePriority, 0, f.stream, f.prio), nil
	case "METADATA":
		return f.metadata(), nil
	}
	return nil, fmt.Errorf("no frame is called %q", f.words[0])
}

func (w *frameWriter) streamID(word string) (uint32, error) {
	if word == "*" {
		return w.current, nil
	}
	n, err := strconv.ParseUint(word, 10, 31)
	return uint32(n), err
}

// options are the words after the stream.
func (f *writtenFrame) options() error {
	if f.words[0] == "HEADERS" || f.words[0] == "CONTINUATION" {
		f.flags |= http2.FlagHeadersEndHeaders
	}
	for _, word := range f.words[2:] {
		name, value, _ := strings.Cut(word, "=")
		n, err := strconv.ParseUint(value, 10, 31)
		switch {
		case word == "END_STREAM":
			f.flags |= http2.FlagDataEndStream
		case word == "-END_HEADERS":
			f.flags &^= http2.FlagHeadersEndHeaders
		case name == "cut" && err == nil && n > 0:
			f.cut = int(n)
		case name == "pad" && err == nil:
			f.pad = int(n)
		case name == "depends" && err == nil: // with the default weight, 16
			f.prio = append(binary.BigEndian.AppendUint32(nil, uint32(n)), 15)
		default:
			return fmt.Errorf("no option is called %q", word)
		}
	}
	return nil
}

// split cuts a payload into frames as long as they may be: the first one of the type
// first, all others of the type more. END_HEADERS goes to the last one, END_STREAM to
// the first of a header block and to the last of data.
func (f *writtenFrame) split(first, more http2.FrameType, payload []byte) []byte {
	var out []byte
	kind := first
	for {
		part := payload[:min(f.cut, len(payload))]
		payload = payload[len(part):]
		flags := f.flags
		if len(payload) > 0 && kind == http2.FrameData {
			flags &^= http2.FlagDataEndStream
		}
		if len(payload) > 0 && kind != http2.FrameData {
			flags &^= http2.FlagHeadersEndHeaders
		}
		if kind == http2.FrameContinuation {
			flags &^= http2.FlagHeadersEndStream
		}
		if kind == first {
			part = f.decorate(&flags, part)
		}
		out = appendFrame(out, kind, flags, f.stream, part)
		if len(payload) == 0 {
			return out
		}
		kind = more
	}
}

// decorate adds padding and priority to a payload.
func (f *writtenFrame) decorate(flags *http2.Flags, payload []byte) []byte {
	payload = slices.Concat(f.prio, payload)
	if f.prio != nil {
		*flags |= http2.FlagHeadersPriority
	}
	if f.pad >= 0 {
		*flags |= http2.FlagDataPadded
		payload = slices.Concat([]byte{byte(f.pad)}, payload, make([]byte, f.pad))
	}
	return payload
}

// fields writes the header block of fields: "name: value", "GET /path" for the
// pseudo-headers of a request, which a later field of their name replaces ("+name: value"
// adds one), or "200" for that of a response.
func (w *frameWriter) fields(parts []string) {
	var list []hpack.HeaderField
	for _, part := range parts {
		if m := requestField.FindStringSubmatch(part); m != nil {
			list = append(list, hpack.HeaderField{Name: ":method", Value: m[1]}, hpack.HeaderField{Name: ":scheme", Value: w.scheme},
				hpack.HeaderField{Name: ":authority", Value: "a"}, hpack.HeaderField{Name: ":path", Value: m[2]})
			continue
		}
		if statusField.MatchString(part) {
			list = append(list, hpack.HeaderField{Name: ":status", Value: part})
			continue
		}
		rest, add := strings.CutPrefix(part, "+")
		f := parseField(rest)
		i := slices.IndexFunc(list, func(x hpack.HeaderField) bool { return x.Name == f.Name && strings.HasPrefix(f.Name, ":") })
		switch {
		case i < 0 || add:
			list = append(list, f)
		case f.Value == "-":
			list = slices.Delete(list, i, i+1)
		default:
			list[i] = f
		}
	}
	w.block.Reset()
	for _, f := range list {
		_ = w.enc.WriteField(f) // a buffer takes all
	}
}

// parseField reads "name: value"; the name may begin with a colon.
func parseField(text string) hpack.HeaderField {
	if text == "" {
		return hpack.HeaderField{}
	}
	name, value, _ := strings.Cut(text[1:], ":")
	return hpack.HeaderField{Name: text[:1] + name, Value: strings.TrimPrefix(value, " ")}
}

func (f *writtenFrame) metadata() []byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block) // these blocks do not share the state of header blocks
	for _, part := range f.parts {
		_ = enc.WriteField(parseField(part))
	}
	return appendFrame(nil, frameMetadata, endMetadata, f.stream, block.Bytes())
}

func ack(words []string) http2.Flags {
	if slices.Contains(words, "ACK") {
		return http2.FlagPingAck
	}
	return 0
}

// settingNames are the settings by the names of RFC 9113 (8441, 7540 and Envoy's too).
var settingNames = map[string]http2.SettingID{
	"HEADER_TABLE_SIZE": 1, "ENABLE_PUSH": 2, "MAX_CONCURRENT_STREAMS": 3, "INITIAL_WINDOW_SIZE": 4,
	"MAX_FRAME_SIZE": 5, "MAX_HEADER_LIST_SIZE": 6, "ENABLE_CONNECT_PROTOCOL": 8, "NO_RFC7540_PRIORITIES": 9,
	"ENABLE_METADATA": 0x4d44,
}

func settingName(id http2.SettingID) string {
	for name, known := range settingNames {
		if id == known {
			return name
		}
	}
	return fmt.Sprintf("%#x", uint16(id))
}

func settingsFrame(words []string) ([]byte, error) {
	var payload []byte
	for _, word := range words {
		if word == "ACK" {
			continue
		}
		name, value, _ := strings.Cut(word, "=")
		id, known := settingNames[name]
		if n, err := strconv.ParseUint(name, 0, 16); err == nil {
			id, known = http2.SettingID(n), true
		}
		n, err := strconv.ParseUint(value, 10, 32)
		if !known || err != nil {
			return nil, fmt.Errorf("no setting %q", word)
		}
		payload = binary.BigEndian.AppendUint16(payload, uint16(id))
		payload = binary.BigEndian.AppendUint32(payload, uint32(n))
	}
	return appendFrame(nil, http2.FrameSettings, ack(words), 0, payload), nil
}

// codeFrame is "RST_STREAM 1 CANCEL" or "GOAWAY 1 NO_ERROR | text" (with the last stream).
func codeFrame(f writtenFrame, text string) ([]byte, error) {
	if len(f.words) != 3 {
		return nil, fmt.Errorf("needs a stream and a code")
	}
	code := http2.ErrCode(0)
	for code.String() != f.words[2] {
		if code++; code > http2.ErrCodeHTTP11Required {
			n, err := strconv.ParseUint(f.words[2], 0, 32)
			if err != nil {
				return nil, fmt.Errorf("no code %q", f.words[2])
			}
			code = http2.ErrCode(n)
			break
		}
	}
	payload := binary.BigEndian.AppendUint32(nil, uint32(code))
	if f.words[0] == "RST_STREAM" {
		return appendFrame(nil, http2.FrameRSTStream, 0, f.stream, payload), nil
	}
	payload = append(slices.Concat(binary.BigEndian.AppendUint32(nil, f.stream), payload), text...)
	return appendFrame(nil, http2.FrameGoAway, 0, 0, payload), nil
}

func numberFrame(f writtenFrame) ([]byte, error) {
	if len(f.words) != 3 {
		return nil, fmt.Errorf("needs a stream and a number")
	}
	n, err := strconv.ParseUint(f.words[2], 10, 32)
	return appendFrame(nil, http2.FrameWindowUpdate, 0, f.stream, binary.BigEndian.AppendUint32(nil, uint32(n))), err
}

// anyFrame is "FRAME type flags stream | bytes".
func (w *frameWriter) anyFrame(f writtenFrame, payload string) ([]byte, error) {
	if len(f.words) != 4 {
		return nil, fmt.Errorf("needs type, flags and stream")
	}
	kind, err := strconv.ParseUint(f.words[1], 0, 8)
	if err != nil {
		return nil, err
	}
	flags, err := strconv.ParseUint(f.words[2], 0, 8)
	if err != nil {
		return nil, err
	}
	stream, err := w.streamID(f.words[3])
	return appendFrame(nil, http2.FrameType(kind), http2.Flags(flags), stream, []byte(payload)), err
}

func appendFrame(b []byte, kind http2.FrameType, flags http2.Flags, stream uint32, payload []byte) []byte {
	n := len(payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags))
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// unescape writes out \r, \n, \t, \0 and \xff; characters up to U+00FF are one byte each.
func unescape(text string) ([]byte, error) {
	return wireBytes(escape.ReplaceAllStringFunc(text, func(m string) string {
		switch m[1] {
		case 'r':
			return "\r"
		case 'n':
			return "\n"
		case 't':
			return "\t"
		case '0':
			return "\x00"
		}
		n, _ := strconv.ParseUint(m[2:], 16, 8)
		return string(rune(n))
	}))
}
