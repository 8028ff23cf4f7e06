package h2

import (
	"testing"
	"unsafe"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// quick is a user of either side that keeps nothing.
type quick struct {
	enc     codec.ResponseEncoder
	headers httpmsg.Headers
	meter   streaminfo.Meter
	reply   *httpmsg.Headers
	body    []byte
	data    buffer.Buffer
	ended   int
}

func (q *quick) NewStream(enc codec.ResponseEncoder) codec.RequestDecoder { q.enc = enc; return q }
func (q *quick) Meter() *streaminfo.Meter                                 { return &q.meter }
func (q *quick) RequestHeaders() *httpmsg.Headers                         { q.headers.Reset(); return &q.headers }
func (q *quick) ResponseHeaders() *httpmsg.Headers                        { return q.RequestHeaders() }
func (q *quick) DecodeInterim()                                           {}
func (q *quick) DecodeData(data *buffer.Buffer, _ bool)                   { data.Drain(data.Len()) }
func (q *quick) DecodeTrailers(*httpmsg.Headers)                          {}
func (q *quick) OnProtocolError(*codec.Error)                             {}
func (q *quick) OnReset(httpmsg.ResetReason)                              {}
func (q *quick) OnWriteBufferHigh()                                       {}
func (q *quick) OnWriteBufferLow()                                        {}
func (q *quick) Unsent() int                                              { return 0 }
func (q *quick) Redispatch()                                              {}
func (q *quick) OnStreamEnd(codec.ResponseDecoder)                        { q.ended++ }
func (q *quick) OnGoAway(uint32, ErrorCode)                               {}
func (q *quick) OnSettings()                                              {}
func (q *quick) AllowsReset() bool                                        { return true }
func (q *quick) OnPingAck(uint64)                                         {}

func (q *quick) DecodeHeaders(bool) {
	if q.enc == nil {
		return // a client
	}
	q.enc.EncodeHeaders(q.reply, q.body == nil)
	if q.body != nil {
		q.data.Append(q.body)
		q.enc.EncodeData(&q.data, true)
	}
}

// A pair is a client and a server, ready for requests.
type pair struct {
	tb               testing.TB
	pool             buffer.Pool
	cu, su           quick
	toServer, toUser buffer.Buffer
	client           *ClientConnection
	server           *ServerConnection
	request          *httpmsg.Headers
}

func newPair(tb testing.TB, body int) *pair {
	p := &pair{tb: tb}
	p.su.reply = headersOf([][2]string{
		{":status", "200"}, {"content-type", "text/plain"}, {"etag", "100"}, {"server", "test"},
		{"date", "Mon, 01 Jan 2024 00:00:00 GMT"}, {"x-request-id", "8f3a6c1e-0b1e-4c8a-9d4e-1234567890ab"},
	})
	p.request = headersOf([][2]string{
		{":method", "GET"}, {":scheme", "http"}, {":path", "/some/path?with=query"}, {":authority", "example.com"},
		{"user-agent", "test/1.0"}, {"accept", "*/*"}, {"x-request-id", "8f3a6c1e-0b1e-4c8a-9d4e-1234567890ab"},
	})
	if body > 0 {
		p.su.body = make([]byte, body)
		p.su.data.Init(&p.pool)
	}
	p.toServer.Init(&p.pool)
	p.toUser.Init(&p.pool)
	c, s := ClientDefaults(), ServerDefaults()
	st := NewStats(newScope())
	p.client = NewClient(&p.cu, &c, st, stats.Any, new(Streams), &p.toServer)
	p.server = NewServer(&p.su, &p.su, &s, st, stats.Any, new(Streams), &p.toUser)
	p.exchange()
	p.exchange()
	return p
}

func (p *pair) exchange() {
	if err := p.server.Dispatch(&p.toServer); err != nil {
		p.tb.Fatal(err)
	}
	if err := p.client.Dispatch(&p.toUser); err != nil {
		p.tb.Fatal(err)
	}
}

func (p *pair) run() {
	e := p.client.NewStream(&p.cu)
	if err := e.EncodeHeaders(p.request, true); err != nil {
		p.tb.Fatal(err)
	}
	p.exchange()
}

// TestAllocationBudget bounds what a request and its response cost on both sides
// together: the strings of each header block.
func TestAllocationBudget(t *testing.T) {
	for _, body := range []int{0, 100, 100_000} {
		p := newPair(t, body)
		for range 100 {
			p.run()
		}
		p.cu.ended = 0
		if n := testing.AllocsPerRun(1000, p.run); n > 2 {
			t.Errorf("body of %d bytes: %.1f allocations, want at most 2", body, n)
		}
		if p.cu.ended != 1001 {
			t.Errorf("%d streams ended, want 1001", p.cu.ended)
		}
	}
}

// TestIdleSize bounds what a connection without streams holds.
func TestIdleSize(t *testing.T) {
	p := newPair(t, 100)
	for range 10 {
		p.run()
	}
	size := int(unsafe.Sizeof(*p.server))
	c := &p.server.connection
	size += (cap(c.streams) + cap(c.retired) + cap(c.writer.pending.ends)) * 8
	size += cap(c.reader.part) + cap(c.reader.block.bytes)
	t.Logf("idle connection: %d bytes without HPACK tables (connection %d, stream %d)", size, unsafe.Sizeof(*p.server), unsafe.Sizeof(stream{}))
	if size > 2560 {
		t.Errorf("an idle connection holds %d bytes", size)
	}
	if p.pool.InUse() != 0 {
		t.Errorf("%d blocks are in use", p.pool.InUse())
	}
}

func BenchmarkExchange(b *testing.B) {
	p := newPair(b, 100)
	b.ReportAllocs()
	for b.Loop() {
		p.run()
	}
}

func BenchmarkBody(b *testing.B) {
	p := newPair(b, 1<<20)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		p.run()
		for p.client.Active() > 0 {
			p.server.OnWriteBufferLow()
			p.exchange()
		}
	}
}
