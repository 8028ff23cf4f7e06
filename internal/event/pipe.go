package event

import (
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
)

// A Pipe is one end of a connection whose both ends are on the same loop, and that no
// system knows of: bytes move from one end to the other in their blocks. It belongs to
// the loop's goroutine. Its owner passes it to Socket.OpenPipe, or calls Close.
type Pipe struct {
	loop          *Loop
	local, remote address.Address
	limit         int // of in, in bytes

	socket  *Socket // nil until OpenPipe
	peer    *Pipe   // nil when the peer is closed: nothing can be written
	in      buffer.Buffer
	ended   bool // the peer writes nothing more
	starved bool // a write did not fit into the peer's in
}

// errElsewhere is the error of attaching the end of a pipe to a loop that is not the
// pipe's.
var errElsewhere = errors.New("event: a pipe stays on its loop")

// NewPipe returns the ends of a new connection on l, from client to server. Each holds
// at most limit bytes that were written and not read.
func NewPipe(l *Loop, limit int, client, server address.Address) (atClient, atServer *Pipe) {
	atClient = &Pipe{loop: l, local: client, remote: server, limit: limit}
	atServer = &Pipe{loop: l, local: server, remote: client, limit: limit, peer: atClient}
	atClient.peer = atServer
	atClient.in.Init(l.Buffers())
	atServer.in.Init(l.Buffers())
	return atClient, atServer
}

// OpenPipe makes s the end p of a pipe. s was closed before, and can be on p's loop only.
func (s *Socket) OpenPipe(p *Pipe) {
	*s = Socket{fd: -1, open: true, pipe: p}
	p.socket = s
}

// Pipe returns the end of a pipe that s is, nil if it is something else.
func (s *Socket) Pipe() *Pipe { return s.pipe }

// Read is Socket.Read into a buffer of p's loop: it moves up to atMost bytes, without a
// copy. With bytes, too, the error may say that there is no more.
func (p *Pipe) Read(into *buffer.Buffer, atMost int) (n int, err error) {
	n = min(atMost, p.in.Len())
	into.MoveN(&p.in, n)
	p.drained()
	return n, p.more()
}

// Write is Socket.Write out of a buffer of p's loop: what it takes moves without a copy.
func (p *Pipe) Write(from *buffer.Buffer) (n int, err error) {
	room, err := p.room()
	if err != nil {
		return 0, err
	}
	n = min(room, from.Len())
	p.peer.in.MoveN(from, n)
	return n, p.wrote(from.Len() > 0)
}

// connected is an error if the peer took the connection and dropped it without a word.
func (p *Pipe) connected() error {
	if p.peer == nil && p.in.Len() == 0 {
		return syscall.EINVAL
	}
	return nil
}

// more says whether there is anything to be read.
func (p *Pipe) more() error {
	switch {
	case p.in.Len() > 0:
		return nil
	case p.ended:
		return io.EOF
	}
	return ErrAgain
}

// drained lets the peer write again when there is room worth while.
func (p *Pipe) drained() {
	if p.peer != nil && p.peer.starved && p.in.Len() <= p.limit/2 {
		p.peer.starved = false
		p.peer.tell(Writable)
	}
}

// room returns how much the peer takes now. To write after its own end, or to a peer
// that is gone, is as in Envoy an error that is no reset.
func (p *Pipe) room() (int, error) {
	if p.peer == nil || p.peer.ended {
		return 0, syscall.EINVAL
	}
	return p.limit - p.peer.in.Len(), nil
}

// wrote tells the peer of bytes. Left says that not all had room.
func (p *Pipe) wrote(left bool) error {
	p.peer.tell(Readable)
	if !left {
		return nil
	}
	p.starved = true
	return ErrAgain
}

// tell reports readiness in the next turn.
func (p *Pipe) tell(r Ready) {
	if p.socket != nil && p.socket.loop != nil {
		p.socket.Requeue(r)
	}
}

// ready returns what can be done with p now.
func (p *Pipe) ready() (r Ready) {
	if p.in.Len() > 0 {
		r |= Readable
	}
	if p.ended {
		r |= Readable | PeerClosed
	}
	return r
}

// Close ends the connection. The peer reads what was written, and then the end.
func (p *Pipe) Close() {
	p.in.Reset()
	peer := p.peer
	p.socket, p.peer = nil, nil
	if peer != nil {
		peer.peer, peer.ended = nil, true
		peer.tell(Readable | Writable | PeerClosed)
	}
}

func (p *Pipe) attach(want Ready) error {
	s := p.socket
	if s.loop != p.loop {
		s.loop, s.observer = nil, nil
		return errElsewhere
	}
	if r := p.ready() | want&Writable; r != 0 {
		s.Requeue(r)
	}
	return nil
}

func (p *Pipe) read(bufs [][]byte) (n int, err error) {
	for _, b := range bufs {
		for len(b) > 0 && p.in.Len() > 0 {
			c := copy(b, p.in.Front())
			p.in.Drain(c)
			b = b[c:]
			n += c
		}
	}
	p.drained()
	if n > 0 {
		return n, nil
	}
	return 0, p.more()
}

func (p *Pipe) write(bufs [][]byte) (n int, err error) {
	room, err := p.room()
	if err != nil {
		return 0, err
	}
	for _, b := range bufs {
		fits := min(len(b), room-n)
		p.peer.in.Append(b[:fits])
		n += fits
		if fits < len(b) {
			return n, p.wrote(true)
		}
	}
	return n, p.wrote(false)
}

func (p *Pipe) closeWrite() error {
	if p.peer == nil {
		return net.ErrClosed
	}
	p.peer.ended = true
	p.peer.tell(Readable | PeerClosed)
	return nil
}
