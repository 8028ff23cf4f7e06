package h2

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestTranscripts runs the files in testdata: "> " is what the peer sends, "! " what
// the user does, "? " sets something. What happens then is indented: "< " frames that
// are put out, "* " calls, "= " errors. A line "# name" begins a connection.
func TestTranscripts(t *testing.T) {
	for _, side := range []string{"server", "client"} {
		files, err := filepath.Glob(filepath.Join("testdata", side, "*.txt"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no transcripts: %v", err)
		}
		for _, file := range files {
			t.Run(side+"/"+filepath.Base(file), func(t *testing.T) { runFile(t, file, side == "server") })
		}
	}
}

func runFile(t *testing.T, file string, server bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for i, part := range strings.Split("\n"+string(text), "\n# ") {
		if i == 0 {
			all.WriteString(strings.TrimPrefix(part, "\n"))
			if part != "" {
				all.WriteString("\n")
			}
			continue
		}
		name, body, _ := strings.Cut(part, "\n")
		whole := play(t, server, body, 1<<20)
		fmt.Fprintf(&all, "# %s\n%s\n", name, whole)
		for _, size := range []int{1, 7} {
			if d := diff(withoutWindows(whole), withoutWindows(play(t, server, body, size))); d != "equal" {
				t.Errorf("%s: cut into pieces of %d bytes: %s", name, size, d)
			}
		}
	}
	got := strings.TrimRight(all.String(), "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want := string(text); got != want {
		t.Errorf("%s:\n%s", file, diff(want, got))
	}
}

// withoutWindows drops the frames that depend on how the input is cut.
func withoutWindows(s string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(s, "\n"), func(l string) bool {
		return strings.HasPrefix(l, "  < WINDOW_UPDATE")
	}), "\n")
}

// diff shows the first lines that differ.
func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			return fmt.Sprintf("line %d: want\n%s\ngot\n%s", i+1,
				strings.Join(w[i:min(i+8, len(w))], "\n"), strings.Join(g[i:min(i+8, len(g))], "\n"))
		}
	}
	return "equal"
}

// play runs a transcript and returns it with what happens now.
func play(t *testing.T, server bool, body string, size int) string {
	t.Helper()
	p := &player{t: t, peer: newPeer(), size: size, settings: ClientDefaults(), server: server}
	if server {
		p.settings = ServerDefaults()
	}
	var b strings.Builder
	for _, line := range strings.Split(body, "\n") {
		if line == "" || strings.HasPrefix(line, "  ") {
			continue
		}
		b.WriteString(line + "\n")
		p.do(line)
		if p.user != nil {
			for i, n := 0, 0; i < len(p.user.lines); i += n {
				l := p.user.lines[i]
				for n = 0; i+n < len(p.user.lines) && p.user.lines[i+n] == l; n++ {
				}
				b.WriteString("  " + shorten(l))
				if n > 1 {
					fmt.Fprintf(&b, " (%d times)", n)
				}
				b.WriteString("\n")
			}
			p.user.lines, p.user.inData = nil, ""
		}
	}
	return b.String()
}

// shorten replaces long runs of a byte.
func shorten(s string) string {
	for _, c := range []string{"a", "b"} {
		for {
			i := strings.Index(s, strings.Repeat(c, 30))
			if i < 0 {
				break
			}
			n := len(s[i:]) - len(strings.TrimLeft(s[i:], c))
			s = s[:i] + fmt.Sprintf("%s*%d", c, n) + s[i+n:]
		}
	}
	return s
}

type player struct {
	t        *testing.T
	server   bool
	settings Settings
	user     *user
	peer     *peer
	size     int
}

func (p *player) do(line string) {
	words := split(line)
	what, args := words[0]+words[1], words[2:]
	if words[0] == "?" {
		p.set(words[1], args)
		return
	}
	if p.user == nil {
		p.user = newUser(p.server, p.settings)
		p.peer.read(&p.user.out, new(log))
	}
	if words[0] == ">" {
		p.write(words[1], args)
		p.user.dispatch(p.peer.take(), p.size)
	} else if !p.act(words[1], args) {
		p.t.Fatalf("unknown command %q", what)
	}
	p.user.dispatch(nil, p.size)
	p.peer.read(&p.user.out, &p.user.log)
}

