package grpcaccesslog

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

func addr(text string) address.Address { return address.FromAddrPort(netip.MustParseAddrPort(text)) }

func fields(list ...string) *httpmsg.Headers {
	h := new(httpmsg.Headers)
	for i := 0; i < len(list); i += 2 {
		h.Add(list[i], list[i+1])
	}
	return h
}

func metadataOf(t testing.TB, json string) map[string]*structpb.Struct {
	t.Helper()
	s := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(json), s); err != nil {
		t.Fatal(err)
	}
	return map[string]*structpb.Struct{"ns": s}
}

// tags are custom tags of each kind.
const tags = `[
	{"tag": "literal", "literal": {"value": "l"}},
	{"tag": "environment", "environment": {"name": "HERE", "default_value": "d"}},
	{"tag": "environment, missing", "environment": {"name": "NOT_HERE", "default_value": "d"}},
	{"tag": "environment, empty", "environment": {"name": "NOT_HERE"}},
	{"tag": "header", "request_header": {"name": "X-A", "default_value": "d"}},
	{"tag": "header, missing", "request_header": {"name": "x-none", "default_value": "d"}},
	{"tag": "header, empty", "request_header": {"name": "x-none"}},
	{"tag": "text", "metadata": {"kind": {"request": {}}, "metadata_key": {"key": "ns", "path": [{"key": "s"}, {"key": "t"}]}}},
	{"tag": "number", "metadata": {"kind": {"request": {}}, "metadata_key": {"key": "ns", "path": [{"key": "n"}]}}},
	{"tag": "list", "metadata": {"kind": {"request": {}}, "metadata_key": {"key": "ns", "path": [{"key": "l"}]}}},
	{"tag": "null", "metadata": {"kind": {"request": {}}, "metadata_key": {"key": "ns", "path": [{"key": "z"}]}}},
	{"tag": "whole", "metadata": {"kind": {"host": {}}, "metadata_key": {"key": "ns"}}},
	{"tag": "too deep", "metadata": {"kind": {"request": {}}, "metadata_key": {"key": "ns", "path": [{"key": "n"}, {"key": "n"}]}, "default_value": "d"}},
	{"tag": "route", "metadata": {"kind": {"route": {}}, "metadata_key": {"key": "ns", "path": [{"key": "b"}]}}},
	{"tag": "cluster", "metadata": {"kind": {"cluster": {}}, "metadata_key": {"key": "ns", "path": [{"key": "c"}]}}},
	{"tag": "format", "value": "<%REQ(x-a)%%REQ(x-none)%>"},
	{"tag": "format, empty", "value": "%REQ(x-none)%"}
]`

func testLogger(t testing.TB) *logger {
	t.Helper()
	var list []*tracingv3.CustomTag
	values := &structpb.ListValue{}
	if err := protojson.Unmarshal([]byte(tags), values); err != nil {
		t.Fatal(err)
	}
	for _, v := range values.Values {
		text, _ := protojson.Marshal(v)
		tag := &tracingv3.CustomTag{}
		if err := protojson.Unmarshal(text, tag); err != nil {
			t.Fatal(err)
		}
		list = append(list, tag)
	}
	ctx := extension.Context{Formats: filtertest.Formats{}, LookupEnv: func(name string) (string, bool) { return "e", name == "HERE" }}
	l := &logger{
		filterState: []string{"text", "message", "odd", "none"},
		headers:     HTTPHeaders{Request: []string{"x-a", "x-none"}, Response: []string{":status"}, Trailers: []string{"grpc-status"}},
	}
	var errs conf.Errors
	for _, cfg := range list {
		l.customTags = append(l.customTags, newTag(cfg, ctx, conf.Path{}, &errs))
	}
	if errs != nil {
		t.Fatal(errs)
	}
	return l
}

