package hcm

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
	testfilter "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

var update = flag.Bool("update", false, "write what happened into the transcripts")

// A puppet is a terminal filter that does what the test says.
type puppet struct {
	p        *puppeteer
	cb       httpfilter.Callbacks
	path     string
	response httpmsg.Headers
	body     buffer.Buffer
	begun    bool
	redone   bool
	highs    int // of the client, without their lows
}

// A puppeteer plays a client of HTTP/2 and the last filter.
type puppeteer struct {
	*harness
	t       testing.TB
	log     func(format string, args ...any)
	puppets map[string]*puppet // of the requests that are open, by path
	read    int                // bytes of conn.sent that were looked at
}

func newPuppeteer(t testing.TB, log func(string, ...any), change func(*config)) *puppeteer {
	p := &puppeteer{t: t, log: log, puppets: map[string]*puppet{}}
	p.harness = newHarness(t, func(c *config) {
		c.codecType, c.http2 = http2Codec, h2.ServerDefaults()
		stats := h2.NewStats(metrics.New(1))
		c.http2Stats = func() *h2.Stats { return stats }
		c.runtime = testfilter.Runtime{prematureResetCountKey: "8"}
		c.upgrades = []upgradeConfig{{kind: "CONNECT", enabled: true}, {kind: "websocket", enabled: true}}
		c.http2.AllowConnect = true
		if change != nil {
			change(c)
		}
	}, p.newPuppet)
	p.conn.receive("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2frame(4, 0, 0, ""))
	p.look()
	return p
}

func (p *puppeteer) newPuppet(cb httpfilter.Callbacks) httpfilter.Filter {
	x := &puppet{p: p, cb: cb}
	x.body.Init(cb.Dispatcher().Buffers())
	return x
}

func (x *puppet) DecodeHeaders(h *httpmsg.Headers, end bool) httpfilter.HeadersStatus {
	x.path = h.Get(httpmsg.Path)
	if x.path == "" {
		x.path = h.Get(httpmsg.Authority)
	}
	x.p.log("%s %s end=%v", h.Get(httpmsg.Method), x.path, end)
	x.p.puppets[x.path] = x
	x.cb.WatchDownstream(x)
	if strings.HasPrefix(x.path, "/now") {
		x.answer("end")
	}
	return httpfilter.StopIteration
}

func (x *puppet) DecodeData(data *buffer.Buffer, end bool) httpfilter.DataStatus {
	x.p.log("%s data %d end=%v", x.path, data.Len(), end)
	return httpfilter.DataStopNoBuffer
}

func (x *puppet) DecodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	x.p.log("%s trailers", x.path)
	return httpfilter.TrailersStop
}

func (x *puppet) DecodeMetadata(m *httpmsg.Headers) { x.p.log("%s metadata %d", x.path, m.Len()) }

func (x *puppet) OnDownstreamHigh() { x.highs++; x.p.log("%s high", x.path) }
func (x *puppet) OnDownstreamLow()  { x.highs--; x.p.log("%s low", x.path) }

func (x *puppet) OnDestroy() {
	x.p.log("%s over", x.path)
	if x.p.puppets[x.path] == x {
		delete(x.p.puppets, x.path)
	}
}

func (x *puppet) Reset() { *x = puppet{p: x.p, cb: x.cb, response: x.response, body: x.body} }

// answer sends headers, bytes of a body ("5", "5+" if more follows), trailers, or the end.
func (x *puppet) answer(what string) {
	switch {
	case what == "reply":
		x.cb.SendLocalReply(httpfilter.LocalReply{Status: 503, Body: "no", Details: "no"})
	case what == "reset":
		x.cb.ResetStream(httpmsg.ResetLocalReset, "gave_up")
	case what == "redo":
		if !x.redone && x.cb.RecreateStream(nil) {
			return
		}
	case what == "metadata":
		var m httpmsg.Headers
		m.Add("x-m", "1")
		x.cb.(httpfilter.MetadataSender).SendResponseMetadata(&m)
	case what == "high":
		x.cb.RequestHigh()
	case what == "low":
		x.cb.RequestLow()
	case !x.begun:
		x.begun = true
		x.response.Reset()
		status := 200
		if h := x.cb.RequestHeaders(); h != nil && h.Has(httpmsg.Upgrade) {
			status = 101
		}
		x.response.SetStatusCode(status)
		x.cb.StartResponse(&x.response, what == "end", "via_upstream")
		if what != "end" && what != "headers" {
			x.answer(what)
		}
	case what == "trailers":
		var t httpmsg.Headers
		t.Add("x-t", "1")
		x.cb.SendResponseTrailers(&t)
	case what == "end":
		x.cb.SendResponseData(&x.body, true)
	case what != "headers":
		size, more := strings.CutSuffix(what, "+")
		n, err := strconv.Atoi(size)
		if err != nil {
			x.p.t.Fatal(what, err)
		}
		x.body.AppendString(strings.Repeat("b", n))
		x.cb.SendResponseData(&x.body, !more)
		x.body.Drain(x.body.Len()) // if nobody wants it any more
	}
}

