package h1

import (
	"errors"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// client is a connection pool, and the user of its stream, that write down what
// they are told.
type client struct {
	log
	conn    *ClientConnection
	out     buffer.Buffer
	in      buffer.Buffer
	enc     codec.RequestEncoder
	headers httpmsg.Headers
	stopped int
	// onHeaders is called with each head.
	onHeaders func()
	err       error
	meter     streaminfo.Meter
	reading   bool // inside Dispatch
}

func newClient(s Settings) *client {
	f := new(client)
	f.conn = NewClient(f, &s, &f.out)
	return f
}

func (f *client) ReadDisable(disable bool) {
	if disable {
		f.stopped++
	} else {
		f.stopped--
	}
}

func (f *client) OnStreamEnd() {
	if f.conn.Reusable() {
		f.add("reusable")
	} else {
		f.add("to be closed")
	}
}

func (f *client) Meter() *streaminfo.Meter { return &f.meter }

func (f *client) ResponseHeaders() *httpmsg.Headers {
	f.headers.Reset()
	return &f.headers
}

func (f *client) DecodeInterim() { f.log.headers("interim", &f.headers) }

func (f *client) DecodeHeaders(end bool) {
	f.log.headers("head", &f.headers)
	if f.onHeaders != nil {
		f.onHeaders()
	}
	if end {
		f.add("end")
	}
}

func (f *client) DecodeData(data *buffer.Buffer, end bool) { f.data(data, end) }

func (f *client) DecodeTrailers(h *httpmsg.Headers) {
	f.log.headers("trailers", h)
	f.add("end")
}

func (f *client) OnReset(reason httpmsg.ResetReason) {
	if f.reading {
		f.fail("reset %v", reason)
	} else {
		f.add("reset %v", reason)
	}
}
func (f *client) OnWriteBufferHigh() { f.add("high") }
func (f *client) OnWriteBufferLow()  { f.add("low") }

// request sends one; with a body it stays open.
func (f *client) request(t *testing.T, method string, end bool, fields ...string) string {
	t.Helper()
	h := new(httpmsg.Headers)
	h.Add(":method", method)
	if method != "CONNECT" {
		h.Add(":path", "/x")
	}
	h.Add(":scheme", "http")
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	h.Add(":authority", "a:80")
	f.enc = f.conn.NewStream(f)
	if err := f.enc.EncodeHeaders(h, end); err != nil {
		t.Fatal(err)
	}
	return f.sent()
}

func (f *client) encode(body string, end bool) {
	var b buffer.Buffer
	b.AppendString(body)
	f.enc.EncodeData(&b, end)
}

func (f *client) sent() string {
	s := f.out.String()
	f.out.Drain(f.out.Len())
	return s
}

func (f *client) receive(p string) {
	f.in.AppendString(p)
	f.reading = true
	if err := f.conn.Dispatch(&f.in); err != nil {
		f.err = err
	}
	f.reading = false
}

func (f *client) want(t *testing.T, lines ...string) {
	t.Helper()
	if got, want := f.String(), strings.Join(lines, "\n"); got != want {
		t.Errorf("transcript:\n%s\nwant:\n%s", got, want)
	}
	f.entries = nil
}

func TestEncodeRequest(t *testing.T) {
	full := ClientDefaults()
	full.SendFullyQualifiedURL = true
	proper := ClientDefaults()
	proper.ProperCaseWords = true
	tests := []struct {
		name, method string
		end          bool
		fields       []string
		settings     Settings
		want         string
	}{
		{"get", "GET", true, []string{"x-a", "b", "accept", "*/*"}, ClientDefaults(), "GET /x HTTP/1.1\r\nhost: a:80\r\nx-a: b\r\naccept: */*\r\n\r\n"},
		{"post without body", "POST", true, nil, ClientDefaults(), "POST /x HTTP/1.1\r\nhost: a:80\r\ncontent-length: 0\r\n\r\n"},
		{"options without body", "OPTIONS", true, nil, ClientDefaults(), "OPTIONS /x HTTP/1.1\r\nhost: a:80\r\ncontent-length: 0\r\n\r\n"},
		{"delete without body", "DELETE", true, nil, ClientDefaults(), "DELETE /x HTTP/1.1\r\nhost: a:80\r\n\r\n"},
		{"chunked", "POST", false, []string{"x-b", "1"}, ClientDefaults(), "POST /x HTTP/1.1\r\nhost: a:80\r\nx-b: 1\r\ntransfer-encoding: chunked\r\n\r\n"},
		{"length", "POST", false, []string{"content-length", "0003"}, ClientDefaults(), "POST /x HTTP/1.1\r\nhost: a:80\r\ncontent-length: 0003\r\n\r\n"},
		{"framing is the codec's", "POST", false, []string{"transfer-encoding", "gzip"}, ClientDefaults(), "POST /x HTTP/1.1\r\nhost: a:80\r\ntransfer-encoding: chunked\r\n\r\n"},
		{"injection", "GET", true, []string{"x-a", "b\nc: d", "x\ne", "f"}, ClientDefaults(), "GET /x HTTP/1.1\r\nhost: a:80\r\n\r\n"},
		{"upgrade", "GET", false, []string{"connection", "Upgrade", "upgrade", "websocket"}, ClientDefaults(), "GET /x HTTP/1.1\r\nhost: a:80\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"},
		{"connect", "CONNECT", false, []string{"content-length", "4"}, ClientDefaults(), "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n"},
		{"full", "GET", true, nil, full, "GET http://a:80/x HTTP/1.1\r\nhost: a:80\r\n\r\n"},
		{"proper case", "GET", true, []string{"x-request-id", "1", "x-1a", "2"}, proper, "GET /x HTTP/1.1\r\nHost: a:80\r\nX-Request-Id: 1\r\nX-1a: 2\r\n\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newClient(test.settings)
			wantSent(t, f.request(t, test.method, test.end, test.fields...), test.want)
		})
	}
}

