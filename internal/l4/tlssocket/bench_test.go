package tlssocket

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/transport"
)

// sizes are those of a request and of a part of a big body.
var sizes = []int{200, 64 << 10}

// BenchmarkSocket writes a message on one end and reads it on the other; compare with
// BenchmarkConn, which is crypto/tls alone.
func BenchmarkSocket(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := newRig(b, serverConfig(), clientConfig())
			r.start()
			r.until("handshake", r.bothUp)
			r.turn()
			var out, in buffer.Buffer
			out.Init(r.loop.Buffers())
			in.Init(r.loop.Buffers())
			text, store := strings.Repeat("x", size), make([]byte, 0, 1<<17)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				r.server.raw = store
				out.AppendString(text)
				if n, err := r.client.socket.Write(&out, false); n != size || err != nil {
					b.Fatal(n, err)
				}
				for in.Len() < size {
					if _, err := r.server.socket.Read(&in, 1<<16); err != nil && err != transport.ErrAgain {
						b.Fatal(err)
					}
				}
				in.Drain(size)
			}
		})
	}
}

// A queue is a net.Conn whose other end is another queue.
type queue struct {
	bytes.Buffer
	to *queue
}

func (q *queue) Read(p []byte) (int, error) {
	if q.Len() == 0 {
		return 0, transport.ErrAgain
	}
	return q.Buffer.Read(p)
}
func (q *queue) Write(p []byte) (int, error)      { return q.to.Buffer.Write(p) }
func (q *queue) Close() error                     { return nil }
func (q *queue) LocalAddr() net.Addr              { return remote("") }
func (q *queue) RemoteAddr() net.Addr             { return remote("") }
func (q *queue) SetDeadline(time.Time) error      { return nil }
func (q *queue) SetReadDeadline(time.Time) error  { return nil }
func (q *queue) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkConn is crypto/tls alone, over memory.
func BenchmarkConn(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			x, y := net.Pipe()
			client, server := tls.Client(swap(x), clientConfig()), tls.Server(swap(y), serverConfig())
			done := make(chan error)
			go func() { done <- server.Handshake() }()
			if err := client.Handshake(); err != nil {
				b.Fatal(err)
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			left, right := &queue{}, &queue{}
			left.to, right.to = right, left
			client.NetConn().(*swapped).Conn, server.NetConn().(*swapped).Conn = left, right
			text, in := []byte(strings.Repeat("x", size)), make([]byte, 16<<10)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := client.Write(text); err != nil {
					b.Fatal(err)
				}
				for got := 0; got < size; {
					n, err := server.Read(in)
					if err != nil {
						b.Fatal(err)
					}
					got += n
				}
			}
		})
	}
}

// A swapped is a connection that is another one later.
type swapped struct{ net.Conn }

func swap(c net.Conn) net.Conn { return &swapped{c} }
