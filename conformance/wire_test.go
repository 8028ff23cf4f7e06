package conformance

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// patience is how long something that is expected may take on a busy machine.
const patience = 5 * time.Second

// A board is where everything that happens in a case is written down, and waited for.
type board struct {
	mu      sync.Mutex
	changed chan struct{} // closed at the next change
}

func newBoard() *board { return &board{changed: make(chan struct{})} }

func (b *board) update(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	close(b.changed)
	b.changed = make(chan struct{})
}

// await waits until done, which runs under the lock, and gives up after the longest time.
func (b *board) await(longest time.Duration, done func() bool) bool {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	for {
		b.mu.Lock()
		isDone, changed := done(), b.changed
		b.mu.Unlock()
		if isDone {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		}
	}
}

// A wire is a connection to the proxy, or from it, with everything that came over it.
type wire struct {
	conn    *net.TCPConn
	rw      net.Conn // conn, or TLS over it
	board   *board
	server  bool            // it is a connection of an upstream
	own     bool            // the script begins HTTP/2 by itself
	hold    map[string]bool // what it does not do by itself in HTTP/2
	writing sync.Mutex

	got  []byte  // under the lock of the board, as all below; of HTTP/2 a text that stands for it
	end  string  // how the proxy ended it, or ""
	read int     // how much of got the script has looked at
	sent bool    // the script has sent something
	tls  string  // how the handshake went
	dead bool    // it went wrong
	h2   *h2Peer // nil if it is not HTTP/2
}

func newWire(conn *net.TCPConn, board *board, server bool) *wire {
	return &wire{conn: conn, rw: conn, board: board, server: server, hold: map[string]bool{}}
}

// secure makes the handshake; false means that there is no connection then.
func (w *wire) secure(config *tls.Config) bool {
	conn, line, ok := handshake(w.conn, config, w.server)
	w.board.update(func() {
		w.rw, w.tls, w.dead = conn, line, !ok
		if !ok {
			w.end = "no handshake"
		}
	})
	if !ok {
		_ = w.conn.Close()
	}
	return ok
}

// record reads until the end.
func (w *wire) record() {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.rw.Read(buf)
		w.board.update(func() {
			if answer := w.take(buf[:n]); len(answer) > 0 {
				w.write(answer) // before anything that the script does after what came
			}
			if err != nil {
				w.end = tlsEnd(err)
			}
		})
		if err != nil {
			return
		}
	}
}

// take writes down what was read, and returns what a peer of HTTP/2 answers by itself.
func (w *wire) take(b []byte) []byte {
	switch {
	case w.server && len(w.got) == 0 && w.h2 == nil && speaksH2(b):
		w.speakH2()
		if !w.own {
			w.write(w.h2.open(false)) // before anything of the script
		}
	case !w.server && w.h2 != nil && len(w.got) == 0 && bytes.HasPrefix(b, []byte("HTTP/1")):
		w.h2 = nil
	}
	if w.h2 == nil {
		w.got = append(w.got, b...)
		return nil
	}
	log, answer := w.h2.feed(b)
	w.got = append(w.got, log...)
	if !w.h2.settled { // the SETTINGS of the script come first
		w.h2.late = append(w.h2.late, answer...)
		return nil
	}
	return answer
}

// speakH2 makes it a connection of HTTP/2.
func (w *wire) speakH2() {
	scheme := "http"
	if w.tls != "" {
		scheme = "https"
	}
	w.h2 = newH2Peer(w.server, scheme)
	w.h2.hold = w.hold
}

// write sends. What cannot be written any more needs no mention: it shows in how the
// connection ended.
func (w *wire) write(b []byte) {
	w.writing.Lock()
	defer w.writing.Unlock()
	_, _ = w.rw.Write(b)
}

// sendH2 sends frames, and before them what HTTP/2 begins with.
func (w *wire) sendH2(text string) error {
	if w.server {
		w.board.await(patience, func() bool { return w.h2 != nil || w.end != "" })
	}
	var b []byte
	var err error
	w.board.update(func() {
		if w.h2 == nil {
			w.speakH2()
			w.h2.settled = w.sent // the script has begun with bytes of its own
		}
		b, err = w.h2.encode(text)
		w.sent = true
	})
	if err == nil {
		w.write(b)
	}
	return err
}

// wireEnd tells how a connection ended.
func wireEnd(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "fin"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "fin without close_notify"
	case errors.Is(err, net.ErrClosed):
		return "closed by the script"
	}
	return "reset"
}

// receive waits for a text in what the script has not looked at.
func (w *wire) receive(text []byte) bool {
	found := false
	w.board.await(patience, func() bool {
		if i := bytes.Index(w.got[w.read:], text); i >= 0 {
			w.read += i + len(text)
			found = true
		}
		return found || w.end != ""
	})
	return found
}

// request waits for a whole request.
func (w *wire) request() bool {
	found := false
	w.board.await(time.Hour, func() bool { // the client gives up first
		if w.h2 != nil {
			if id := w.h2.request(); id > 0 {
				w.h2.streams[id].answered, w.h2.writer.current = true, id
				found = true
			}
			return found || w.end != ""
		}
		if n := requestLen(w.got[w.read:]); n > 0 {
			w.read += n
			found = true
		}
		return found || w.end != ""
	})
	return found
}

