package asyncclient

import (
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/grpcclient"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// A passing chain is the filters of a cluster: they add a header to what they let pass. It
// is also the httpfilter.UpstreamFilters that it is made by.
type passing struct {
	upstream.ResponseHandler
	cb     httpfilter.Callbacks
	stream *filtertest.Attempt // nil before Ready
	resets int
	answer *httpfilter.LocalReply // to the headers, nil for none
}

func (p *passing) NewChain(cb httpfilter.Callbacks, h upstream.ResponseHandler) httpfilter.UpstreamChain {
	p.cb, p.ResponseHandler = cb, h
	return p
}

func (p *passing) Ready(s upstream.RequestStream) { p.stream = s.(*filtertest.Attempt) }

func (p *passing) EncodeHeaders(h *httpmsg.Headers, end bool) error {
	if p.answer != nil {
		p.cb.SendLocalReply(*p.answer)
		return nil
	}
	u := &p.cb.Stream().Upstream
	h.Append("x-filtered", u.Cluster+" "+u.Host.String())
	return p.stream.EncodeHeaders(h, end)
}
func (p *passing) EncodeData(data *buffer.Buffer, end bool) { p.stream.EncodeData(data, end) }
func (p *passing) EncodeTrailers(h *httpmsg.Headers)        { p.stream.EncodeTrailers(h) }
func (p *passing) ReadDisable(disable bool)                 { p.stream.ReadDisable(disable) }
func (p *passing) Connection() *upstream.StreamConnection   { return p.stream.Connection() }
func (p *passing) Reset(reason httpmsg.ResetReason) {
	p.resets++
	if p.stream != nil && p.stream.Open() {
		p.stream.Reset(reason)
	}
}

// TestFilters: a call goes through the filters of its cluster, which end with it, once.
func TestFilters(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer *httpfilter.LocalReply
		do     func(b *bench)
		want   string
	}{
		{"a whole call", nil, func(b *bench) {
			b.call.Send([]byte("m"), true)
			a := b.stream()
			if sent := a.SentText(); !strings.HasSuffix(sent, "x-filtered: a 127.0.0.1:8001\n\n"+frame("m")+"\n") {
				t.Errorf("sent %q", sent)
			}
			a.Respond(false, grpcHeaders...)
			a.Send(frame("one"), false)
			a.SendTrailers("grpc-status", "0")
		}, `message "one"; 0 `},
		{"no stream", nil, func(b *bench) { b.cluster.Last().Fail(upstream.ConnectTimeout, "") },
			"14 upstream connect error or disconnect/reset before headers. reset reason: connection timeout"},
		{"a reset", nil, func(b *bench) { b.stream().Break(httpmsg.ResetRemoteReset, "") },
			"14 upstream connect error or disconnect/reset before headers. reset reason: remote reset"},
		{"cancelled while it waits", nil, func(b *bench) { b.call.Cancel() }, ""},
		{"cancelled amid the response", nil, func(b *bench) {
			b.stream().Respond(false, grpcHeaders...)
			b.call.Cancel()
		}, ""},
		{"a time-out", nil, func(b *bench) {
			b.stream()
			b.loop.Advance(time.Second)
		}, "4 upstream request timeout"},
		{"an answer of a filter", &httpfilter.LocalReply{Status: 403, Body: "no"}, func(b *bench) {
			b.call.Send([]byte("m"), true)
			b.stream()
		}, "7 no"},
		{"an answer with a status", &httpfilter.LocalReply{Status: 403, GRPCStatus: 9, HasGRPCStatus: true}, func(b *bench) { b.stream() }, "9 "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &passing{answer: tc.answer}
			b := newBench(t, service, grpcclient.Options{Timeout: time.Second}, func(b *bench) { b.cluster.Filters = p })
			tc.do(b)
			if got := strings.Join(b.told, "; "); got != tc.want {
				t.Errorf("told %s, want %s", got, tc.want)
			}
			if a := b.cluster.Last(); p.resets != 1 || a.Open() {
				t.Errorf("the filters ended %d times, stream open: %v", p.resets, a.Open())
			}
		})
	}
}

// TestFiltersHold: a sender waits while filters ask for it.
func TestFiltersHold(t *testing.T) {
	p := &passing{}
	b := newBench(t, service, grpcclient.Options{}, func(b *bench) { b.cluster.Filters = p })
	b.stream()
	p.cb.RequestHigh()
	if !b.call.AboveHighWatermark() {
		t.Error("the sender does not wait")
	}
	p.cb.RequestLow()
	if b.call.AboveHighWatermark() || strings.Join(b.told, "; ") != "sent" {
		t.Errorf("told %q", b.told)
	}
}