func h2frame(typ, flags byte, stream uint32, payload string) string {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), typ, flags, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(b[5:], stream)
	return string(b) + payload
}

func h2word(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

func literal(name, value string) string {
	return "\x00" + string(rune(len(name))) + name + string(rune(len(value))) + value
}

// look logs the frames that the manager has sent.
func (p *puppeteer) look() {
	for rest := p.conn.sent.String()[p.read:]; len(rest) >= 9; rest = p.conn.sent.String()[p.read:] {
		n := int(rest[0])<<16 | int(rest[1])<<8 | int(rest[2])
		flags, id, payload := rest[4], binary.BigEndian.Uint32([]byte(rest[5:])), rest[9:9+n]
		end := flags&1 != 0
		switch rest[3] {
		case 0:
			p.log("  < DATA %d %d end=%v", id, n, end)
		case 1:
			p.log("  < HEADERS %d end=%v", id, end)
		case 3:
			p.log("  < RST_STREAM %d %d", id, payload[3])
		case 6:
			p.log("  < PING %d", flags)
		case 0x4d:
			p.log("  < METADATA %d", id)
		case 7:
			p.log("  < GOAWAY %d %d", binary.BigEndian.Uint32([]byte(payload)), payload[7])
		}
		p.read += 9 + n
	}
	for _, line := range p.harness.log {
		p.log("  log %s", line)
	}
	p.harness.log = nil
	if p.conn.closed != "" {
		p.log("  closed %s", p.conn.closed)
		p.conn.closed = ""
	}
}

// do runs a command:
//
//	get, post, connect, websocket ID PATH   data ID N [end]   trailers ID   metadata ID
//	rst ID CODE   window ID N   settings N (the initial window)   goaway   ping   pong   junk
//	answer PATH WHAT   advance D   drain   close   ended (there is nothing left)
func (p *puppeteer) do(words []string) {
	number := func(i int) uint32 {
		n, err := strconv.ParseUint(words[i], 10, 32)
		if err != nil {
			p.t.Fatal(words, err)
		}
		return uint32(n)
	}
	switch words[0] {
	case "get":
		p.conn.receive(h2frame(1, 5, number(1), "\x82\x86\x41\x01a"+"\x04"+string(rune(len(words[2])))+words[2]))
	case "post":
		p.conn.receive(h2frame(1, 4, number(1), "\x83\x86\x41\x01a"+"\x04"+string(rune(len(words[2])))+words[2]))
	case "connect":
		p.conn.receive(h2frame(1, 4, number(1), literal(":method", "CONNECT")+literal(":authority", words[2])))
	case "websocket":
		p.conn.receive(h2frame(1, 4, number(1), literal(":method", "CONNECT")+literal(":protocol", "websocket")+
			"\x86\x41\x01a\x04"+string(rune(len(words[2])))+words[2]))
	case "data":
		flags := byte(0)
		if len(words) > 3 {
			flags = 1
		}
		p.conn.receive(h2frame(0, flags, number(1), strings.Repeat("d", int(number(2)))))
	case "trailers":
		p.conn.receive(h2frame(1, 5, number(1), literal("x-t", "1")))
	case "metadata":
		p.conn.receive(h2frame(0x4d, 4, number(1), literal("x-m", "1")))
	case "rst":
		p.conn.receive(h2frame(3, 0, number(1), h2word(number(2))))
	case "window":
		p.conn.receive(h2frame(8, 0, number(1), h2word(number(2))))
	case "settings":
		p.conn.receive(h2frame(4, 0, 0, "\x00\x04"+h2word(number(1))))
	case "goaway":
		p.conn.receive(h2frame(7, 0, 0, h2word(0)+h2word(0)))
	case "ping":
		p.conn.receive(h2frame(6, 0, 0, "12345678"))
	case "pong":
		p.conn.receive(h2frame(6, 1, 0, "12345678"))
	case "junk":
		p.conn.receive(h2frame(5, 4, 1, "junk"))
	case "answer":
		if x := p.puppets[words[1]]; x != nil {
			x.answer(words[2])
		}
	case "advance":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			p.t.Fatal(words, err)
		}
		p.loop.Advance(d)
	case "high":
		for _, cb := range p.conn.callbacks {
			cb.OnWriteBufferHigh()
		}
	case "low":
		for _, cb := range p.conn.callbacks {
			cb.OnWriteBufferLow()
		}
	case "close":
		p.conn.remoteClose()
	case "idle":
		if m, ok := p.conn.reader.(network.IdleCloser); ok {
			m.CloseIfIdle()
		}
	case "ended":
		p.checkClean()
		if n := len(p.puppets); n > 0 {
			p.t.Errorf("%d requests are left", n)
		}
	default:
		p.t.Fatal("no command", words)
	}
	p.loop.Run()
	p.look()
}

// TestHTTP2 plays testdata/http2/*.txt: a line with ">" is a command, the lines below it
// are what it makes happen. "connection" with settings begins another one.
func TestHTTP2(t *testing.T) {
	files, err := filepath.Glob("testdata/http2/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playHTTP2(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("got\n%s\nwant\n%s", got, text)
			}
		})
	}
}

