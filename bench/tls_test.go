//go:build linux && (amd64 || arm64)

package main

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"
)

func TestCheckSession(t *testing.T) {
	good := tls.ConnectionState{
		Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256,
		NegotiatedProtocol: protocolHTTP1,
	}
	if err := checkSession(good, protocolHTTP1, false); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*tls.ConnectionState){
		"version":  func(s *tls.ConnectionState) { s.Version = tls.VersionTLS12 },
		"cipher":   func(s *tls.ConnectionState) { s.CipherSuite = tls.TLS_AES_256_GCM_SHA384 },
		"protocol": func(s *tls.ConnectionState) { s.NegotiatedProtocol = protocolHTTP2 },
		"resumed":  func(s *tls.ConnectionState) { s.DidResume = true },
	} {
		bad := good
		change(&bad)
		if checkSession(bad, protocolHTTP1, false) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestResumption wants the server to resume what the client offers, and an
// error from a server that does not.
func TestResumption(t *testing.T) {
	dir := t.TempDir()
	if err := writeCertificates(dir); err != nil {
		t.Fatal(err)
	}
	config, err := serverConfig(dir, certRSA, protocolHTTP1)
	if err != nil {
		t.Fatal(err)
	}
	config.SessionTicketsDisabled = true
	l, err := tls.Listen("tcp4", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u := &upstream{small: okResponse(nil)}
	go u.acceptTLS(l, serveHTTP)
	port := l.Addr().(*net.TCPAddr).Port
	spec := loadSpec{
		TLS: true, NewConn: true, Resume: true, Port: port, Conns: 1, Streams: 1,
		Request: loadCase{path: "/"}.request(), Duration: 100 * time.Millisecond,
	}
	r, err := runHandshakes(spec)
	if err == nil && r.Errors == 0 {
		t.Errorf("full handshakes counted as resumed: %+v", r)
	}
}

// TestTemporary: crypto/tls keeps a connection only after such an error.
func TestTemporary(t *testing.T) {
	var temporary interface{ Temporary() bool }
	if !errors.As(errAgain, &temporary) || !temporary.Temporary() {
		t.Error("errAgain is not temporary")
	}
}