// act does a step that is the same for clients and upstreams.
func (w *wire) act(do string, text []byte) bool {
	switch do {
	case "send":
		w.board.update(func() {
			if !w.server && !w.sent && speaksH2(text) {
				w.speakH2()
				w.h2.settled = true
			}
			w.sent = true
		})
		w.write(text)
	case "receive":
		return w.receive(text)
	case "hold":
		w.board.update(func() {
			for word := range strings.FieldsSeq(string(text)) {
				w.hold[word] = true
			}
		})
	case "fin":
		_ = w.rw.(interface{ CloseWrite() error }).CloseWrite()
	case "close":
		_ = w.rw.Close()
	case "reset":
		_ = w.conn.SetLinger(0)
		_ = w.conn.Close()
	case "pause":
		d, _ := time.ParseDuration(string(text))
		time.Sleep(d) // the one thing to be tested is time
	}
	return true
}

// lines are what came over the wire and how it ended. The board is locked.
func (w *wire) lines(n *names) []string {
	var lines []string
	if w.tls != "" {
		lines = append(lines, n.normalize(w.tls))
	}
	switch {
	case w.dead:
		return lines
	case w.h2 != nil:
		lines = append(lines, w.h2.lines(n)...)
	case w.server && w.tls == "" && clientHello(w.got):
		lines = append(lines, "what TLS begins with")
	default:
		lines = append(lines, n.lines(w.got)...)
	}
	end := w.end
	switch {
	case end == "":
		end = "open"
	case end == "reset" && w.h2 != nil:
		end = "fin" // a reset is the kernel's, if the proxy has not read what this peer answered by itself
	}
	return append(lines, "<"+end+">")
}

// An upstream accepts connections of the proxy and follows a script on each.
type upstream struct {
	listener net.Listener
	tls      *tls.Config // nil without TLS
	wires    []*wire     // under the lock of the board
}

// serve follows the script on all connections until the listener is closed.
func (r *run) serve(name string, u *upstream, script upstreamScript) {
	for {
		c, err := u.listener.Accept()
		if err != nil {
			return
		}
		w := newWire(c.(*net.TCPConn), r.board, true)
		var steps []step
		r.board.update(func() {
			steps = script.scripts[min(len(u.wires), len(script.scripts)-1)]
			u.wires = append(u.wires, w)
			r.names.seen[c.RemoteAddr().String()] = name + "_client"
		})
		for len(steps) > 0 && steps[0].do == "hold" {
			w.act("hold", []byte(steps[0].text))
			steps = steps[1:]
		}
		w.own = len(steps) > 0 && (steps[0].do == "send" || strings.HasPrefix(steps[0].text, "SETTINGS"))
		go func() {
			if u.tls == nil || w.secure(u.tls) {
				go w.record()
				r.play(w, steps, script.reply)
			}
		}()
	}
}

// play is what an upstream does on one connection.
func (r *run) play(w *wire, script []step, reply string) {
	for script == nil && w.request() {
		switch {
		case w.h2 == nil || reply != ok && strings.HasPrefix(reply, "HTTP/"):
			w.act("send", r.bytes(reply))
		case reply == ok:
			r.sendH2(w, okH2)
		default:
			r.sendH2(w, reply)
		}
	}
	for _, s := range script {
		if s.do == "h2" {
			r.sendH2(w, s.text)
			continue
		}
		text := r.bytes(s.text)
		var done bool
		switch s.do {
		case "request":
			done = w.request()
		case "client":
			done = r.board.await(patience, func() bool {
				return slices.ContainsFunc(r.clients, func(c *wire) bool { return c != nil && bytes.Contains(c.got, text) })
			})
		default:
			done = w.act(s.do, text)
		}
		if !done {
			return // what is missing shows in what the client gets
		}
	}
}

// okH2 is ok in HTTP/2.
const okH2 = "HEADERS * | 200 | content-length: 2\nDATA * END_STREAM | ok"

// sendH2 sends frames of the case.
func (r *run) sendH2(w *wire, text string) {
	if err := w.sendH2(r.names.expand(text)); err != nil {
		r.board.update(func() { r.failed = err })
	}
}

// requestLen is the length of the request that b starts with, 0 if it is not whole.
// Proxies send requests in one form only, so this knows no other.
func requestLen(b []byte) int {
	head := bytes.Index(b, []byte("\r\n\r\n"))
	if head < 0 {
		return 0
	}
	head += 4
	for line := range strings.SplitSeq(strings.ToLower(string(b[:head])), "\r\n") {
		switch name, value, _ := strings.Cut(line, ":"); {
		case name == "content-length":
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			if len(b) < head+n {
				return 0
			}
			return head + n
		case name == "transfer-encoding":
			if n := chunkedLen(b[head:]); n > 0 {
				return head + n
			}
			return 0
		}
	}
	return head
}

// chunkedLen is the length of the chunked body that b starts with, 0 if it is not whole.
func chunkedLen(b []byte) int {
	for at := 0; ; {
		line := bytes.Index(b[at:], []byte("\r\n"))
		if line < 0 {
			return 0
		}
		size, err := strconv.ParseInt(string(b[at:at+line]), 16, 32)
		if err != nil {
			return 0
		}
		at += line + 2
		if size == 0 {
			if bytes.HasPrefix(b[at:], []byte("\r\n")) {
				return at + 2
			}
			if end := bytes.Index(b[at:], []byte("\r\n\r\n")); end >= 0 {
				return at + end + 4
			}
			return 0
		}
		if at += int(size) + 2; at > len(b) {
			return 0
		}
	}
}

// refusing is an address where nobody listens, and nobody else will while it is in use:
// it is the near end of a connection to l.
func refusing(l net.Listener) (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
