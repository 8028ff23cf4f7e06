package e2e

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen. It is long because it
// costs nothing unless the test fails.
const patience = 20 * time.Second

// A client is one connection of the test to the proxy.
type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

// dial connects to addr; a path or @name is a Unix domain socket.
func dial(t *testing.T, addr string) *client {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(addr, "/") || strings.HasPrefix(addr, "@") {
		network = "unix"
	}
	c, err := net.DialTimeout(network, addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, c)
}

func newClient(t *testing.T, c net.Conn) *client {
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client{Conn: c, t: t, r: bufio.NewReaderSize(c, 64<<10)}
}

// send writes bytes as they are.
func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// get sends a GET request without further headers and returns the response.
func (c *client) get(path string) *message {
	c.t.Helper()
	return c.do("GET " + path + " HTTP/1.1\r\nhost: e2e\r\n\r\n")
}

// do sends a whole request and returns its response.
func (c *client) do(request string) *message {
	c.t.Helper()
	c.send(request)
	return c.response(request)
}

// response reads the response to a request.
func (c *client) response(request string) *message {
	c.t.Helper()
	method, _, _ := strings.Cut(request, " ")
	m, err := readResponse(c.r, method)
	if err != nil {
		c.t.Fatalf("no response to %q: %v; read %q", clip(request), err, m.head+m.body)
	}
	return m
}

// rest reads until the proxy closes the connection.
func (c *client) rest() string {
	c.t.Helper()
	text, err := io.ReadAll(c.r)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("the connection is not closed: %v", err)
	}
	return string(text)
}

// wantClosed fails unless the proxy closes the connection without sending more.
func (c *client) wantClosed() {
	c.t.Helper()
	if text := c.rest(); text != "" {
		c.t.Fatalf("got %q where the connection should end", clip(text))
	}
}

// closeWrite ends the client's half of the connection.
func (c *client) closeWrite() {
	c.t.Helper()
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		c.t.Fatal("the connection has no halves")
	}
	if err := half.CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// get makes one request on a connection of its own.
func get(t *testing.T, addr, path string) *message {
	t.Helper()
	return do(t, addr, "GET "+path+" HTTP/1.1\r\nhost: e2e\r\n\r\n")
}

func do(t *testing.T, addr, request string) *message {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	return c.do(request)
}

// eventually waits until f says yes. It is for what the proxy does on its own time,
// after the last byte that the test can see.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func clip(s string) string {
	if len(s) > 300 {
		return s[:300] + "..."
	}
	return s
}

// freePort returns a port on which nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// want reads as many bytes as text has and compares them.
func (c *client) want(text string) {
	c.t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(c.r, got); err != nil || string(got) != text {
		c.t.Fatalf("got %q, %v; want %q", clip(string(got[:n])), err, clip(text))
	}
}

// noise returns n bytes without a pattern, always the same.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return string(b)
}