func playHTTP2(t *testing.T, text string) string {
	var out strings.Builder
	log := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	var p *puppeteer
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "#") {
			log("%s", line)
		}
		command, ok := strings.CutPrefix(line, "> ")
		if !ok {
			continue
		}
		log("> %s", command)
		words := strings.Fields(command)
		if words[0] == "connection" {
			p = newPuppeteer(t, log, func(c *config) { configure(t, c, words[1:]) })
			continue
		}
		p.do(words)
	}
	return out.String()
}

func configure(t *testing.T, c *config, words []string) {
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		d, _ := time.ParseDuration(value)
		n, _ := strconv.Atoi(value)
		switch name {
		case "flush":
			c.streamFlushTimeout = d
		case "idle":
			c.idleTimeout = d
		case "stream_idle":
			c.streamIdleTimeout = d
		case "duration":
			c.maxConnectionDuration = d
		case "stream_duration":
			c.maxStreamDuration = d
		case "requests":
			c.maxRequestsPerConnection = n
		case "window":
			c.http2.InitialStreamWindow = uint32(n)
		case "metadata":
			c.http2.AllowMetadata = true
		case "stream_errors":
			c.http2.StreamErrorOnInvalidMessaging = true
		default:
			t.Fatal("no setting", w)
		}
	}
}

// TestHTTP2Random does whatever comes to its mind, with streams that end in every way. In
// the end nothing is left.
func TestHTTP2Random(t *testing.T) {
	for seed := range uint64(400) {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { randomHTTP2(t, seed) }) {
			return
		}
	}
}

func randomHTTP2(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 7))
	var log strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&log, format+"\n", args...) }
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("panic: %v", r)
		}
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	p := newPuppeteer(t, say, func(c *config) {
		c.streamFlushTimeout = time.Duration(random.IntN(3)) * time.Second
		c.streamIdleTimeout = time.Duration(random.IntN(4)) * 2 * time.Second
		c.maxStreamDuration = time.Duration(random.IntN(3)) * 5 * time.Second
		c.maxRequestsPerConnection = random.IntN(3) * 20
		c.http2.StreamErrorOnInvalidMessaging = random.IntN(2) == 0
		c.runtime = testfilter.Runtime{prematureResetCountKey: "1000"}
	})
	if random.IntN(2) == 0 {
		p.do([]string{"settings", "10"})
	}
	next := 1
	var bodies []string // streams whose request is not complete
	for range 200 {
		id := fmt.Sprint(max(1, next-2*random.IntN(6)-2))
		command := ""
		switch n := random.IntN(100); {
		case n < 20 || next == 1:
			id = fmt.Sprint(next)
			next += 2
			method := pick("get", "post", "post", "connect", "websocket")
			command = method + " " + id + " " + pick("/now", "/p", "/p", "/p") + id
			if method != "get" {
				bodies = append(bodies, id)
			}
		case n < 33 && random.IntN(50) > 0: // or perhaps what breaks the protocol
			if len(bodies) == 0 {
				continue
			}
			i := random.IntN(len(bodies))
			command = "data " + bodies[i] + " " + pick("0", "5", "2000")
			if random.IntN(3) == 0 {
				command = pick("trailers "+bodies[i], command+" end", "rst "+bodies[i]+" 8")
				bodies = slices.Delete(bodies, i, i+1)
			}
		case n < 33:
			command = pick("data "+id+" 5", "trailers "+id)
		case n < 34:
			command = "rst " + id + " " + pick("0", "5", "8")
		case n < 47:
			command = "window " + pick("0", id) + " " + pick("1", "10", "2000")
		case n < 48:
			command = "settings " + pick("0", "5", "70000")
		case n < 49:
			command = pick("goaway", "ping", "pong", "pong", "idle", "idle", "high", "low", "high", "low", "junk", "close")
		case n < 55:
			command = "advance " + pick("1s", "1s", "3s")
		default:
			command = "answer /p" + id + " " + pick("headers", "5+", "5", "2000+", "end", "end", "trailers", "reply", "reset", "redo", "high", "low")
		}
		say("> %s", command)
		p.do(strings.Fields(command))
		if p.conn.state != network.Open {
			break
		}
	}
	p.conn.remoteClose()
	p.do([]string{"ended"})
}

// TestResetRate lets a client reset as many streams as the burst says, and as many more
// as the rate says for each second.
func TestResetRate(t *testing.T) {
	now := loop.New(1)
	m := &manager{d: now, cfg: &config{http2: h2.Settings{StreamResetBurst: 5, StreamResetRate: 2}}}
	x := &http2{m: m, resets: 5, counted: now.Now()}
	for i, c := range []struct {
		after time.Duration
		want  int
	}{{0, 5}, {0, 0}, {900 * time.Millisecond, 0}, {200 * time.Millisecond, 2}, {2 * time.Second, 4}, {time.Hour, 5}} {
		now.Advance(c.after)
		n := 0
		for x.AllowsReset() {
			n++
		}
		if n != c.want {
			t.Errorf("%d: %d resets are allowed, want %d", i, n, c.want)
		}
	}
}
