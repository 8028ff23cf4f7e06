package conn

import (
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/internal/event"
	"github.com/nuncio-proxy/nuncio/internal/l4/sock"
)

// Dial returns a connection to remote that is being made. The caller adds its
// callbacks at once: the result is an event of this turn's end or later, Connected
// or RemoteClose (see TransportFailure); LocalClose (see TimedOut) if timeout, when
// it is not 0, passes before, or if the source cannot be bound to. With a transport it is
// the transport that is waited for.
func Dial(l *event.Loop, remote address.Address, o *sock.ConnectOptions, timeout time.Duration, cfg Config) *Conn {
	s, err := sock.Connect(remote, o)
	s.Remote = remote
	return newClient(l, s, err, timeout, cfg)
}

// DialPipe is Dial of an internal listener, to which cfg.Pipe leads; err is why there is
// none.
func DialPipe(l *event.Loop, remote address.Address, err error, timeout time.Duration, cfg Config) *Conn {
	return newClient(l, sock.Socket{FD: -1, Remote: remote}, err, timeout, cfg)
}

func newClient(l *event.Loop, s sock.Socket, err error, timeout time.Duration, cfg Config) *Conn {
	c := newConn(l, cfg)
	c.client = true
	c.state = network.Connecting
	c.info.Accepted = l.Now()
	c.info.Remote, c.info.DirectRemote = s.Remote, s.Remote
	if err == nil {
		if cfg.Pipe != nil {
			c.socket.OpenPipe(cfg.Pipe)
		} else {
			c.socket.Open(s.FD, s.Conn, s.Dial)
		}
		err = c.socket.Attach(l, c, event.Readable|event.Writable)
	}
	if err != nil {
		before := l.SetOwner(c)
		defer l.SetOwner(before)
		l.Defer(func() {
			if refused := new(sock.BindError); errors.As(err, &refused) {
				c.bindFailed(refused)
				return
			}
			c.connectFailed("immediate connect error: " + describe(err) + "|remote address:" + s.Remote.String())
		})
		return c
	}
	if timeout > 0 {
		c.connectTimer = c.newTimer(c.connectTimeout)
		c.connectTimer.Enable(timeout)
	}
	return c
}

// connected looks at the result of the connect, and reports whether the connection
// is up.
func (c *Conn) connected() bool {
	if err := c.socket.Connected(); err != nil {
		if err != event.ErrAgain { //nolint:errorlint // a socket returns it bare
			c.connectFailed("delayed connect error: " + describe(err))
		}
		return false
	}
	c.state = network.Open
	c.info.Local = c.socket.LocalAddress()
	c.info.DirectLocal = c.info.Local
	if c.transport == nil {
		c.isUp()
	} else {
		c.transport.start()
	}
	return c.state != network.Closed
}

// isUp goes on with a connection whose transport is up.
func (c *Conn) isUp() {
	if c.connectTimer != nil {
		c.connectTimer.Disable()
		c.connectTimer = nil
	}
	for i := 0; i < len(c.callbacks) && c.state == network.Open; i++ {
		c.callbacks[i].OnEvent(network.Connected)
	}
	if c.client {
		c.runRead(c.firstFilter(), &c.in, false)
	}
	if c.out.Len() > 0 || c.writeEnded {
		c.scheduleFlush()
	}
}

func (c *Conn) connectFailed(why string) {
	if c.state != network.Connecting {
		return
	}
	c.info.TransportFailure = why
	c.close(network.RemoteClose, false, "")
}

// bindFailed ends a connection that cannot come from where it should. As in Envoy it is
// this side that gives up.
func (c *Conn) bindFailed(err *sock.BindError) {
	if c.state != network.Connecting {
		return
	}
	if c.stats != nil && c.stats.BindErrors != nil {
		c.stats.BindErrors.Inc(c.loop.Shard())
	}
	c.info.TransportFailure = "failed to bind to " + err.Source.String() + ": " + describe(err)
	c.close(network.LocalClose, false, "")
}

// describe gives a system error the form that C libraries have for it: with a
// capital letter.
func describe(err error) string {
	var errno syscall.Errno
	text := err.Error()
	if errors.As(err, &errno) {
		text = errno.Error()
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func (c *Conn) connectTimeout() {
	c.timedOut = true
	c.close(network.LocalClose, false, "")
}

// TimedOut reports whether connecting took too long.
func (c *Conn) TimedOut() bool { return c.timedOut }
