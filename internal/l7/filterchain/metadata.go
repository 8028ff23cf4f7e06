package filterchain

import (
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// maxHeldMetadata bounds, in bytes, the METADATA that waits for filters to let the headers
// pass. What is more is dropped.
const maxHeldMetadata = 64 << 10

var (
	_ upstream.MetadataStream  = (*chain)(nil)
	_ upstream.MetadataHandler = (*chain)(nil)
)

// EncodeMetadata takes METADATA past the filters, which do not look at it, but not past
// headers that they hold.
func (c *chain) EncodeMetadata(metadata *httpmsg.Headers) {
	switch {
	case c.ended:
	case c.sentHeaders:
		c.sendMetadata(metadata)
	case c.heldBytes+metadata.ByteSize() <= maxHeldMetadata:
		c.heldBytes += metadata.ByteSize()
		c.heldMetadata = append(c.heldMetadata, metadata)
	}
}

func (c *chain) sendMetadata(metadata *httpmsg.Headers) {
	if s, ok := c.stream.(upstream.MetadataStream); ok {
		s.EncodeMetadata(metadata)
	}
}

func (c *chain) sendHeldMetadata() {
	for _, metadata := range c.heldMetadata {
		c.sendMetadata(metadata)
	}
	c.heldMetadata, c.heldBytes = nil, 0
}

// OnMetadata takes METADATA of the host past the filters.
func (c *chain) OnMetadata(metadata *httpmsg.Headers) {
	if h, ok := c.handler.(upstream.MetadataHandler); ok && !c.ended {
		h.OnMetadata(metadata)
	}
}
