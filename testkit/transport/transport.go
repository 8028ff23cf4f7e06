// Package transport holds a fake of the connection below a transport socket, for tests of
// transport sockets: the test plays the peer.
package transport

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

// A Fake is a transport.Callbacks. Its members are for the test to read and to set.
type Fake struct {
	Loop *loop.Fake
	// Input is what the peer has sent and nobody has read; InputEnd, unless nil, is what
	// reading returns behind it.
	Input    string
	InputEnd error
	// Output is what was sent, OutputEnded that the sending half was ended.
	Output      string
	OutputEnded bool
	// Room is how many bytes the system takes; what is more has to wait.
	Room int
	// Slice is how many bytes one call reads at most; 0 for no limit.
	Slice int
	// Up counts the calls of Connected; WantsRead and WantsWrite that Readable and Writable
	// were called.
	Up                    int
	WantsRead, WantsWrite bool

	info streaminfo.Connection
}

var _ transport.Callbacks = (*Fake)(nil)

// New returns a connection on l that takes all that is sent.
func New(l *loop.Fake) *Fake { return &Fake{Loop: l, Room: 1 << 30} }

// ReadRaw implements transport.Raw.
func (f *Fake) ReadRaw(into [][]byte) (n int, err error) {
	for _, p := range into {
		if f.Slice > 0 {
			p = p[:min(len(p), f.Slice-n)]
		}
		took := copy(p, f.Input)
		f.Input = f.Input[took:]
		n += took
	}
	switch {
	case n > 0:
		return n, nil
	case f.InputEnd != nil:
		return 0, f.InputEnd
	}
	return 0, transport.ErrAgain
}

// WriteRaw implements transport.Raw.
func (f *Fake) WriteRaw(from [][]byte) (n int, err error) {
	for _, p := range from {
		fits := min(len(p), f.Room)
		f.Output += string(p[:fits])
		f.Room -= fits
		n += fits
		if fits < len(p) {
			return n, transport.ErrAgain
		}
	}
	return n, nil
}

// CloseWriteRaw implements transport.Raw.
func (f *Fake) CloseWriteRaw() error {
	f.OutputEnded = true
	return nil
}

// Dispatcher implements transport.Callbacks.
func (f *Fake) Dispatcher() event.Dispatcher { return f.Loop }

// Info implements transport.Callbacks.
func (f *Fake) Info() *streaminfo.Connection { return &f.info }

// Connected implements transport.Callbacks.
func (f *Fake) Connected() { f.Up++ }

// Readable implements transport.Callbacks.
func (f *Fake) Readable() { f.WantsRead = true }

// Writable implements transport.Callbacks.
func (f *Fake) Writable() { f.WantsWrite = true }

// Read returns what s reads now, and the error that ended it.
func (f *Fake) Read(s transport.Socket) (string, error) {
	var b buffer.Buffer
	b.Init(f.Loop.Buffers())
	for {
		_, err := s.Read(&b, 1<<16)
		if err != nil {
			text := b.String()
			b.Reset()
			return text, err
		}
	}
}

// Write writes text to s, as often as it takes some, and returns what it left.
func (f *Fake) Write(s transport.Socket, text string, endStream bool) (left string, err error) {
	var b buffer.Buffer
	b.Init(f.Loop.Buffers())
	b.AppendString(text)
	_, err = s.Write(&b, endStream)
	left = b.String()
	b.Reset()
	return left, err
}