// fullEntry is an entry with everything in it.
func fullEntry(t testing.TB) *format.Entry {
	t.Helper()
	text, err := os.ReadFile("testdata/client.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	return &format.Entry{
		Request: fields(":method", "PATCH", ":path", "/new", ":authority", "host", ":scheme", "https", "x-a", "1", "x-a", "2",
			"user-agent", "agent \xff", "referer", "ref", "x-forwarded-for", "10.0.0.1", "x-request-id", "id", "x-envoy-original-path", "/old"),
		Response: fields(":status", "200", "server", "x"), Trailers: fields("grpc-status", "5"), Type: format.DownstreamEnd,
		Stream: &streaminfo.Stream{
			Start: start, RxHeadersEnd: at(1), LastRxByte: at(2), FirstTxByte: at(8), LastTxByte: at(1009), End: at(1010),
			Version: httpmsg.HTTP2, HasVersion: true, ResponseCode: 200, ResponseDetails: "via_upstream", TerminationDetails: "ended",
			Flags:         streaminfo.UpstreamRequestTimeout | streaminfo.UnauthorizedExternalService | streaminfo.DownstreamRemoteReset | streaminfo.DropOverload,
			BytesReceived: 100, BytesSent: 200, RouteName: "route", AttemptCount: 2, RequestID: "id",
			DownstreamBytes: streaminfo.Meter{Received: 1, Sent: 2, HeaderReceived: 3, HeaderSent: 4},
			Metadata:        metadataOf(t, `{"s": {"t": "v"}, "n": 3.5, "l": [1, "a"], "z": null}`), RouteMetadata: metadataOf(t, `{"b": true}`),
			TypedMetadata: map[string]*anypb.Any{"tm": {TypeUrl: "type.googleapis.com/google.protobuf.StringValue", Value: []byte("\n\x01v")}},
			FilterState:   map[string]any{"text": "t", "message": structpb.NewNumberValue(1), "odd": struct{}{}},
			Upstream: streaminfo.Upstream{
				Cluster: "alt", ClusterRaw: "cluster", Host: addr("[::1]:80"), LocalAddress: address.Unix("/sock"), FailureReason: "why",
				ClusterMetadata: metadataOf(t, `{"c": 1}`), HostMetadata: metadataOf(t, `{"h": "i"}`),
				FirstTxByte: at(3), LastTxByte: at(4), FirstRxByte: at(5), LastRxByte: at(6),
				Bytes: streaminfo.Meter{Received: 5, Sent: 6, HeaderReceived: 7, HeaderSent: 8},
			},
			Downstream: &streaminfo.Connection{
				Remote: addr("10.0.0.1:1"), DirectRemote: addr("10.0.0.2:2"), Local: addr("10.0.0.3:3"), RequestedServerName: "sni",
				Fingerprints: &streaminfo.Fingerprints{JA3: "ja3"}, TransportFailure: "tls",
				TLS: &streaminfo.TLS{Version: "TLSv1.3", CipherSuiteID: 4865, SessionID: "51d", LocalCertificate: certificate,
					PeerCertificates: []*x509.Certificate{certificate}},
			},
		},
	}
}

// check compares an encoded message with a file: the names of fields are in Envoy's file,
// so that a wrong number shows.
func check(t *testing.T, file string, encoded []byte, m proto.Message) {
	t.Helper()
	if err := proto.Unmarshal(encoded, m); err != nil {
		t.Fatal(err)
	}
	want := m.ProtoReflect().New().Interface()
	text, err := os.ReadFile("testdata/" + file)
	if err == nil {
		err = protojson.Unmarshal(text, want)
	}
	if err != nil || !proto.Equal(m, want) {
		t.Errorf("%s: %v; got\n%s", file, err, protojson.MarshalOptions{Multiline: true, UseProtoNames: true}.Format(m))
	}
}

func TestHTTPEntry(t *testing.T) {
	var w Encoder
	testLogger(t).http(&w, fullEntry(t))
	check(t, "http.json", w.b, &accesslogdatav3.HTTPAccessLogEntry{})
}

