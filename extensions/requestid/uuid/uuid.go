package uuid

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// The digit that says why a request is traced is the version of the UUID: 4 says that
// it is not.
const (
	reasonAt  = 14
	notTraced = '4'
	textLen   = 36
)

// ids is the configuration. It is immutable.
type ids struct{ packReason bool }

// SetRequestID implements httpfilter.RequestIDs.
func (x *ids) SetRequestID(h *httpmsg.Headers, edge, keepExternal bool, d event.Dispatcher) {
	id := h.Get(httpmsg.XRequestID)
	switch {
	case id == "" || edge && !keepExternal:
		h.Set(httpmsg.XRequestID, random(h, d.Random(), d.Random()))
	case edge && x.packReason && len(id) == textLen && id[reasonAt] != notTraced:
		// What an outsider chose must not decide what is traced.
		own := []byte(id)
		own[reasonAt] = notTraced
		h.Set(httpmsg.XRequestID, h.String(own))
	}
}

// SetInResponse implements httpfilter.RequestIDs.
func (*ids) SetInResponse(response, request *httpmsg.Headers) {
	if id := request.Get(httpmsg.XRequestID); id != "" {
		response.Set(httpmsg.XRequestID, id)
	}
}

// random returns a random UUID (RFC 9562, version 4), cut from the arena of h.
func random(h *httpmsg.Headers, hi, lo uint64) string {
	var bits [16]byte
	binary.BigEndian.PutUint64(bits[:8], hi&^0xf000|0x4000)
	binary.BigEndian.PutUint64(bits[8:], lo&^(0xc<<60)|0x8<<60)
	id := [textLen]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	hex.Encode(id[:8], bits[:4])
	hex.Encode(id[9:13], bits[4:6])
	hex.Encode(id[14:18], bits[6:8])
	hex.Encode(id[19:23], bits[8:10])
	hex.Encode(id[24:], bits[10:])
	return h.String(id[:])
}
