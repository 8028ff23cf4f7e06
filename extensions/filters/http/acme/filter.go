package acme

import (
	"strings"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// prefix is what the paths of challenges begin with (RFC 8555, 8.3).
const prefix = "/.well-known/acme-challenge/"

// A filter is the filter of one stream.
type filter struct {
	httpfilter.PassBody
	acme extension.ACME
	cb   httpfilter.Callbacks

	look *lookUp // that the stream waits for, nil for none
}

// A lookUp is an answer that is looked for. It outlives its stream, not the filter: that
// may serve another one meanwhile.
type lookUp struct{ filter *filter }

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, _ bool) httpfilter.HeadersStatus {
	token, ok := strings.CutPrefix(h.PathWithoutQuery(), prefix)
	if !ok || h.Get(httpmsg.Method) != "GET" {
		return httpfilter.Continue
	}
	look := &lookUp{f}
	f.look = look
	f.acme.KeyAuthorization(token, f.cb.Dispatcher(), look.done)
	return httpfilter.StopAllIterationAndWatermark
}

// done goes on with the answer, "" if the challenge is not one of ours.
func (l *lookUp) done(answer string) {
	f := l.filter
	if f.look != l {
		return
	}
	f.look = nil
	if answer == "" {
		f.cb.ContinueDecoding()
		return
	}
	f.cb.SendLocalReply(httpfilter.LocalReply{Status: 200, Body: answer, Details: "acme_challenge"})
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() { f.look = nil }

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() {}
