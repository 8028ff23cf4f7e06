package h1

import (
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// spelling writes names with a suffix and keeps what it is told.
type spelling struct {
	names  []string
	reason string
	suffix string
}

func (s *spelling) ProcessKey(name string) { s.names = append(s.names, name) }
func (s *spelling) FormatKey(dst []byte, name string) []byte {
	return append(append(dst, name...), s.suffix...)
}
func (s *spelling) SetReasonPhrase(phrase string) { s.reason = phrase }
func (s *spelling) ReasonPhrase() string          { return s.reason }

func (s *spelling) settings(base Settings) Settings {
	base.NewFormatter = func() httpmsg.KeyFormatter { return s }
	return base
}

func TestServerFormatter(t *testing.T) {
	keys := new(spelling)
	settings := keys.settings(ServerDefaults())
	settings.EnableTrailers, settings.Underscores, settings.ProperCaseWords = true, DropUnderscores, true
	f := newServer(settings)
	f.send("POST /x HTTP/1.1\r\nHOST: a\r\nX-Folded: 1\r\n  2\r\nX_Dropped: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: 1\r\n\r\n")
	if got := strings.Join(keys.names, " "); got != "HOST X-Folded Transfer-Encoding" {
		t.Errorf("names %q", got)
	}
	if f.headers.Formatter() != keys {
		t.Error("the request has no formatter")
	}
	// The formatter of a response comes with it.
	f.respond(200, "x-a", "1")
	wantSent(t, f.sent(), "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n")
	f.send(get)
	h := response(200, "x-a", "1")
	h.SetFormatter(&spelling{reason: "Very Fine", suffix: strings.Repeat("!", 500)})
	f.enc.EncodeHeaders(h, true)
	long := strings.Repeat("!", 500)
	wantSent(t, f.sent(), "HTTP/1.1 200 Very Fine\r\nx-a"+long+": 1\r\ncontent-length"+long+": 0\r\n\r\n")
}

func TestReasonPhraseIsChecked(t *testing.T) {
	f := newServer(ServerDefaults())
	f.send(get)
	h := response(200)
	h.SetFormatter(&spelling{reason: "OK\r\nx: y"})
	f.enc.EncodeHeaders(h, true)
	wantSent(t, f.sent(), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
}

func TestClientFormatter(t *testing.T) {
	keys := &spelling{suffix: "?"}
	f := newClient(keys.settings(ClientDefaults()))
	h := new(httpmsg.Headers)
	h.Add(":method", "GET")
	h.Add(":path", "/x")
	h.Add(":authority", "a")
	h.Add("x-a", "1")
	h.SetFormatter(&spelling{suffix: "!"})
	f.enc = f.conn.NewStream(f)
	if err := f.enc.EncodeHeaders(h, true); err != nil {
		t.Fatal(err)
	}
	wantSent(t, f.sent(), "GET /x HTTP/1.1\r\nhost!: a\r\nx-a!: 1\r\n\r\n")
	f.receive("HTTP/1.1 200  Very  Fine \r\nContent-Length: 0\r\nX-A: 1\r\n\r\n")
	if got := strings.Join(keys.names, " "); got != "Content-Length X-A" || keys.reason != "Very  Fine" {
		t.Errorf("names %q, reason %q", got, keys.reason)
	}
	if f.headers.Formatter() != keys {
		t.Error("the response has no formatter")
	}
}
