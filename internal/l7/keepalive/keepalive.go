// Package keepalive finds dead HTTP/2 connections: it pings the peer and closes the
// connection if nothing comes back.
package keepalive

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/event"
)

// DefaultJitter is interval_jitter if it is not configured, in percent.
const DefaultJitter = 15

// Settings are envoy.config.core.v3.KeepaliveSettings. They are never changed.
type Settings struct {
	// Interval is the time from an answer to the next ping; 0 for no such pings.
	Interval time.Duration
	// Jitter bounds the random time that is added to each interval: interval_jitter
	// percent of Interval.
	Jitter time.Duration
	// Timeout is how long a connection with a ping on its way may be silent.
	Timeout time.Duration
	// IdleInterval is how long a connection may be silent before a new stream on it
	// sends a ping first; 0 for no such pings.
	IdleInterval time.Duration
}

// A Pinger sends a PING frame. It may call Stop.
type Pinger interface{ Ping() }

// A KeepAlive watches one connection, on its worker. The zero KeepAlive does nothing,
// whatever is called.
type KeepAlive struct {
	settings  *Settings // nil when not running
	d         event.Dispatcher
	pinger    Pinger
	onTimeout func()

	interval event.Timer // nil if there is no interval
	timeout  event.Timer // armed while a ping is on its way
	lastData time.Time   // if there is an idle interval
}

// Start begins to watch a new connection. settings may be nil for none. onTimeout is
// called at most once, when the connection is dead and k is stopped.
func (k *KeepAlive) Start(d event.Dispatcher, settings *Settings, pinger Pinger, onTimeout func()) {
	if settings == nil {
		return
	}
	*k = KeepAlive{settings: settings, d: d, pinger: pinger, onTimeout: onTimeout, lastData: d.Now()}
	k.timeout = d.NewTimer(k.expire)
	if settings.Interval > 0 {
		k.interval = d.NewTimer(k.ping)
		k.enableInterval()
	}
}

// Stop ends the watch, when the connection closes.
func (k *KeepAlive) Stop() {
	if k.settings == nil {
		return
	}
	k.timeout.Disable()
	if k.interval != nil {
		k.interval.Disable()
	}
	*k = KeepAlive{}
}

// OnData is called when bytes of the peer came, before the codec has them. Any byte
// gives the answer to a ping more time: it may be queued behind data.
func (k *KeepAlive) OnData() {
	if k.settings == nil {
		return
	}
	if k.settings.IdleInterval > 0 {
		k.lastData = k.d.Now()
	}
	if k.timeout.Enabled() {
		k.timeout.Enable(k.settings.Timeout)
	}
}

// OnAck is called for each PING frame that is an acknowledgement, even if no ping was
// sent: any proves that the peer lives.
func (k *KeepAlive) OnAck() {
	if k.settings == nil {
		return
	}
	k.timeout.Disable()
	if k.interval != nil {
		k.enableInterval()
	}
}

// OnStreamBegins is called on the side of the client before the headers of a new
// stream are sent.
func (k *KeepAlive) OnStreamBegins() {
	if k.settings != nil && k.settings.IdleInterval > 0 && k.d.Now().Sub(k.lastData) > k.settings.IdleInterval {
		k.ping()
	}
}

func (k *KeepAlive) enableInterval() {
	interval := k.settings.Interval
	if k.settings.Jitter > 0 {
		interval += time.Duration(k.d.Random() % uint64(k.settings.Jitter))
	}
	k.interval.Enable(interval)
}

// ping sends a ping, unless one is on its way: its answer restarts the interval.
func (k *KeepAlive) ping() {
	if !k.timeout.Enabled() {
		k.timeout.Enable(k.settings.Timeout)
		k.pinger.Ping()
	}
}

func (k *KeepAlive) expire() {
	onTimeout := k.onTimeout
	k.Stop()
	onTimeout()
}
