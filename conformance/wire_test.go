package conformance

import (
	"bytes"
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
	conn  *net.TCPConn
	board *board
	got   []byte // under the lock of the board, as all below
	end   string // how the proxy ended it, or ""
	read  int    // how much of got the script has looked at
}

// record reads until the end.
func (w *wire) record() {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.conn.Read(buf)
		w.board.update(func() {
			w.got = append(w.got, buf[:n]...)
			switch {
			case errors.Is(err, io.EOF):
				w.end = "fin"
			case errors.Is(err, net.ErrClosed):
				w.end = "closed by the script"
			case err != nil:
				w.end = "reset"
			}
		})
		if err != nil {
			return
		}
	}
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
		if n := requestLen(w.got[w.read:]); n > 0 {
			w.read += n
			found = true
		}
		return found || w.end != ""
	})
	return found
}

// act does a step that is the same for clients and upstreams. What cannot be written
// any more needs no mention: it shows in how the connection ended.
func (w *wire) act(do string, text []byte) bool {
	switch do {
	case "send":
		_, _ = w.conn.Write(text)
	case "receive":
		return w.receive(text)
	case "fin":
		_ = w.conn.CloseWrite()
	case "close":
		_ = w.conn.Close()
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
	end := w.end
	if end == "" {
		end = "open"
	}
	return append(n.lines(w.got), "<"+end+">")
}

// An upstream accepts connections of the proxy and follows a script on each.
type upstream struct {
	listener net.Listener
	wires    []*wire // under the lock of the board
}

// serve follows the script on all connections until the listener is closed.
func (r *run) serve(name string, u *upstream, script upstreamScript) {
	for {
		c, err := u.listener.Accept()
		if err != nil {
			return
		}
		w := &wire{conn: c.(*net.TCPConn), board: r.board}
		var i int
		r.board.update(func() {
			i = min(len(u.wires), len(script.scripts)-1)
			u.wires = append(u.wires, w)
			r.names.seen[c.RemoteAddr().String()] = name + "_client"
		})
		go w.record()
		go r.play(w, script.scripts[i], script.reply)
	}
}

// play is what an upstream does on one connection.
func (r *run) play(w *wire, script []step, reply string) {
	for script == nil && w.request() {
		w.act("send", r.bytes(reply))
	}
	for _, s := range script {
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
