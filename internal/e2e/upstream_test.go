package e2e

import (
	"bufio"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// An upstream is a server in the test process that does to every connection what
// its script says, right or wrong.
type upstream struct {
	addr   string
	script func(*upstreamConn)
	onStop func(net.Conn) // if not nil, is told of every connection that stop closes

	mu       sync.Mutex // guards what follows
	listener net.Listener
	open     map[net.Conn]bool
	accepted int
	requests []*message // as record kept them
	done     sync.WaitGroup
}

// An upstreamConn is one connection of the proxy to an upstream.
type upstreamConn struct {
	net.Conn
	r      *bufio.Reader
	server *upstream
	number int // of the connection, from 1
}

// newUpstream starts an upstream on a port of its own.
func newUpstream(t *testing.T, script func(*upstreamConn)) *upstream {
	t.Helper()
	return newUpstreamAt(t, "tcp", "127.0.0.1:0", script)
}

func newUpstreamAt(t *testing.T, network, addr string, script func(*upstreamConn)) *upstream {
	t.Helper()
	u := &upstream{addr: addr, script: script, open: map[net.Conn]bool{}}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	u.addr = l.Addr().String()
	u.serve(l)
	return u
}

func (u *upstream) serve(l net.Listener) {
	u.mu.Lock()
	u.listener = l
	u.mu.Unlock()
	u.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			u.mu.Lock()
			if u.listener != l { // stop came in between
				u.mu.Unlock()
				c.Close()
				return
			}
			u.accepted++
			n := u.accepted
			u.open[c] = true
			u.mu.Unlock()
			u.done.Go(func() {
				u.script(&upstreamConn{Conn: c, r: bufio.NewReader(c), server: u, number: n})
				c.Close()
				u.mu.Lock()
				delete(u.open, c)
				u.mu.Unlock()
			})
		}
	})
}

// stop closes the port and all connections, and waits until the scripts have ended.
func (u *upstream) stop() {
	u.mu.Lock()
	if u.listener != nil {
		u.listener.Close()
		u.listener = nil
	}
	for c := range u.open {
		if u.onStop != nil {
			u.onStop(c)
		}
		c.Close()
	}
	u.mu.Unlock()
	u.done.Wait()
}

// restart opens the port again after stop.
func (u *upstream) restart() error {
	l, err := net.Listen("tcp", u.addr)
	if err == nil {
		u.serve(l)
	}
	return err
}

func (u *upstream) port() string {
	_, port, err := net.SplitHostPort(u.addr)
	if err != nil {
		return ""
	}
	return port
}

// connections is how many the upstream has accepted so far.
func (u *upstream) connections() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.accepted
}

// received returns the recorded requests.
func (u *upstream) received() []*message {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*message(nil), u.requests...)
}

// last returns the request that was recorded last, an empty one if there is none.
func (u *upstream) last() *message {
	if all := u.received(); len(all) > 0 {
		return all[len(all)-1]
	}
	return &message{}
}

// request reads and records a request.
func (c *upstreamConn) request() (*message, error) {
	m, err := readRequest(c.r)
	if m.head != "" {
		c.server.mu.Lock()
		c.server.requests = append(c.server.requests, m)
		c.server.mu.Unlock()
	}
	return m, err
}

// send writes bytes as they are; an error shows in the next read.
func (c *upstreamConn) send(text string) { _, _ = c.Write([]byte(text)) }

// reset ends the connection with a TCP reset.
func (c *upstreamConn) reset() { reset(c.Conn) }

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// stall waits until the peer ends the connection or the test ends.
func (c *upstreamConn) stall() {
	for {
		if _, err := c.r.ReadByte(); err != nil {
			return
		}
	}
}

// handle returns a script that answers every request of a connection with the bytes
// that f returns for it, and goes on as long as there are some.
func handle(f func(*message) string) func(*upstreamConn) {
	return func(c *upstreamConn) {
		for {
			m, err := c.request()
			if err != nil {
				return
			}
			answer := f(m)
			if answer == "" {
				return
			}
			c.send(answer)
		}
	}
}

// say returns a script that answers every request with a body.
func say(body string) func(*upstreamConn) {
	return handle(func(*message) string { return ok(body) })
}

// ok is a complete response.
func ok(body string) string {
	return "HTTP/1.1 200 OK\r\ncontent-length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// chunked encodes parts as a chunked body.
func chunked(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(strconv.FormatInt(int64(len(p)), 16) + "\r\n" + p + "\r\n")
	}
	return b.String() + "0\r\n\r\n"
}