// split cuts a line at its blanks, outside of quotes.
func split(line string) (words []string) {
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		end := 0
		for end < len(line) && line[end] != ' ' {
			if line[end] == '"' {
				q, err := strconv.QuotedPrefix(line[end:])
				if err != nil {
					panic(line)
				}
				end += len(q)
				continue
			}
			end++
		}
		words, line = append(words, line[:end]), line[end:]
	}
	return words
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func (p *player) set(name string, args []string) {
	n := 0
	if len(args) > 0 {
		n = number(args[0])
	}
	s := &p.settings
	switch name {
	case "connect":
		s.AllowConnect = true
	case "metadata":
		s.AllowMetadata = true
	case "stream_error":
		s.StreamErrorOnInvalidMessaging = true
	case "streams":
		s.MaxConcurrentStreams = uint32(n)
	case "window":
		s.InitialStreamWindow = uint32(n)
	case "connection_window":
		s.InitialConnectionWindow = uint32(n)
	case "field_kb":
		s.MaxHeaderFieldKB = n
	case "underscores":
		s.Underscores = UnderscoreAction(n)
	case "resets":
		s.StreamResetBurst = uint64(n)
	case "no_obs_text":
		s.DisallowObsText = true
	case "unsent":
		p.user.unsent = n
	default:
		p.t.Fatalf("unknown setting %q", name)
	}
}

// message collects the arguments of commands that send or make messages.
type message struct {
	id                     string
	end, open              bool
	pad, times, dependency int
	fields                 [][2]string
	text                   string
}

var get = [][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}}

func parse(args []string) (m message) {
	m.times, m.dependency = 1, -1
	if len(args) > 0 {
		m.id, args = args[0], args[1:]
	}
	for _, a := range args {
		at := strings.Index(a[1:], "=") + 1
		switch {
		case a == "END":
			m.end = true
		case a == "OPEN":
			m.open = true
		case a == "GET":
			m.fields = append(m.fields, get...)
		case a == "POST":
			m.fields = append(m.fields, get...)
			m.fields[len(m.fields)-4][1] = "POST"
			m.fields[len(m.fields)-4] = [2]string{":method", "POST"}
		case strings.HasPrefix(a, "pad="):
			m.pad = number(a[4:])
		case strings.HasPrefix(a, "dep="):
			m.dependency = number(a[4:])
		case at > 0:
			value := a[at+1:]
			if strings.HasPrefix(value, `"`) {
				value, _ = strconv.Unquote(value)
			}
			name := a[:at]
			if strings.HasPrefix(name, `"`) {
				name, _ = strconv.Unquote(name)
			}
			m.fields = append(m.fields, [2]string{name, repeat(value)})
		default:
			m.text = repeat(a)
		}
	}
	return m
}

// repeat expands a*3.
func repeat(s string) string {
	if char, times, ok := strings.Cut(s, "*"); ok && char != "" {
		if n, err := strconv.Atoi(times); err == nil {
			return strings.Repeat(char, n)
		}
	}
	return s
}

