package asyncclient

import (
	"encoding/binary"
	"errors"

	"github.com/nuncio-proxy/nuncio/api/buffer"
)

// headerSize is the length of what precedes each message: flags, and its length.
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
const headerSize = 5

// maxKept bounds the room for a message that is kept for the next one.
const maxKept = 64 << 10

var (
	errCompressed = errors.New("compressed message")
	errTooLarge   = errors.New("message is too large")
)

// A reader cuts messages out of the bytes of a response.
type reader struct {
	in    buffer.Buffer
	max   int // length of a message
	have  int // bytes of header
	head  [headerSize]byte
	taken int    // bytes of in that are the last message
	room  []byte // for a message that lies in several blocks
}

// next returns the next message if it is complete. It is good until next or close.
func (r *reader) next() (message []byte, ok bool, err error) {
	r.in.Drain(r.taken)
	r.taken = 0
	for ; r.have < headerSize; r.have++ {
		if r.in.Len() == 0 {
			return nil, false, nil
		}
		r.head[r.have] = r.in.Front()[0]
		r.in.Drain(1)
	}
	size := binary.BigEndian.Uint32(r.head[1:])
	switch {
	case r.head[0] != 0:
		return nil, false, errCompressed
	case uint64(size) > uint64(r.max):
		return nil, false, errTooLarge
	case r.in.Len() < int(size):
		return nil, false, nil
	}
	r.have = 0
	n := int(size)
	if front := r.in.Front(); len(front) >= n {
		r.taken = n
		return front[:n], true, nil
	}
	if cap(r.room) > maxKept {
		r.room = nil
	}
	r.room = r.room[:0]
	for len(r.room) < n {
		piece := r.in.Front()
		piece = piece[:min(len(piece), n-len(r.room))]
		r.room = append(r.room, piece...)
		r.in.Drain(len(piece))
	}
	return r.room, true, nil
}

// close drops what was not read.
func (r *reader) close() { r.in.Drain(r.in.Len()) }
