package dns

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
)

// An Exchange sends a message to a server and passes what comes back to accept,
// until that returns true or ctx ends. Over TCP the first message is the only one.
// It returns an error if nothing was accepted.
type Exchange func(ctx context.Context, server netip.AddrPort, tcp bool, message []byte, accept func([]byte) bool) error

// maxUDP is the largest message over UDP: nothing longer was offered.
const maxUDP = 512

// overNetwork is the Exchange of the real world.
func overNetwork(ctx context.Context, server netip.AddrPort, tcp bool, message []byte, accept func([]byte) bool) error {
	network := "udp"
	if tcp {
		network = "tcp"
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer func() {
		if stop() {
			c.Close()
		}
	}()
	exchange := overUDP
	if tcp {
		exchange = overTCP
	}
	err = exchange(c, message, accept)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func overUDP(c net.Conn, message []byte, accept func([]byte) bool) error {
	if _, err := c.Write(message); err != nil {
		return err
	}
	p := make([]byte, maxUDP)
	for {
		n, err := c.Read(p)
		if err != nil {
			return err
		}
		if accept(p[:n]) {
			return nil
		}
	}
}

func overTCP(c net.Conn, message []byte, accept func([]byte) bool) error {
	p := binary.BigEndian.AppendUint16(nil, uint16(len(message)))
	if _, err := c.Write(append(p, message...)); err != nil {
		return err
	}
	var length [2]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return err
	}
	p = make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(c, p); err != nil {
		return err
	}
	if !accept(p) {
		return errFailed
	}
	return nil
}
