//go:build linux && (amd64 || arm64)

package main

import (
	"crypto/tls"
	"errors"
	"net"
)

// listenTLS serves over TLS what "direct" measurements need, with crypto/tls:
// a connection is a goroutine.
func (u *upstream) listenTLS(dir string, ports upstreamPorts) error {
	for _, s := range []service{serveHTTP, serveGRPC} {
		for _, cert := range []string{certECDSA, certRSA} {
			protocol := protocolHTTP1
			if u.answers[s] != nil {
				protocol = protocolHTTP2
			}
			config, err := serverConfig(dir, cert, protocol)
			if err != nil {
				return err
			}
			l, err := tls.Listen("tcp4", "127.0.0.1:0", config)
			if err != nil {
				return err
			}
			ports[s.over(cert)] = l.Addr().(*net.TCPAddr).Port
			go u.acceptTLS(l, s)
		}
	}
	return nil
}

func (u *upstream) acceptTLS(l net.Listener, s service) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go u.serveTLS(conn, s)
	}
}

func (u *upstream) serveTLS(conn net.Conn, s service) {
	defer conn.Close()
	respond := u.respondSmall
	if answer := u.answers[s]; answer != nil {
		respond = newH2Server(answer).respond
	}
	var in, out []byte
	buf := make([]byte, 16<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		in = append(in, buf[:n]...)
		if in, out, err = respond(in, out[:0]); err != nil {
			return
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// respondSmall answers the requests in in and returns the rest of it.
func (u *upstream) respondSmall(in, out []byte) (rest, answers []byte, err error) {
	done := 0
	for {
		_, length, err := parseRequest(in[done:])
		if errors.Is(err, errIncomplete) {
			return in[:copy(in, in[done:])], out, nil
		}
		if err != nil {
			return nil, nil, err
		}
		done += length
		out = append(out, u.small...)
	}
}

// respond does the same for HTTP/2; messages fit into out.
func (c *h2Server) respond(in, out []byte) (rest, answers []byte, err error) {
	err = c.feed(in)
	out = append(out, c.out...)
	c.out = c.out[:0]
	return in[:0], out, err
}
