package h1

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// TestServerMeter has what Envoy counts.
func TestServerMeter(t *testing.T) {
	const head = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \t chunked \r\n\r\n"
	for _, piece := range []int{1, 5, 1000} {
		s := ServerDefaults()
		s.EnableTrailers = true
		f := newServer(s)
		f.reply = func() {
			f.enc.EncodeInterim(response(103, "link", "l"))
			f.enc.EncodeHeaders(response(200, "x-a", "b"), false)
			f.encode("yes", false)
			f.enc.EncodeTrailers(response(0, "x-u", "22"))
		}
		in := head + "3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"
		for rest := in; rest != ""; {
			n := min(piece, len(rest))
			f.send(rest[:n])
			rest = rest[n:]
		}
		sent := uint64(len("link: l\r\n") + len("x-a: b\r\n") + len("transfer-encoding: chunked\r\n") + len("x-u: 22\r\n"))
		want := streaminfo.Meter{
			Received: uint64(len(in)), Sent: uint64(f.out.Len()),
			HeaderReceived: 8 + 27 + 7, DecompressedHeaderReceived: 8 + 27,
			HeaderSent: sent, DecompressedHeaderSent: sent,
		}
		if f.meter != want {
			t.Errorf("in pieces of %d: %+v, want %+v", piece, f.meter, want)
		}
	}
}

// TestPipelinedMeter: what comes with a request counts for it, and for the next one.
func TestPipelinedMeter(t *testing.T) {
	f := newServer(ServerDefaults())
	f.send(get + get)
	if f.meter.Received != 2*uint64(len(get)) {
		t.Errorf("first: %d bytes", f.meter.Received)
	}
	f.send(get) // while the first is not answered
	for range 2 {
		f.meter = streaminfo.Meter{}
		f.respond(200)
		f.dispatch()
	}
	if f.meter.Received != uint64(len(get)) {
		t.Errorf("last: %d bytes", f.meter.Received)
	}
}

// TestMeterWhileReadingIsDisabled: bytes that wait count once.
func TestMeterWhileReadingIsDisabled(t *testing.T) {
	f := newServer(ServerDefaults())
	f.onHeaders = func() { f.enc.ReadDisable(true) }
	const in = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	f.send(in[:len(in)-2])
	f.send(in[len(in)-2:])
	f.enc.ReadDisable(false)
	f.dispatch()
	if f.meter.Received != uint64(len(in)) {
		t.Errorf("%d bytes of %d", f.meter.Received, len(in))
	}
}

// TestClientMeter has what Envoy counts: after an interim response its headers again.
func TestClientMeter(t *testing.T) {
	f := newClient(ClientDefaults())
	request := f.request(t, "HEAD", true, "x-a", "b")
	const in = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:  2\r\n\r\n"
	f.receive(in)
	sent := uint64(len("host: a:80\r\nx-a: b\r\n"))
	want := streaminfo.Meter{
		Received: uint64(len(in)), Sent: uint64(len(request)),
		HeaderReceived: 3 + 18, DecompressedHeaderReceived: 3 + 21,
		HeaderSent: sent, DecompressedHeaderSent: sent,
	}
	if f.meter != want {
		t.Errorf("%+v, want %+v", f.meter, want)
	}
}
