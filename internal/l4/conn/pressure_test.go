package conn

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/network"
)

// An echoer sends everything back, and reads no more than its peer takes.
type echoer struct {
	sink
	conn *Conn
	most int // bytes held at any time
}

func (e *echoer) OnData(data *buffer.Buffer, end bool) network.FilterStatus {
	e.conn.Write(data, end)
	e.most = max(e.most, e.conn.in.Len()+e.conn.out.Len())
	return network.StopIteration
}

func (e *echoer) OnEvent(network.Event) {}
func (e *echoer) OnWriteBufferHigh()    { e.conn.ReadDisable(true) }
func (e *echoer) OnWriteBufferLow()     { e.conn.ReadDisable(false) }

// TestBackPressure sends much to a connection that echoes it to a slow reader:
// what comes back is what was sent, and little of it is held at any time.
func TestBackPressure(t *testing.T) {
	const limit, total = 32 << 10, 4 << 20
	eachPoller(t, func(t *testing.T, portable bool) {
		for seed := range uint64(4) {
			r := newRig(t, portable, limit)
			e := &echoer{conn: r.conn}
			r.conn.EnableHalfClose(true)
			r.conn.AddCallbacks(e)
			r.conn.AddReadFilter(e)
			r.conn.Start()

			sent := make([]byte, total)
			random := rand.NewChaCha8([32]byte{byte(seed)})
			random.Read(sent)
			go func() {
				for rest := sent; len(rest) > 0; {
					n := min(1+int(random.Uint64()%100_000), len(rest))
					if _, err := r.peer.Write(rest[:n]); err != nil {
						break
					}
					rest = rest[n:]
				}
				r.peer.CloseWrite()
			}()
			received := make(chan []byte, 1)
			go func() {
				var all bytes.Buffer
				sizes := rand.New(rand.NewPCG(seed, 1))
				for {
					if _, err := io.CopyN(&all, r.peer, 1+sizes.Int64N(50_000)); err != nil {
						break
					}
				}
				received <- all.Bytes()
			}()
			r.until(r.logged("event"))
			if got := <-received; !bytes.Equal(got, sent) {
				t.Errorf("seed %d: got %d bytes back of %d, or others", seed, len(got), len(sent))
			}
			if e.most > 2*limit+readChunk {
				t.Errorf("seed %d: held %d bytes", seed, e.most)
			}
			r.peer.Close()
		}
	})
}
