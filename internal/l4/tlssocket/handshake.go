package tlssocket

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"

	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// maxPending bounds the bytes that a handshake was given and has not read.
const maxPending = 32 << 10

// A handshake runs on a goroutine of its own; the worker brings what arrives and takes
// what is to be sent.
type handshake struct {
	// set in the constructor, read-only after
	all     *Handshakes
	context Context
	session *streaminfo.TLS
	conn    *tls.Conn
	tell    func() // makes the worker look; called with told set, by any goroutine
	wake    chan struct{}
	aborted chan struct{} // closed by the worker

	// owned by the goroutine of the handshake
	computing bool // it holds a slot of all

	mu    sync.Mutex // guards what follows
	in    []byte     // in[taken:] was not read yet
	taken int
	ended error // what follows in; nil as long as more may come
	full  bool  // the worker waits for room in in
	out   []byte
	told  bool
	// the result
	done  bool
	err   error
	state tls.ConnectionState
}

// begin starts the goroutine.
func (h *handshake) begin() {
	h.all.goroutines.Add(1)
	h.all.active.Inc(stats.Any)
	go h.run()
}

func (h *handshake) run() {
	defer h.all.goroutines.Done()
	defer h.all.active.Dec(stats.Any)
	err := h.shake()
	if h.computing {
		h.all.release()
	}
	h.mu.Lock()
	h.done, h.err = true, err
	h.announce()
	h.mu.Unlock()
}

// shake makes the handshake. It fails if anything in it panics: certificates and what
// is made of them come from the peer.
func (h *handshake) shake() (err error) {
	if h.all.onPanic != nil {
		defer func() {
			if value := recover(); value != nil {
				h.all.onPanic(value, debug.Stack())
				err = fmt.Errorf("panic: %v", value)
			}
		}()
	}
	if err := h.compute(); err != nil {
		return err
	}
	if err := h.conn.Handshake(); err != nil {
		return err
	}
	h.state = h.conn.ConnectionState()
	return h.context.Describe(h.session, &h.state)
}

// compute waits for a turn to compute.
func (h *handshake) compute() error {
	err := h.all.acquire(h.aborted)
	h.computing = err == nil
	return err
}

// pause lets others compute while this one waits.
func (h *handshake) pause(wait func()) error {
	h.all.release()
	h.computing = false
	wait()
	select {
	case <-h.aborted:
		return net.ErrClosed
	default:
		return h.compute()
	}
}

// await waits for the worker to bring something.
func (h *handshake) await() {
	select {
	case <-h.wake:
	case <-h.aborted:
	}
}

// announce makes the worker look, once until it has. mu is held.
func (h *handshake) announce() {
	if !h.told {
		h.told = true
		h.tell()
	}
}

// read is the Read of crypto/tls. While it waits, others compute.
func (h *handshake) read(p []byte) (int, error) {
	h.mu.Lock()
	for h.taken == len(h.in) && h.ended == nil {
		h.mu.Unlock()
		if err := h.pause(h.await); err != nil {
			return 0, err
		}
		h.mu.Lock()
	}
	defer h.mu.Unlock()
	n := copy(p, h.in[h.taken:])
	h.taken += n
	if n == 0 {
		return 0, h.ended
	}
	if h.taken == len(h.in) {
		h.in, h.taken = h.in[:0], 0
	}
	if h.full {
		h.announce()
	}
	return n, nil
}

// write is the Write of crypto/tls.
func (h *handshake) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out = append(h.out, p...)
	h.announce()
	return len(p), nil
}

// room returns how much bring takes; if it is nothing, the worker is told when there is
// room.
func (h *handshake) room() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := maxPending - (len(h.in) - h.taken)
	h.full = n <= 0
	return n
}

// bring hands over what has arrived, or what err says instead.
func (h *handshake) bring(p []byte, err error) {
	h.mu.Lock()
	if h.taken > 0 {
		h.in = h.in[:copy(h.in, h.in[h.taken:])]
		h.taken = 0
	}
	h.in = append(h.in, p...)
	if err != nil {
		h.ended = err
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// connectionError is why the connection ended before the handshake did, nil if that is
// not why the handshake failed.
func (h *handshake) connectionError() error {
	if h.ended != nil && (errors.Is(h.err, h.ended) || errors.Is(h.err, io.ErrUnexpectedEOF)) {
		return h.ended
	}
	return nil
}