func TestTCPEntry(t *testing.T) {
	l, e := testLogger(t), fullEntry(t)
	l.customTags, l.filterState = nil, nil
	e.Request, e.Response, e.Trailers, e.Type = nil, nil, nil, format.TcpConnectionEnd
	e.Stream.Downstream.TLS = nil
	var w Encoder
	l.tcp(&w, e)
	check(t, "tcp.json", w.b, &accesslogdatav3.TCPAccessLogEntry{})
}

// An entry of which little is known yet.
func TestIntermediateEntry(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := testLogger(t)
	l.customTags = l.customTags[:0:0]
	var w Encoder
	l.http(&w, &format.Entry{Stream: &streaminfo.Stream{Start: start}, Type: format.DownstreamStart})
	check(t, "intermediate.json", w.b, &accesslogdatav3.HTTPAccessLogEntry{})
}

// TestFlags: each flag that has a field gets its own one.
func TestFlags(t *testing.T) {
	descriptor := (&accesslogdatav3.ResponseFlags{}).ProtoReflect().Descriptor()
	odd := map[string]string{"dns_resolution_failure": "dnsresolutionfailed", "unauthorized_details": "unauthorizedexternalservice",
		"overload_manager": "overloadmanagerterminated"}
	seen := map[string]bool{}
	for flag := streaminfo.Flags(1); flag <= streaminfo.UnconditionalDropOverload; flag <<= 1 {
		var w Encoder
		responseFlags(&w, flag)
		m := &accesslogdatav3.AccessLogCommon{}
		if err := proto.Unmarshal(w.b, m); err != nil {
			t.Fatal(err)
		}
		m.GetResponseFlags().ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
			name := string(fd.Name())
			seen[name] = true
			want := odd[name]
			if want == "" {
				want = strings.ReplaceAll(name, "_", "")
			}
			if got := string(flag.AppendLong(nil)); strings.ToLower(got) != want {
				t.Errorf("%s sets %s", got, name)
			}
			return true
		})
	}
	if got, want := len(seen), descriptor.Fields().Len(); got != want {
		t.Errorf("%d of %d fields are set by a flag", got, want)
	}
}

// TestNesting: messages of all lengths, in each other.
func TestNesting(t *testing.T) {
	for _, n := range []int{0, 1, 120, 126, 127, 128, 16_370, 16_384, 3 << 20} {
		var w Encoder
		outer := w.Begin(1)
		inner := w.Begin(2)
		w.Text(3, strings.Repeat("x", n))
		w.End(inner)
		w.Number(4, 1)
		w.End(outer)
		p, ok := w.b, true
		for _, field := range []protowire.Number{1, 2} {
			got, _, size := protowire.ConsumeTag(p)
			value, used := protowire.ConsumeBytes(p[size:])
			if got != field || used < 0 {
				t.Fatalf("length %d: field %d, %d", n, got, used)
			}
			if rest := p[size+used:]; field == 2 && len(rest) != 2 || field == 1 && len(rest) != 0 {
				ok = false
			}
			p = value
		}
		if !ok {
			t.Errorf("length %d is wrong", n)
		}
	}
}

func TestSanitize(t *testing.T) {
	for text, want := range map[string]string{"a\xffb": "a!b", "\xe2\x82": "!!", "ü\xc3": "ü!", "\ufffd\xff": "\ufffd!"} {
		var w Encoder
		w.Text(1, text)
		if got, _ := protowire.ConsumeString(w.b[1:]); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestEntryDoesNotAllocate(t *testing.T) {
	l, e := testLogger(t), fullEntry(t)
	l.customTags, l.filterState, e.Stream.Metadata = nil, nil, nil
	e.Stream.Downstream.TLS = nil
	*e.Request = *fields(":method", "GET", ":path", "/", "x-a", "1", "user-agent", "curl")
	var w Encoder
	if n := testing.AllocsPerRun(100, func() {
		w.b = w.b[:0]
		l.http(&w, e)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
