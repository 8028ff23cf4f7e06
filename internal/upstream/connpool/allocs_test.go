package connpool

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// lean is a user of streams that allocates nothing.
type lean struct {
	request, response httpmsg.Headers
	done              int
}

func (l *lean) OnStreamReady(s upstream.RequestStream, _ upstream.Host) {
	if err := s.EncodeHeaders(&l.request, true); err != nil {
		panic(err)
	}
}
func (l *lean) OnStreamFailure(upstream.PoolFailure, string, upstream.Host) {}
func (l *lean) ResponseHeaders() *httpmsg.Headers                           { l.response.Reset(); return &l.response }
func (l *lean) OnInterim()                                                  {}
func (l *lean) OnHeaders(bool)                                              {}
func (l *lean) OnData(data *buffer.Buffer, end bool) {
	data.Drain(data.Len())
	if end {
		l.done++
	}
}
func (l *lean) OnTrailers(*httpmsg.Headers)         {}
func (l *lean) OnReset(httpmsg.ResetReason, string) {}
func (l *lean) OnWriteBufferHigh()                  {}
func (l *lean) OnWriteBufferLow()                   {}

// TestAllocations has a budget of one allocation per request: the header block of
// the response, which must be new because its strings may be kept.
func TestAllocations(t *testing.T) {
	h := newHarness(defaultLimits(), func(string, ...any) {})
	h.quiet = true
	user, pick := &lean{}, &upstream.Pick{}
	user.request.AddID(httpmsg.Method, "GET")
	user.request.AddID(httpmsg.Path, "/")
	user.request.AddID(httpmsg.Authority, "x")
	exchange := func() {
		h.pool.NewStream(h.workers[0], pick, user, user)
		c := h.conns[0]
		if c.state == 0 {
			c.connected()
		}
		c.in.AppendString(response)
		c.filter.OnData(&c.in, false)
	}
	if n := testing.AllocsPerRun(1000, exchange); n > 1 {
		t.Errorf("%v allocations per request", n)
	}
	if user.done != 1001 || len(h.conns) != 1 {
		t.Errorf("%d responses on %d connections", user.done, len(h.conns))
	}
}
