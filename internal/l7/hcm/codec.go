package hcm

import (
	"strings"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h1"
)

// codecType is how the protocol of a connection is chosen.
type codecType uint8

const (
	autoCodec codecType = iota
	http1Codec
	http2Codec
)

// prefacePrefix is how HTTP/2 begins, up to where no HTTP/1 request can look like it.
const prefacePrefix = "PRI * HTTP/2"

// serverCodec is what the manager needs of a codec.
type serverCodec interface {
	codec.Connection
	// WantsRead reports whether Dispatch would take bytes now.
	WantsRead() bool
	// Reusable reports whether another request may follow the current one.
	Reusable() bool
	// Awaited reports whether the client waits for the connection to end.
	Awaited() bool
	// OnClose says that the connection is gone.
	OnClose(reason httpmsg.ResetReason)
}

// chooseCodec makes the codec of the connection, and reports false if more bytes are
// needed to know which.
func (m *manager) chooseCodec(data *buffer.Buffer) bool {
	version, known := m.protocol(data)
	if !known {
		return false
	}
	if version == httpmsg.HTTP2 {
		m.http2 = newHTTP2(m)
		m.codec = m.http2
		m.cfg.stats.cxHTTP2Total.Inc(m.shard)
		m.cfg.stats.cxHTTP2Active.Inc(m.shard)
	} else {
		m.codec = h1.NewServer(m, m.conn, &m.cfg.http1, m.cfg.codecStats, m.shard, &m.out)
		m.cfg.stats.cxHTTP1Total.Inc(m.shard)
		m.cfg.stats.cxHTTP1Active.Inc(m.shard)
	}
	info := m.conn.Info()
	info.Version, info.HasVersion = m.codec.Version(), true
	return true
}

// protocol tells what the client speaks: what was agreed on with TLS, or else what the
// first bytes show.
func (m *manager) protocol(data *buffer.Buffer) (v httpmsg.Version, known bool) {
	switch m.cfg.codecType {
	case http1Codec:
		return httpmsg.HTTP11, true
	case http2Codec:
		return httpmsg.HTTP2, true
	}
	if tls := m.conn.Info().TLS; tls != nil && tls.ALPN != "" {
		if tls.ALPN == "h2" {
			return httpmsg.HTTP2, true
		}
		return httpmsg.HTTP11, true
	}
	start := data.Front()
	if len(start) < len(prefacePrefix) && len(start) < data.Len() {
		start = data.AppendTo(nil)
	}
	start = start[:min(len(start), len(prefacePrefix))]
	switch {
	case string(start) == prefacePrefix:
		return httpmsg.HTTP2, true
	case strings.HasPrefix(prefacePrefix, string(start)):
		return 0, false
	}
	return httpmsg.HTTP11, true
}
