package conformance

import (
	"slices"
	"strings"
	"testing"
)

// TestH2Frames: what is written comes back as what is recorded, however it is cut.
func TestH2Frames(t *testing.T) {
	text := `SETTINGS INITIAL_WINDOW_SIZE=10 ENABLE_CONNECT_PROTOCOL=0
HEADERS 1 cut=3 pad=2 depends=0 | GET /x | :authority: b | te: trailers | x-esc: \x00\n
DATA 1 | abc
DATA 1 END_STREAM pad=1 | d | e
HEADERS 3 END_STREAM | 200 | :path: /a | +:path: /b | 
RST_STREAM 3 CANCEL
WINDOW_UPDATE 1 7
PRIORITY 1 depends=3
METADATA 1 | m: v
FRAME 0x77 0x1 1 | \xff
PING | 12345678
PING ACK | abcdefgh
GOAWAY 5 NO_ERROR | bye`
	b, err := newFrameWriter("https").encode(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"SETTINGS INITIAL_WINDOW_SIZE=10", "PING", "PING ACK abcdefgh", "GOAWAY 5 NO_ERROR bye",
		"1 HEADERS", "1   :method: GET", "1   :scheme: https", "1   :authority: b", "1   :path: /x", "1   te: trailers", "1   x-esc: \x00\n",
		"1 DATA abcd | e", "1 END_STREAM", "1 METADATA m: v", `1 FRAME 0x77 0x1 "\xff"`,
		"3 HEADERS", "3   :status: 200", "3   :path: /a", "3   :path: /b", "3   : ", "3 END_STREAM", "3 RST_STREAM CANCEL",
	}
	for cut := range b {
		p := newH2Peer(false, "http")
		p.feed(b[:cut])
		p.feed(b[cut:])
		if got := p.lines(testNames()); !slices.Equal(got, want) {
			t.Fatalf("cut at %d: %s", cut, strings.Join(diffLines(want, got), "\n"))
		}
	}
	for _, bad := range []string{"HEADERS", "HEADERS x | GET /", "HEADERS 1 JUMP | GET /", "SETTINGS X=1", "RST_STREAM 1 WHAT", "FRAME 1 2 | x", "JUMP 1"} {
		if _, err := newFrameWriter("http").encode(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestH2Answers: every peer acknowledges SETTINGS and PING and gives back window, unless held.
func TestH2Answers(t *testing.T) {
	frames, err := newFrameWriter("http").encode("SETTINGS\nPING | 12345678\nDATA 1 | abc")
	if err != nil {
		t.Fatal(err)
	}
	want, err := newFrameWriter("http").encode("SETTINGS ACK\nPING ACK | 12345678\nWINDOW_UPDATE 0 3\nWINDOW_UPDATE 1 3")
	if err != nil {
		t.Fatal(err)
	}
	if _, got := newH2Peer(false, "http").feed(frames); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	p := newH2Peer(false, "http")
	p.hold = map[string]bool{"settings": true, "ping": true, "window": true}
	if _, got := p.feed(frames); len(got) > 0 {
		t.Errorf("held, but %q", got)
	}
}

func TestTLSOptions(t *testing.T) {
	c, err := tlsOptions("sni=a alpn=h2,http/1.1 min=1.2 max=1.3 ciphers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 curves=P-256 cert=client", nil)
	if err != nil || c.ServerName != "a" || len(c.NextProtos) != 2 || len(c.CipherSuites) != 1 || len(c.Certificates) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{"min=9", "ciphers=X", "curves=X", "cert=nobody", "client=maybe", "jump=1"} {
		if _, err := tlsOptions(bad, nil); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
