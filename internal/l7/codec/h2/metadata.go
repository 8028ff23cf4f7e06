package h2

import (
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2/hpack"
)

// maxMetadata bounds the fields of one METADATA block.
const maxMetadata = 1000

// onMetadata collects the payload of METADATA frames until they are complete. It is a
// header block of its own, which has no dynamic table.
func (c *connection) onMetadata(p []byte) *codec.Error {
	s := c.reader.stream
	if s == nil || s.remoteEnd || s.tooLate {
		return nil
	}
	if len(s.metadata)+len(p) > c.settings.MaxMetadataSize {
		return c.metadataError(s, "METADATA too large")
	}
	s.metadata = append(s.metadata, p...)
	if c.reader.frame.flags&flagEndMetadata == 0 {
		return nil
	}
	block := s.metadata
	s.metadata = nil
	metadata := new(httpmsg.Headers)
	var d hpack.Decoder
	d.Init(hpack.DefaultTableSize)
	err := d.Decode(block, func(f *hpack.Field) error {
		if metadata.ByteSize() > c.settings.MaxMetadataSize || metadata.Len() == maxMetadata {
			return hpack.ErrStop
		}
		metadata.Add(f.Name, f.Value)
		return nil
	})
	if err != nil {
		return c.metadataError(s, "METADATA: "+err.Error())
	}
	if metadata.Len() == 0 {
		c.stats.MetadataEmptyFrames.Inc(c.shard)
		return nil
	}
	if d, ok := s.decoder.(MetadataDecoder); ok {
		d.DecodeMetadata(metadata)
	}
	return nil
}

func (c *connection) metadataError(s *stream, cause string) *codec.Error {
	c.fault(s, detailCodec)
	return failure(cause)
}

// EncodeMetadata implements Stream. Metadata goes before data that waits. A client's stream
// has no number before its headers, so there is nothing to send it on.
func (s *stream) EncodeMetadata(metadata *httpmsg.Headers) {
	c := s.c
	if !s.open || s.id == 0 || s.localDone || c.dead || !c.settings.AllowMetadata || metadata.Len() == 0 {
		return
	}
	var e hpack.Encoder
	e.Init()
	var p []byte
	for i := range metadata.Fields() {
		f := &metadata.Fields()[i]
		p = e.Append(p, f.ID(), f.Name, f.Value, true) // in no table
	}
	for flags := uint8(0); flags == 0; {
		n := min(len(p), maxFrame)
		if n == len(p) {
			flags = flagEndMetadata
		}
		c.writer.frame(frameMetadata, flags, s.id, p[:n], false)
		p = p[n:]
	}
	c.checkOutbound()
}
