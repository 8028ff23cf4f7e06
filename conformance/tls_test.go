package conformance

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// certificates is the directory of the certificates; {{tls:NAME}} is a file of it.
var certificates = func() string {
	dir, err := filepath.Abs(filepath.Join("testdata", "tls"))
	if err != nil {
		panic(err)
	}
	return dir
}()

// tlsOptions reads the options of one end, which README.md describes.
func tlsOptions(text string, sessions tls.ClientSessionCache) (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: true} // whom a client trusts is not the question; it shows the certificate
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "sni":
			c.ServerName = value
		case "alpn":
			c.NextProtos = strings.Split(value, ",")
		case "min":
			c.MinVersion, err = tlsVersion(value)
		case "max":
			c.MaxVersion, err = tlsVersion(value)
		case "ciphers":
			c.CipherSuites, err = tlsCiphers(strings.Split(value, ","))
		case "curves":
			c.CurvePreferences, err = tlsCurves(strings.Split(value, ","))
		case "cert":
			var pair tls.Certificate
			pair, err = tls.LoadX509KeyPair(filepath.Join(certificates, value+".crt"), filepath.Join(certificates, value+".key"))
			c.Certificates = append(c.Certificates, pair)
			// Also if it is not of an authority that the server names.
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		case "client":
			c.ClientAuth, err = clientAuth(value)
		case "resume":
			c.ClientSessionCache = sessions
		case "default":
		default:
			err = errors.New("not known")
		}
		if err != nil {
			return nil, fmt.Errorf("TLS option %q: %w", word, err)
		}
	}
	return c, nil
}

func tlsVersion(text string) (uint16, error) {
	for v := uint16(tls.VersionTLS10); v <= tls.VersionTLS13; v++ {
		if tls.VersionName(v) == "TLS "+text {
			return v, nil
		}
	}
	return 0, errors.New("no version")
}

func tlsCiphers(list []string) (ids []uint16, err error) {
	all := append(tls.CipherSuites(), tls.InsecureCipherSuites()...)
	for _, name := range list {
		n := len(ids)
		for _, c := range all {
			if c.Name == name {
				ids = append(ids, c.ID)
			}
		}
		if len(ids) == n {
			return nil, errors.New("no cipher " + name)
		}
	}
	return ids, nil
}

func tlsCurves(list []string) (ids []tls.CurveID, err error) {
	known := map[string]tls.CurveID{"X25519": tls.X25519, "P-256": tls.CurveP256, "P-384": tls.CurveP384, "X25519MLKEM768": tls.X25519MLKEM768}
	for _, name := range list {
		if known[name] == 0 {
			return nil, errors.New("no curve " + name)
		}
		ids = append(ids, known[name])
	}
	return ids, nil
}

func clientAuth(text string) (tls.ClientAuthType, error) {
	switch text {
	case "request":
		return tls.RequestClientCert, nil
	case "require":
		return tls.RequireAnyClientCert, nil
	}
	return 0, errors.New("not known")
}

// handshake makes the connection one with TLS, and tells how it went.
func handshake(raw net.Conn, config *tls.Config, server bool) (conn *tls.Conn, line string, ok bool) {
	if server {
		conn = tls.Server(raw, config)
	} else {
		conn = tls.Client(raw, config)
	}
	if err := conn.Handshake(); err != nil {
		return conn, "tls: " + handshakeEnd(err), false
	}
	s := conn.ConnectionState()
	line = fmt.Sprintf("tls: %s alpn=%s resumed=%v", tls.VersionName(s.Version), s.NegotiatedProtocol, s.DidResume)
	if server {
		line += " sni=" + s.ServerName
	}
	if s.Version < tls.VersionTLS13 {
		line += " cipher=" + tls.CipherSuiteName(s.CipherSuite)
	}
	return conn, line + " peer=" + commonName(s.PeerCertificates), true
}

func commonName(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return "-"
	}
	return strings.ReplaceAll(chain[0].Subject.CommonName, " ", "_")
}

// tlsEnd tells how a connection ended: by the alert of the proxy, or by an error here.
func tlsEnd(err error) string {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "remote error":
		return "alert " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	case errors.As(err, new(tls.RecordHeaderError)):
		return "no TLS"
	}
	return wireEnd(err)
}

// handshakeEnd tells why there is no connection. Whether an end is a reset depends on what
// the proxy had read.
func handshakeEnd(err error) string {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "remote error":
		return tlsEnd(err)
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	}
	return "refused by this end"
}

// clientHello tells whether a peer that speaks no TLS was greeted with it.
func clientHello(b []byte) bool { return len(b) > 2 && b[0] == 22 && b[1] == 3 }

// writeFile replaces a file of the case at once, as something that waits for it expects.
func writeFile(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