// write makes the peer send a frame.
func (p *player) write(name string, args []string) {
	f := p.peer.framer
	m := parse(args)
	id, _ := strconv.Atoi(m.id)
	stream := uint32(id)
	var err error
	switch name {
	case "preface":
		p.peer.sent.WriteString(preface)
	case "hello": // preface or nothing, and settings
		if p.server {
			p.peer.sent.WriteString(preface)
		}
		err = f.WriteSettings()
	case "settings":
		var list []http2.Setting
		for i := 0; i+1 < len(args); i += 2 {
			list = append(list, http2.Setting{ID: http2.SettingID(number(args[i])), Val: uint32(number(args[i+1]))})
		}
		err = f.WriteSettings(list...)
	case "settings_ack":
		err = f.WriteSettingsAck()
	case "headers":
		h := http2.HeadersFrameParam{
			StreamID: stream, BlockFragment: p.peer.encode(m.fields), EndStream: m.end, EndHeaders: !m.open, PadLength: uint8(m.pad),
		}
		if m.dependency >= 0 {
			h.Priority = http2.PriorityParam{StreamDep: uint32(m.dependency), Weight: 1}
		}
		err = f.WriteHeaders(h)
	case "continuation":
		err = f.WriteContinuation(stream, !m.open, p.peer.encode(m.fields))
	case "data":
		if m.pad > 0 {
			err = f.WriteDataPadded(stream, m.end, []byte(m.text), make([]byte, m.pad))
		} else {
			err = f.WriteData(stream, m.end, []byte(m.text))
		}
	case "rst":
		err = f.WriteRSTStream(stream, http2.ErrCode(number(args[1])))
	case "window":
		err = f.WriteRawFrame(http2.FrameWindowUpdate, 0, stream, be32(number(args[1])))
	case "ping":
		err = f.WritePing(m.text == "ack", [8]byte{7: byte(id)})
	case "goaway":
		err = f.WriteGoAway(stream, http2.ErrCode(number(args[1])), nil)
	case "priority":
		err = f.WritePriority(stream, http2.PriorityParam{StreamDep: uint32(number(args[1]))})
	case "metadata":
		flags := http2.Flags(flagEndMetadata)
		if m.open {
			flags = 0
		}
		err = f.WriteRawFrame(http2.FrameType(frameMetadata), flags, stream, p.peer.encode(m.fields))
	case "frame": // type flags stream hex
		payload, e := hex.DecodeString(strings.Join(args[3:], ""))
		if e != nil {
			p.t.Fatal(e)
		}
		err = f.WriteRawFrame(http2.FrameType(number(args[0])), http2.Flags(number(args[1])), uint32(number(args[2])), payload)
	case "long": // type stream length
		err = f.WriteRawFrame(http2.FrameType(number(args[0])), 0, uint32(number(args[1])), make([]byte, number(args[2])))
	case "raw":
		text, e := strconv.Unquote(args[0])
		if e != nil {
			p.t.Fatal(e)
		}
		p.peer.sent.WriteString(text)
	case "repeat": // times command
		for range number(args[0]) {
			p.write(args[1], args[2:])
		}
	default:
		p.t.Fatalf("unknown frame %q", name)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func be32(n int) []byte { return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }

// act makes the user do something.
func (p *player) act(name string, args []string) bool {
	u := p.user
	m := parse(args)
	h := headersOf(m.fields)
	e := u.streams[m.id]
	data := new(buffer.Buffer)
	data.AppendString(m.text)
	switch name {
	case "start": // nothing but the codec itself
	case "interim", "reply":
		h = headersOf(append([][2]string{{":status", m.text}}, m.fields...))
		if name == "interim" {
			e.response.EncodeInterim(h)
		} else {
			e.response.EncodeHeaders(h, m.end)
		}
	case "request":
		e = u.request()
		m = parse(append([]string{""}, args...))
		if err := e.requestEnc.EncodeHeaders(headersOf(m.fields), m.end); err != nil {
			u.add("= %v", err)
		}
	case "open":
		u.request()
	case "data":
		if e.response != nil {
			e.response.EncodeData(data, m.end)
		} else {
			e.requestEnc.EncodeData(data, m.end)
		}
		if data.Len() > 0 {
			u.add("! %d bytes left", data.Len())
		}
	case "trailers":
		if e.response != nil {
			e.response.EncodeTrailers(h)
		} else {
			e.requestEnc.EncodeTrailers(h)
		}
	case "metadata":
		e.stream.EncodeMetadata(h)
	case "reset":
		e.stream.Reset(httpmsg.ResetReason(number(m.text)))
	case "disable":
		e.stream.ReadDisable(true)
	case "enable":
		e.stream.ReadDisable(false)
	case "goaway":
		u.codec().GoAway()
	case "shutdown":
		u.server.ShutdownNotice()
	case "ping":
		u.conn().Ping(uint64(number(m.id)))
	case "high":
		u.codec().OnWriteBufferHigh()
	case "low":
		u.codec().OnWriteBufferLow()
	case "expire":
		u.add("= sent: %t", e.stream.Sent())
		e.stream.ExpireFlush()
	case "close":
		if u.server != nil {
			u.server.OnClose(httpmsg.ResetConnectionTermination)
		} else {
			u.client.OnClose(httpmsg.ResetConnectionTermination)
		}
	case "meter":
		u.add("= %+v", e.meter)
	case "state":
		if u.server != nil {
			u.add("= active %d reusable %t", u.server.Active(), u.server.Reusable())
		} else {
			u.add("= active %d can open %t exhausted %t", u.client.Active(), u.client.CanOpen(), u.client.Exhausted())
		}
	case "stats":
		for _, name := range args {
			if c := u.scope.counters[name]; c != nil {
				u.add("= %s %d", name, c.Value())
			} else {
				u.add("= %s %d", name, u.scope.gauges[name].Value())
			}
		}
	default:
		return false
	}
	return true
}

func headersOf(fields [][2]string) *httpmsg.Headers {
	h := new(httpmsg.Headers)
	for _, f := range fields {
		h.Add(f[0], f[1])
	}
	return h
}
