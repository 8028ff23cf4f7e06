package tlsinspector

import (
	"bytes"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/testkit/listenerfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// A recorded is what Envoy made of a ClientHello.
type recorded struct {
	name, chain, serverName, ja3, ja4, failure, counters string

	bytes []byte
}

func recording(t testing.TB) (all []recorded) {
	text, err := os.ReadFile("testdata/recorded.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 8 {
			continue
		}
		b, err := hex.DecodeString(f[7])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, recorded{f[0], f[1], f[2], f[3], f[4], f[5], f[6], b})
	}
	if len(all) < 60 {
		t.Fatalf("%d recordings", len(all))
	}
	return all
}

// A rig is the filter on sockets.
type rig struct {
	*listenerfilter.Socket
	stats *metrics.Scope
}

func newRig(t testing.TB, msg *tlsinspectorv3.TlsInspector) rig {
	stats := metrics.New(1)
	var errs conf.Errors
	build := Factory{}.BuildListenerFilter(msg, extension.NetworkContext{Context: extension.Context{Stats: stats}}, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	s := listenerfilter.New(loop.New(1), build())
	s.Accept()
	return rig{s, stats}
}

// counters returns the counters that are not zero, in their order.
func (r rig) counters() string {
	var names []string
	for _, name := range r.stats.Names() {
		if short := strings.TrimPrefix(name, "tls_inspector."); short != "bytes_processed" && r.stats.Value(name) == 1 {
			names = append(names, short)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (r rig) failureReason() string {
	return r.Streaminfo.Metadata["envoy.filters.listener.tls_inspector"].GetFields()["failure_reason"].GetStringValue()
}

var fingerprints = &tlsinspectorv3.TlsInspector{EnableJa3Fingerprinting: wrapperspb.Bool(true), EnableJa4Fingerprinting: wrapperspb.Bool(true)}

// check compares what the filter has made of a ClientHello with what Envoy did.
func (r rig) check(t *testing.T, want *recorded) {
	t.Helper()
	info := &r.Connection
	or := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	chain := "plain"
	switch {
	case r.Closed:
		chain = "-"
	case slices.Contains(info.ApplicationProtocols, "h2"):
		chain = "tls_h2"
	case info.TransportProtocol == "tls":
		chain = "tls"
	}
	name := or(info.RequestedServerName)
	if strings.HasPrefix(want.serverName, "invalid:") { // as access logs show it
		name = want.serverName
	}
	if chain != want.chain || name != want.serverName || or(prints(info).JA3) != want.ja3 || or(prints(info).JA4) != want.ja4 ||
		r.counters() != want.counters || !strings.Contains(info.TransportFailure, want.failure) || (info.TransportFailure == "") != (want.failure == "") {
		t.Errorf("%s: got %s|%s|%s|%s|%s|%s\nwant %+v", want.name, chain, info.RequestedServerName, prints(info).JA3, prints(info).JA4, info.TransportFailure, r.counters(), want)
	}
	if len(r.Data) == 0 {
		t.Error("bytes were taken away")
	}
}

func TestRecorded(t *testing.T) {
	for _, want := range recording(t) {
		r := newRig(t, fingerprints)
		r.Receive(want.bytes)
		r.check(t, &want)
	}
}

// records splits a message into records of at most size bytes.
func records(message []byte, size int) (out []byte) {
	for chunk := range slices.Chunk(message, size) {
		out = append(out, 22, 3, 1, byte(len(chunk)>>8), byte(len(chunk)))
		out = append(out, chunk...)
	}
	return out
}

// TestSplit: it does not matter how a ClientHello comes, in segments or in records.
func TestSplit(t *testing.T) {
	all := recording(t)
	for _, want := range all {
		for at := range want.bytes {
			if _, _, f := read(want.bytes[:at]); f != incomplete {
				t.Fatalf("%s: failure %d after %d bytes", want.name, f, at)
			}
		}
		r := newRig(t, fingerprints)
		for _, b := range want.bytes {
			r.Receive([]byte{b})
		}
		r.check(t, &want)
	}
	for _, want := range all[:5] {
		for _, size := range []int{1, 2, 3, 50} {
			r := newRig(t, fingerprints)
			for _, b := range records(want.bytes[5:], size) {
				r.Receive([]byte{b})
			}
			r.check(t, &want)
		}
	}
}

func TestRecords(t *testing.T) {
	const found = "alpn_found sni_found tls_found"
	hello := recording(t)[0].bytes
	message := hello[5:]
	record := func(b []byte) string { return string(records(b, len(b))) }
	empty, warning := "\x16\x03\x01\x00\x00", "\x15\x03\x01\x00\x02\x01\x5a"
	for _, tc := range []struct{ name, data, failure, counters string }{
		{"GET", "GET /", "HTTP_REQUEST", "tls_not_found"},
		{"POST", "POST /", "HTTP_REQUEST", "tls_not_found"},
		{"PUT", "PUT /", "HTTP_REQUEST", "tls_not_found"},
		{"HEAD", "HEAD /", "HTTP_REQUEST", "tls_not_found"},
		{"CONNECT", "CONNECT a:1", "HTTPS_PROXY_REQUEST", "tls_not_found"},
		{"OPTIONS", "OPTIONS", "WRONG_VERSION_NUMBER", "tls_not_found"},
		{"too few bytes", "SSH-", "", ""},
		{"record version 0", "\x16\x03\x00" + string(hello[3:]), "", found},
		{"record version 5", "\x16\x03\x05" + string(hello[3:]), "", found},
		{"record version 4.0", "\x16\x04\x00" + string(hello[3:]), "WRONG_VERSION_NUMBER", "tls_not_found"},
		{"something behind", string(hello) + "more", "", found},
		{"32 empty records", strings.Repeat(empty, 32) + string(hello), "", found},
		{"33 empty records", strings.Repeat(empty, 33) + string(hello), "TOO_MANY_EMPTY_FRAGMENTS", "tls_not_found"},
		{"4 warnings", strings.Repeat(warning, 4) + string(hello), "", found},
		{"5 warnings", strings.Repeat(warning, 5) + string(hello), "TOO_MANY_WARNING_ALERTS", "tls_not_found"},
		{"warning within", record(message[:50]) + warning + record(message[50:]), "", found},
		{"fatal alert", "\x15\x03\x01\x00\x02\x02\x28", "unknown", "tls_not_found"},
		{"bad alert", "\x15\x03\x01\x00\x03\x01\x5a\x00", "BAD_ALERT", "tls_not_found"},
		{"change cipher spec", "\x14\x03\x01\x00\x01\x01" + string(hello), "UNEXPECTED_RECORD", "tls_not_found"},
		{"data within", record(message[:50]) + "\x17\x03\x01\x00\x01x", "UNEXPECTED_RECORD", "tls_not_found"},
		{"version within", record(message[:50]) + "\x16\x04\x01\x00\x01x", "WRONG_VERSION_NUMBER", "tls_not_found"},
		{"server hello", record(append([]byte{2}, message[1:]...)), "UNEXPECTED_MESSAGE", "tls_not_found"},
		{"two messages", record(append(bytes.Clone(message), 1, 0)), "EXCESS_HANDSHAKE_DATA", "tls_not_found"},
		{"16385 bytes", record([]byte{1, 0, 0x40, 1}), "EXCESSIVE_MESSAGE_SIZE", "tls_not_found"},
		{"16384 bytes to come", record([]byte{1, 0, 0x40, 0}), "", ""},
		{"record of 18433 bytes", "\x16\x03\x01\x48\x01", "ENCRYPTED_LENGTH_TOO_LONG", "tls_not_found"},
		{"record of 16640 bytes to come", "\x16\x03\x01\x41\x00", "", ""},
	} {
		r := newRig(t, fingerprints)
		r.Receive([]byte(tc.data))
		failure := r.Connection.TransportFailure
		if r.Closed || r.Done != (tc.counters != "") || r.counters() != tc.counters || !strings.Contains(failure, tc.failure) || (failure == "") != (tc.failure == "") {
			t.Errorf("%s: %v, %s, %q", tc.name, r.Done, r.counters(), failure)
		}
		if (r.failureReason() == "ClientHelloNotDetected") != (tc.failure != "") {
			t.Errorf("%s: %s", tc.name, r.failureReason())
		}
	}
	r := newRig(t, fingerprints)
	if r.Receive([]byte("\x15\x03\x01\x00\x02\x01\x00")); !r.Closed || r.counters() != "" {
		t.Errorf("close_notify: %v, %s", r.Closed, r.counters())
	}
}

func TestSizes(t *testing.T) {
	hello := recording(t)[2].bytes
	msg := func(limit, initial uint32) *tlsinspectorv3.TlsInspector {
		return &tlsinspectorv3.TlsInspector{MaxClientHelloSize: wrapperspb.UInt32(limit), InitialReadBufferSize: wrapperspb.UInt32(initial)}
	}
	if len(hello) != 517 {
		t.Fatal(len(hello))
	}
	r := newRig(t, msg(512, 256))
	if r.Receive(hello); !r.Closed || r.counters() != "client_hello_too_large" || r.failureReason() != "ClientHelloTooLarge" ||
		!slices.Equal(r.stats.Recorded("tls_inspector.bytes_processed"), []uint64{512}) {
		t.Errorf("%v, %s, %s, %s", r.Closed, r.counters(), r.failureReason(), r.stats)
	}
	r = newRig(t, msg(600, 256))
	if r.Receive(hello); !r.Done || r.Connection.Fingerprints != nil ||
		!slices.Equal(r.stats.Recorded("tls_inspector.bytes_processed"), []uint64{517}) {
		t.Errorf("%v, %s, %s", r.Done, r.counters(), r.stats)
	}
	r = newRig(t, &tlsinspectorv3.TlsInspector{CloseConnectionOnClientHelloParsingErrors: true})
	if r.Receive([]byte("hello")); !r.Closed || r.counters() != "tls_not_found" || r.failureReason() != "ClientHelloNotDetected" {
		t.Errorf("%v, %s, %s", r.Closed, r.counters(), r.failureReason())
	}
}

func TestInvalidVersion(t *testing.T) {
	for _, want := range recording(t) {
		if want.name == "ssl3" {
			r := newRig(t, fingerprints)
			if r.Receive(want.bytes); !r.Closed || r.failureReason() != "ClientHelloInvalidTlsVersion" {
				t.Errorf("%v, %s", r.Closed, r.failureReason())
			}
			return
		}
	}
	t.Error("no recording")
}

func TestConfig(t *testing.T) {
	var errs conf.Errors
	msg := &tlsinspectorv3.TlsInspector{MaxClientHelloSize: wrapperspb.UInt32(16385), InitialReadBufferSize: wrapperspb.UInt32(255)}
	if (Factory{}).BuildListenerFilter(msg, extension.NetworkContext{}, conf.Path{}, &errs) != nil {
		t.Error("built")
	}
	want := "max_client_hello_size: must be from 256 to 16384, is 16385\n" +
		"initial_read_buffer_size: must be from 256 to 65536, is 255"
	if got := errs.Error(); got != want {
		t.Error(got)
	}
	if _, missing, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil || missing != nil {
		t.Error(missing, err)
	}
}

// TestAllocations bounds what a ClientHello costs: without fingerprints nothing but the
// strings that are kept.
func TestAllocations(t *testing.T) {
	hello := recording(t)[2].bytes
	if n := testing.AllocsPerRun(100, func() {
		if _, _, f := read(hello); f != none {
			t.Fatal(f)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzRead(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		h, used, failure := read(data)
		if !bytes.Equal(data, before) {
			t.Fatal("data was changed")
		}
		if failure == none {
			h.ja3()
			h.alpn()
			if len(h.ja4()) != 36 {
				t.Fatal(h.ja4())
			}
		}
		if failure == incomplete {
			return
		}
		// What was decided does not depend on what follows or came late.
		_, again, same := read(data[:used])
		if again != used || same != failure {
			t.Fatalf("%d of %d bytes: %d, %d instead of %d", used, len(data), again, same, failure)
		}
		for at := range min(used, 300) {
			if _, _, early := read(data[:at]); early != incomplete {
				t.Fatalf("failure %d after %d bytes", early, at)
			}
		}
	})
}

func prints(info *streaminfo.Connection) streaminfo.Fingerprints {
	if info.Fingerprints == nil {
		return streaminfo.Fingerprints{}
	}
	return *info.Fingerprints
}
