package connpool

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/l7/keepalive"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

var update = flag.Bool("update", false, "write what happened into the transcripts")

// TestTranscripts plays testdata/*.txt: a line with ">" is a command, the lines
// below it are what it makes happen. A file begins with its limits.
//
//	limits connections=1 ...      the circuit breakers and timeouts
//	request W NAME, post W NAME   worker W wants a stream; post sends its body later.
//	                              behind it: h2, sni=NAME
//	tcp W NAME                    worker W wants a connection
//	finish, reset, cancel NAME    ends the body, gives up the stream, or the wait
//	up, refuse, timeout, eof N    what becomes of connection N
//	                              up N ALPN: with TLS
//	reply N [TEXT]                the peer sends; without TEXT a small response
//	reply N STREAM                the same in HTTP/2
//	frame N STREAM WHAT ...       the peer sends SETTINGS STREAMS, GOAWAY LAST, RST CODE,
//	                              HEADERS, END (of the body), PONG or JUNK
//	hold W, release W             stops the loop of a worker, and starts it
//	expect W RATIO http|tcp       worker W expects a request
//	advance D, drain, degrade, stats
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("got\n%s\nwant\n%s", got, text)
			}
		})
	}
}

// play runs the commands of a transcript and returns it with what happened.
func play(t *testing.T, text string) string {
	var out strings.Builder
	log := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	var h *harness
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
		if words[0] == "limits" {
			h = newHarness(parseLimits(t, words[1:]), log)
			continue
		}
		h.command(t, words[0], words[1:], command)
		h.run()
	}
	return out.String()
}

func parseLimits(t *testing.T, words []string) limits {
	l := defaultLimits()
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		d, _ := time.ParseDuration(value)
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "connections":
			l.connections = n
		case "pending":
			l.pending = n
		case "requests":
			l.requests = n
		case "per_host":
			l.perHost = n
		case "per_connection":
			l.perConnection = uint32(n)
		case "idle":
			l.idle = d
		case "duration":
			l.duration = d
		case "preconnect":
			l.preconnect, _ = strconv.ParseFloat(value, 64)
		case "ineligible":
			l.ineligible = true
		case "internal":
			l.internal = true
		case "protocol":
			l.protocol = map[string]Protocol{"http2": HTTP2, "alpn": ByALPN, "downstream": AsDownstream}[value]
		case "streams":
			l.streams = uint32(n)
		case "ping":
			l.keepAlive = &keepalive.Settings{Interval: d, Timeout: d / 2}
		default:
			t.Fatalf("no limit %q", name)
		}
	}
	return l
}

const response = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

func (h *harness) command(t *testing.T, verb string, args []string, line string) {
	number := func() int {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return n
	}
	conn := func() *fakeConn { return h.conns[number()-1] }
	switch verb {
	case "request", "post", "tcp":
		h.request(number(), args[1], verb == "post", verb == "tcp", args[2:]...)
	case "finish":
		h.requests[args[0]].finish()
	case "reset":
		h.requests[args[0]].reset()
	case "cancel":
		r := h.requests[args[0]]
		r.cancel.Cancel()
		r.end("cancelled")
	case "up":
		if len(args) > 1 {
			conn().info.TLS = &streaminfo.TLS{ALPN: args[1]}
		}
		if c := conn(); c.name != "" || len(args) > 1 {
			h.log("c%d offers %s %s", c.id, c.offered, c.name)
		}
		conn().connected()
	case "refuse":
		conn().refused()
	case "timeout":
		conn().timeout()
	case "eof":
		conn().end(network.RemoteClose, "")
	case "frame":
		conn().peer.send(t, args[1:])
	case "reply":
		if conn().peer != nil {
			conn().peer.reply(args[1])
			break
		}
		text := response
		if _, quoted, ok := strings.Cut(line, `"`); ok {
			text, _ = strconv.Unquote(`"` + quoted)
		}
		conn().deliver(text)
	case "hold":
		h.held[number()] = true
	case "release":
		h.held[number()] = false
	case "advance":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			t.Fatal(err)
		}
		h.advance(d)
	case "expect":
		ratio, _ := strconv.ParseFloat(args[1], 64)
		h.log("%v", h.pool.Preconnect(h.workers[number()], &upstream.Pick{HTTP: args[2] == "http"}, ratio))
	case "degrade":
		h.host.SetHealthFlags(host.DegradedEDSHealth, 0)
	case "drain":
		h.pool.Drain()
	case "stats":
		for _, line := range h.nonZero() {
			h.log("%s", line)
		}
	default:
		t.Fatalf("no command %q", verb)
	}
}