func TestEncodeRequestRefuses(t *testing.T) {
	for _, h := range [][3]string{
		{"", "/", "a"}, {"G T", "/", "a"}, {"GET", "", "a"}, {"GET", "/a b", "a"}, {"GET", "/\r\nx: y", "a"},
		{"GET", "/\xe9", "a"}, {"GET", "/", "a\r\nx: y"}, {"GET", "/", "a/b"}, {"CONNECT", "", ""},
	} {
		f := newClient(ClientDefaults())
		enc := f.conn.NewStream(f)
		var m httpmsg.Headers
		m.Add(":method", h[0])
		m.Add(":path", h[1])
		m.Add(":authority", h[2])
		if err := enc.EncodeHeaders(&m, true); err == nil || f.out.Len() != 0 {
			t.Errorf("%q: error %v, sent %q", h, err, f.sent())
		}
	}
}

func TestExchange(t *testing.T) {
	f := newClient(ClientDefaults())
	f.request(t, "POST", false)
	f.encode("abc", false)
	f.encode("", false)
	f.encode("de", true)
	wantSent(t, f.sent(), "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
	f.receive("HTTP/1.1 200 Fine\r\nX-A: b\r\nContent-Length: 2\r\n\r\no")
	f.receive("k")
	f.want(t, `head :status="200" x-a="b" content-length="2"`, "data ok", "end", "reusable")

	f.request(t, "HEAD", true)
	f.receive("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
	f.want(t, `head :status="200" content-length="2"`, "end", "reusable")

	f.request(t, "GET", true)
	f.receive("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n\r\n")
	f.want(t, `head :status="200" transfer-encoding="chunked"`, "data ok", "end", "reusable")
	if f.stopped != 0 {
		t.Error("reading is stopped")
	}
}

// The response is complete before the request is.
func TestEarlyResponse(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
	head := []string{`head :status="200" content-length="2"`, "data ok", "end"}

	f := newClient(ClientDefaults())
	f.request(t, "POST", false)
	f.receive(ok)
	f.want(t, head...)
	f.encode("abc", true)
	f.want(t, "reusable")

	f.request(t, "POST", false)
	f.receive(ok)
	f.want(t, head...)
	f.enc.Reset(httpmsg.ResetLocalReset)
	f.want(t, "to be closed")

	f = newClient(ClientDefaults())
	f.request(t, "POST", false)
	f.receive(ok)
	f.conn.OnClose(httpmsg.ResetConnectionTermination)
	f.want(t, append(head, "to be closed")...)
}

func TestMisframedRequest(t *testing.T) {
	for _, body := range []string{"ab", "abcd"} {
		f := newClient(ClientDefaults())
		f.request(t, "POST", false, "content-length", "3")
		f.encode(body, true)
		wantSent(t, f.sent(), body[:min(len(body), 3)])
		f.receive("HTTP/1.1 204 No Content\r\n\r\n")
		f.want(t, `head :status="204"`, "end", "to be closed")
	}
}

func TestClientReset(t *testing.T) {
	f := newClient(ClientDefaults())
	f.request(t, "GET", true)
	f.onHeaders = func() { f.enc.Reset(httpmsg.ResetLocalReset) }
	f.receive("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
	f.want(t, `head :status="200" content-length="2"`, "to be closed")
	if f.err != nil || f.in.Len() != 0 {
		t.Errorf("error %v, %d bytes left", f.err, f.in.Len())
	}
}

func TestClientReadDisable(t *testing.T) {
	f := newClient(ClientDefaults())
	f.request(t, "GET", true)
	f.onHeaders = func() { f.enc.ReadDisable(true) }
	f.receive("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
	f.want(t, `head :status="200" content-length="2"`)
	if f.stopped != 1 || f.conn.WantsRead() {
		t.Error("reading goes on")
	}
	f.enc.ReadDisable(false)
	if f.stopped != 0 {
		t.Error("reading is stopped")
	}
	f.receive("")
	f.want(t, "data ok", "end", "reusable")
}

func TestClientWatermarks(t *testing.T) {
	f := newClient(ClientDefaults())
	f.conn.OnWriteBufferHigh()
	f.request(t, "GET", true)
	f.conn.OnWriteBufferHigh()
	f.conn.OnWriteBufferLow()
	f.want(t, "high", "low")
}

func TestClientTunnel(t *testing.T) {
	f := newClient(ClientDefaults())
	f.request(t, "GET", false, "connection", "upgrade", "upgrade", "websocket")
	f.receive("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nRAW")
	f.encode("raw", false)
	f.receive("MORE")
	f.conn.OnEOF()
	f.encode("", true)
	f.want(t, `head :status="101" connection="upgrade" upgrade="websocket"`, "data RAWMORE", "reset connection termination", "to be closed")
	wantSent(t, f.sent(), "raw")

	f = newClient(ClientDefaults())
	f.request(t, "CONNECT", false)
	f.receive("HTTP/1.1 200 OK\r\n\r\nRAW")
	f.want(t, `head :status="200"`, "data RAW")

	f = newClient(ClientDefaults())
	f.request(t, "GET", false, "connection", "upgrade", "upgrade", "websocket")
	f.encode("GET /smug", false) // must wait; is never sent
	f.receive("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
	f.encode("", true)
	f.want(t, `head :status="200" content-length="2"`, "data ok", "end", "to be closed")
	wantSent(t, f.sent(), "")
}

// A response of an upstream host, by the name that the collection of observations
// gives it; then the connection closes.
type badResponse struct {
	id, bytes string
	want      string // the transcript
}

const (
	protocolErr = "reset protocol error\nto be closed"
	okHead      = `head :status="200" content-length="2"` + "\ndata ok\nend\n"
)

var hostileResponses = []badResponse{
	{"ok", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", okHead + "reusable"},
	{"up_clte", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", protocolErr},
	{"up_2cl", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nok", protocolErr},
	{"up_2clsame", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok", protocolErr},
	{"up_badstatus", "HTTP/1.1 abc OK\r\ncontent-length: 2\r\n\r\nok", protocolErr},
	{"up_status99", "HTTP/1.1 99 X\r\ncontent-length: 2\r\n\r\nok", protocolErr},
	{"up_status099", "HTTP/1.1 099 X\r\ncontent-length: 2\r\n\r\nok", protocolErr},
	{"up_status1000", "HTTP/1.1 1000 X\r\ncontent-length: 2\r\n\r\nok", protocolErr},
	{"up_status699", "HTTP/1.1 699 X\r\ncontent-length: 2\r\n\r\nok", strings.Replace(okHead, "200", "699", 1) + "reusable"},
	{"up_noreason", "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", okHead + "reusable"},
	{"up_http2ver", "HTTP/3.7 200 OK\r\ncontent-length: 2\r\n\r\nok", okHead + "to be closed"},
	{"up_ver12_alive", "HTTP/1.2 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
		`head :status="200" connection="keep-alive" content-length="2"` + "\ndata ok\nend\nreusable"},
	{"up_blanks", "HTTP/1.1 \t200  OK \r\ncontent-length: 2\r\n\r\nok", okHead + "reusable"},
	{"up_reason_ctl", "HTTP/1.1 200 O\x01K\r\ncontent-length: 2\r\n\r\nok", protocolErr},
	{"up_reason_cr", "HTTP/1.1 200 O\rK\r\ncontent-length: 2\r\n\r\nok", okHead + "reusable"},
	{"up_nul", "HTTP/1.1 200 OK\r\nx-a: a\x00b\r\ncontent-length: 2\r\n\r\nok", protocolErr},
	{"up_crhdr", "HTTP/1.1 200 OK\r\nx-a: a\rb\r\ncontent-length: 2\r\n\r\nok", protocolErr},
	{"up_barelf", "HTTP/1.1 200 OK\ncontent-length: 2\n\nok", okHead + "reusable"},
	{"up_obsfold", "HTTP/1.1 200 OK\r\nx-a: a\r\n b\r\ncontent-length: 2\r\n\r\nok", `head :status="200" x-a="a b" content-length="2"` + "\ndata ok\nend\nreusable"},
	{"up_spcolon", "HTTP/1.1 200 OK\r\nx-a : a\r\ncontent-length: 2\r\n\r\nok", protocolErr},
	{"up_garbage", "\x00\x01\x02garbage\r\n\r\n", protocolErr},
	{"up_101unasked", "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\nRAW", protocolErr},
	{"up_204body", "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok", protocolErr},
	{"up_204zero", "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", `head :status="204"` + "\nend\nreusable"},
	{"up_204zeros", "HTTP/1.1 204 No Content\r\ncontent-length: 00\r\n\r\n", protocolErr},
	{"up_204te", "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", protocolErr},
	{"up_304te", "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n", `head :status="304" transfer-encoding="chunked"` + "\nend\nreusable"},
	{"up_badchunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\nok\r\n0\r\n\r\n", `head :status="200" transfer-encoding="chunked"` + "\n" + protocolErr},
	{"up_extra", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison", okHead + "to be closed"},
	{"up_negcl", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nok", protocolErr},
	{"up_manyhdr", "HTTP/1.1 200 OK\r\n" + numbered(150) + "content-length: 2\r\n\r\nok", protocolErr},
	{"up_hugehdr", "HTTP/1.1 200 OK\r\nx-a: " + strings.Repeat("a", 81<<10) + "\r\n\r\n", protocolErr},
	{"up_close", "", "reset connection termination\nto be closed"},
	{"up_partial", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok", `head :status="200" content-length="10"` + "\ndata ok\n" + protocolErr},
	{"up_partialhdr", "HTTP/1.1 200 OK\r\ncontent-le", protocolErr},
	{"up_100x5", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 2) + "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
		strings.Repeat(`interim :status="100"`+"\n", 2) + okHead + "reusable"},
	{"up_100close", "HTTP/1.1 100 Continue\r\n\r\n", `interim :status="100"` + "\nreset connection termination\nto be closed"},
	{"up_100partial", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 20", `interim :status="100"` + "\n" + protocolErr},
	{"up_103", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
		`interim :status="103" link="</a>"` + "\n" + okHead + "reusable"},
	{"up_100body", "HTTP/1.1 100 Continue\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", protocolErr},
	{"up_upg200", "HTTP/1.1 200 OK\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 2\r\n\r\nok",
		`head :status="200" connection="upgrade" upgrade="websocket" content-length="2"` + "\ndata ok\nend\nreusable"},
	{"up_teidentity", "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nok", protocolErr},
	{"up_tegzip", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", protocolErr},
	{"up_http10", "HTTP/1.0 200 OK\r\n\r\nok", `head :status="200"` + "\ndata ok\nend\nto be closed"},
	{"up_http10_length", "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", okHead + "to be closed"},
	{"up_http10_alive", "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
		`head :status="200" connection="keep-alive" content-length="2"` + "\ndata ok\nend\nreusable"},
	{"up_connclose", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
		`head :status="200" connection="close" content-length="2"` + "\ndata ok\nend\nto be closed"},
	{"up_untilclose", "HTTP/1.1 200 OK\r\n\r\nok", `head :status="200"` + "\ndata ok\nend\nto be closed"},
	{"up_emptyname", "HTTP/1.1 200 OK\r\n: a\r\ncontent-length: 2\r\n\r\nok", protocolErr},
	{"up_chunklf", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\nok\n0\n\n", `head :status="200" transfer-encoding="chunked"` + "\n" + protocolErr},
}

func TestHostileResponses(t *testing.T) {
	for _, r := range hostileResponses {
		t.Run(r.id, func(t *testing.T) {
			for _, size := range []int{len(r.bytes), 1, 3, 1000} {
				if size == 0 || size < 10 && len(r.bytes) > 4000 {
					size = 1000
				}
				// Bytes behind a response cannot be seen before they come.
				if r.id == "up_extra" && size != len(r.bytes) {
					continue
				}
				f := newClient(ClientDefaults())
				f.request(t, "GET", true)
				for rest := r.bytes; rest != ""; {
					n := min(size, len(rest))
					f.receive(rest[:n])
					rest = rest[n:]
				}
				f.conn.OnEOF()
				if got := f.String(); got != r.want {
					t.Fatalf("in pieces of %d:\n%.300s\nwant:\n%s", size, got, r.want)
				}
				var e *codec.Error
				if f.err != nil && !errors.As(f.err, &e) {
					t.Errorf("error of type %T", f.err)
				}
				if f.in.Len() > 0 || f.stopped != 0 {
					t.Errorf("%d bytes left, stopped %d", f.in.Len(), f.stopped)
				}
			}
		})
	}
}

func TestBytesWithoutRequest(t *testing.T) {
	f := newClient(ClientDefaults())
	f.receive("HTTP/1.1 408 Request Timeout\r\n\r\n")
	if f.err == nil || f.conn.Reusable() || f.in.Len() != 0 {
		t.Errorf("error %v, reusable %v", f.err, f.conn.Reusable())
	}
	f.want(t)
}

func TestOtherVersion(t *testing.T) {
	f := newClient(ClientDefaults())
	f.request(t, "GET", true)
	f.receive("HTTP/3.7 200 OK\r\ncontent-length: 2\r\n\r\nok")
	f.want(t, strings.Split(okHead+"to be closed", "\n")...)
}

func TestResponseTrailers(t *testing.T) {
	s := ClientDefaults()
	s.EnableTrailers = true
	f := newClient(s)
	f.request(t, "POST", false)
	f.enc.EncodeTrailers(response(200, "x-r", "1"))
	wantSent(t, f.sent(), "0\r\nx-r: 1\r\n\r\n")
	f.receive("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n")
	f.want(t, `head :status="200" transfer-encoding="chunked"`, "data ok", `trailers x-t="1"`, "end", "reusable")
}
