package router

import (
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

var (
	_ httpfilter.MetadataFilter = (*filter)(nil)
	_ upstream.MetadataHandler  = (*upstreamRequest)(nil)
)

// maxHeldMetadata bounds, in bytes, the METADATA that waits for the headers to be sent. What
// is more is dropped.
const maxHeldMetadata = 64 << 10

// heldMetadata is METADATA that came before the headers were sent.
type heldMetadata struct {
	list []*httpmsg.Headers
	size int
}

// DecodeMetadata implements httpfilter.MetadataFilter. Retries do not get it again.
func (f *filter) DecodeMetadata(metadata *httpmsg.Headers) {
	switch held := &f.metadata; {
	case f.over:
	case f.attempt.sentHeaders, f.attempt.filtered:
		f.attempt.sendMetadata(metadata)
	case held.size+metadata.ByteSize() <= maxHeldMetadata:
		held.size += metadata.ByteSize()
		held.list = append(held.list, metadata)
	}
}

func (u *upstreamRequest) sendMetadata(metadata *httpmsg.Headers) {
	if s, ok := u.stream.(upstream.MetadataStream); ok && u.phase != idle {
		s.EncodeMetadata(metadata)
	}
}

// sendHeldMetadata is called when the headers were sent, or went into the filters.
func (u *upstreamRequest) sendHeldMetadata() {
	for _, metadata := range u.f.metadata.list {
		u.sendMetadata(metadata)
	}
	u.f.metadata = heldMetadata{}
}

// OnMetadata implements upstream.MetadataHandler. As in Envoy the client gets it at once,
// even if the response that it came with is not passed on but retried.
func (u *upstreamRequest) OnMetadata(metadata *httpmsg.Headers) {
	f := u.f
	u.touch()
	if s, ok := f.cb.(httpfilter.MetadataSender); ok && !f.over && f.attempt == u {
		s.SendResponseMetadata(metadata)
	}
}
