package tcpproxy

import (
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A moment is when the upstream connection is asked for.
type moment uint8

const (
	immediately moment = iota
	firstData          // of the client
	handshake          // when TLS with the client is agreed on
)

// earlyConfig says when to connect, and what to do with what the client sends before.
type earlyConfig struct {
	connectAt moment
	// allowed says that it is read, max how many bytes before reading stops.
	allowed bool
	max     int
}

func newEarlyConfig(msg *tcpv3.TcpProxy, path conf.Path, errs *conf.Errors) earlyConfig {
	c := earlyConfig{allowed: msg.GetMaxEarlyDataBytes() != nil, max: int(msg.GetMaxEarlyDataBytes().GetValue())}
	switch mode := msg.GetUpstreamConnectMode(); mode {
	case tcpv3.UpstreamConnectMode_IMMEDIATE:
		return c
	case tcpv3.UpstreamConnectMode_ON_DOWNSTREAM_DATA:
		c.connectAt = firstData
	case tcpv3.UpstreamConnectMode_ON_DOWNSTREAM_TLS_HANDSHAKE:
		c.connectAt = handshake
	default:
		errs.Add(path.Field("upstream_connect_mode"), "%d is not a mode", mode)
	}
	if !c.allowed {
		errs.Add(path.Field("max_early_data_bytes"), "must be set when upstream_connect_mode is not IMMEDIATE")
	}
	return c
}

// early is what the client sent before there is an upstream connection.
type early struct {
	until moment // what is waited for before connecting
	data  buffer.Buffer
	ended bool
	full  bool // reading stopped
}

// waitsFor returns what to wait for. A handshake is only where there is TLS, and may be
// over.
func (f *filter) waitsFor() moment {
	info := f.down.Info()
	if f.config.early.connectAt == handshake && (!info.Secure || info.TLS != nil) {
		return immediately
	}
	return f.config.early.connectAt
}

func (f *filter) receiveEarly(data *buffer.Buffer, endStream bool) {
	e := &f.early
	first := data.Len() > 0 && e.until == firstData
	e.data.Move(data)
	e.ended = e.ended || endStream
	f.config.stats.earlyData.Inc(f.shard())
	if e.data.Len() > f.config.early.max && !e.full {
		e.full = true
		f.down.ReadDisable(true)
	}
	if first {
		e.until = immediately
		f.start()
	}
}

// sendEarly sends what waited for the upstream.
func (f *filter) sendEarly() {
	if e := &f.early; e.data.Len() > 0 || e.ended {
		f.send(&e.data, e.ended)
	}
}
