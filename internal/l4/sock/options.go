package sock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/internal/addr"
)

const (
	preBind   = addr.PreBind
	bound     = addr.Bound
	listening = addr.Listening
)

// family returns the socket family of a.
func family(a address.Address) int {
	switch {
	case a.IsUnix():
		return unix.AF_UNIX
	case a.IP().Is4():
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func set(fd, level, name, value int, what string) error {
	if err := unix.SetsockoptInt(fd, level, name, value); err != nil {
		return fmt.Errorf("cannot set %s: %w", what, err)
	}
	return nil
}

// A step sets one option of a socket, if it is wanted.
type step struct {
	wanted bool
	set    func() error
}

func run(steps []step) error {
	for _, s := range steps {
		if !s.wanted {
			continue
		}
		if err := s.set(); err != nil {
			return err
		}
	}
	return nil
}

// prepare sets the options of a listening socket that come before bind. Accepted
// sockets inherit TCP_NODELAY and the keep-alive options.
func prepare(fd int, a address.Address, o *ListenOptions) error {
	if a.IsUnix() {
		return setOptions(fd, a, o.Options, preBind)
	}
	flag := func(level, name int, what string) func() error {
		return func() error { return set(fd, level, name, 1, what) }
	}
	v6only := 1
	if o.IPv4Compat {
		v6only = 0
	}
	return run([]step{
		{true, flag(unix.SOL_SOCKET, unix.SO_REUSEADDR, "SO_REUSEADDR")},
		{a.IP().Is6(), func() error { return set(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, v6only, "IPV6_V6ONLY") }},
		{o.ReusePort, flag(unix.SOL_SOCKET, unix.SO_REUSEPORT, "SO_REUSEPORT")},
		{o.Freebind, func() error { return freebind(fd, a) }},
		{o.Transparent, func() error { return transparent(fd, a) }},
		{o.FastOpen != nil, func() error { return set(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, *o.FastOpen, "TCP_FASTOPEN") }},
		{true, flag(unix.IPPROTO_TCP, unix.TCP_NODELAY, "TCP_NODELAY")},
		{true, func() error { return setKeepAlive(fd, o.KeepAlive) }},
		{true, func() error { return setOptions(fd, a, o.Options, preBind) }},
	})
}

func setKeepAlive(fd int, k addr.KeepAlive) error {
	if !k.Enabled {
		return nil
	}
	value := func(name, value int, what string) step {
		return step{value > 0, func() error { return set(fd, unix.IPPROTO_TCP, name, value, what) }}
	}
	return run([]step{
		{true, func() error { return set(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, "SO_KEEPALIVE") }},
		value(unix.TCP_KEEPCNT, k.Probes, "TCP_KEEPCNT"),
		value(tcpKeepIdle, int(k.Idle/time.Second), "TCP_KEEPIDLE"),
		value(unix.TCP_KEEPINTVL, int(k.Interval/time.Second), "TCP_KEEPINTVL"),
	})
}

// setOptions sets the configured options of a state.
func setOptions(fd int, a address.Address, options []addr.SocketOption, state addr.State) error {
	for i := range options {
		o := &options[i]
		f := family(a)
		if o.State != state || o.SkipIPv4 && f == unix.AF_INET || o.SkipIPv6 && f == unix.AF_INET6 {
			continue
		}
		if err := unix.SetsockoptString(fd, o.Level, o.Name, string(o.Value)); err != nil {
			return fmt.Errorf("cannot set socket option %d/%d: %w", o.Level, o.Name, err)
		}
	}
	return nil
}
