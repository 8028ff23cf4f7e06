package connpool

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

var _ upstream.TunnelStream = (*http1Stream)(nil)

// EnableTunnel implements upstream.TunnelStream.
func (s *http1Stream) EnableTunnel() {
	s.tunnel = true
	s.p.conn.EnableHalfClose(true)
}

// EncodeData implements upstream.RequestStream.
func (s *http1Stream) EncodeData(data *buffer.Buffer, endStream bool) {
	s.stream.EncodeData(data, endStream)
	if endStream && s.tunnel {
		s.p.conn.Close(network.FlushWrite, "")
	}
}
