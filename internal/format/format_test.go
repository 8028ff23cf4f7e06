package format

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

var _ format.Compiler = (*Compiler)(nil)

func testCompiler() *Compiler {
	env := map[string]string{"FOOENV": "envval", "EMPTYENV": "", "HOME": "/home"}
	return NewCompiler(Options{Hostname: "vm", LookupEnv: func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}})
}

func headers(fields ...string) *httpmsg.Headers {
	h := &httpmsg.Headers{}
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

func socket(s string) address.Address { return address.FromAddrPort(netip.MustParseAddrPort(s)) }

// okEntry is the request whose access log testdata/ok.json records.
func okEntry() *format.Entry {
	start := time.Date(2026, 11, 23, 14, 38, 48, 324906000, time.UTC)
	at := func(ns int) time.Time { return start.Add(time.Duration(ns)) }
	metadata := func(json string) *structpb.Struct {
		s := &structpb.Struct{}
		if err := s.UnmarshalJSON([]byte(json)); err != nil {
			panic(err)
		}
		return s
	}
	client, server := socket("127.0.0.1:39356"), socket("127.0.0.1:28772")
	upstream := socket("127.0.0.1:28771")
	return &format.Entry{
		Request: headers(":method", "GET", ":path", "/ok?q=va%20l&e=&x", ":scheme", "http",
			":authority", "www.Example.com:80", "user-agent", "curl/8", "x-multi", "one", "x-multi", "two",
			"x-empty", "", "x-nasty", "a\"b\\c\té \xff\xfe \x80</script>\xe2\x80\xa8\xed\xa0\x80 z",
			"x-forwarded-for", "192.0.2.2", "x-request-id", "963bc116-64b4-4aa4-b6fe-8ca00cf46b00"),
		Response: headers(":status", "200", "x-multi", "a", "x-multi", "b", "server", "envoy",
			"x-envoy-upstream-service-time", "0"),
		Type: format.DownstreamEnd, Now: at(1_100_000),
		Stream: &streaminfo.Stream{
			Start: start, Version: httpmsg.HTTP11, HasVersion: true,
			ResponseCode: 200, ResponseDetails: "via_upstream", BytesSent: 5,
			DownstreamBytes: streaminfo.Meter{Received: 159, Sent: 153, HeaderReceived: 120, HeaderSent: 129, DecompressedHeaderReceived: 120, DecompressedHeaderSent: 129},
			RxHeadersEnd:    at(76_400), LastRxByte: at(79067), FirstTxByte: at(985_000), LastTxByte: at(1031429), End: at(1031429),
			Downstream: &streaminfo.Connection{
				ID: 1, Remote: client, DirectRemote: client, Local: server, DirectLocal: server,
				FilterChainName: "fcname", Accepted: at(-221_000), RTT: 24 * time.Microsecond, HasRTT: true,
				Listener:            &streaminfo.Listener{Name: "lname", Metadata: map[string]*structpb.Struct{"ln": metadata(`{"k":"lv"}`)}},
				FilterChainMetadata: map[string]*structpb.Struct{"fc": metadata(`{"k":"fv"}`)},
			},
			Upstream: streaminfo.Upstream{
				Cluster: "up", ClusterRaw: "up", Host: upstream, Hostname: "h.example",
				HostsAttempted: []address.Address{upstream}, HostnamesAttempted: []string{"h.example"},
				ConnectionIDsAttempted: []uint64{2}, ConnectionID: 2, LocalAddress: socket("127.0.0.1:36288"),
				Version: httpmsg.HTTP11, HasVersion: true,
				Bytes:        streaminfo.Meter{Received: 67, Sent: 341, HeaderReceived: 40, HeaderSent: 307, DecompressedHeaderReceived: 40, DecompressedHeaderSent: 307},
				ConnectStart: at(404_900), ConnectEnd: at(452_210), PoolReady: at(460_000),
				FirstTxByte: at(492_000), LastTxByte: at(492_000),
				FirstRxByte: at(901_000), LastRxByte: at(996_000), FirstBodyByte: at(992_000),
				ClusterMetadata: map[string]*structpb.Struct{"cl": metadata(`{"k":"cv","n":7}`)},
				HostMetadata:    map[string]*structpb.Struct{"hh": metadata(`{"k":"hv"}`)},
			},
			RouteName: "route1", VirtualClusterName: "vc", AttemptCount: 1, RouteResolutions: 1,
			RequestID: "963bc116-64b4-4aa4-b6fe-8ca00cf46b00",
			Metadata: map[string]*structpb.Struct{"md": metadata(`{"s":"str","n":42,"n2":1.5,"b":true,"l":[1,"x",null],
				"o":{"k":"value","a":1},"z":null,"esc":"a\"\n\té\u0001<","big":1e21,"f":9007199254740993}`)},
			RouteMetadata:       map[string]*structpb.Struct{"rt": metadata(`{"k":"rv"}`)},
			VirtualHostMetadata: map[string]*structpb.Struct{"vh": metadata(`{"k":"vv"}`)},
			FilterState:         map[string]any{"fs": `state"val`},
		},
	}
}

func refusedEntry() *format.Entry {
	e := okEntry()
	s := e.Stream
	s.Start = time.Date(2026, 11, 23, 14, 38, 49, 87004000, time.UTC)
	at := func(ns int) time.Time { return s.Start.Add(time.Duration(ns)) }
	s.RxHeadersEnd, s.LastRxByte, s.FirstTxByte, s.LastTxByte, s.End = at(49_900), at(51867), at(523_000), at(534772), at(534772)
	s.ResponseCode, s.Flags, s.BytesSent = 503, streaminfo.UpstreamConnectionFailure, 98
	s.ResponseDetails = "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
	s.DownstreamBytes = streaminfo.Meter{Received: 150, Sent: 232, HeaderReceived: 120, HeaderSent: 98, DecompressedHeaderReceived: 120, DecompressedHeaderSent: 98}
	s.RouteName, s.VirtualClusterName, s.RequestID, s.RouteMetadata = "rr", "", "7a6eaa64-4e3f-4b79-ad91-7e6886159eca", nil
	s.Downstream.ID, s.Downstream.Accepted = 7, at(-226_000)
	s.Downstream.Remote, s.Downstream.DirectRemote = socket("127.0.0.1:39400"), socket("127.0.0.1:39400")
	s.Upstream = streaminfo.Upstream{
		Cluster: "refused", ClusterRaw: "refused", Host: socket("127.0.0.1:1"), Hostname: "h.example",
		FailureReason: "delayed connect error: Connection refused", PoolReady: at(520_000),
		ClusterMetadata: s.Upstream.ClusterMetadata, HostMetadata: s.Upstream.HostMetadata,
	}
	e.Request.Set(httpmsg.Path, "/refused")
	e.Response = headers(":status", "503", "server", "envoy")
	return e
}

func tcpEntry() *format.Entry {
	start := time.Date(2026, 11, 23, 14, 38, 50, 646639000, time.UTC)
	at := func(ns int) time.Time { return start.Add(time.Duration(ns)) }
	client, server := socket("127.0.0.1:45596"), socket("127.0.0.1:28773")
	upstream := socket("127.0.0.1:28771")
	const reason = "purging_socket_that_have_not_progressed_to_connections"
	return &format.Entry{
		Type: format.TcpConnectionEnd, Now: at(152_000_000),
		Stream: &streaminfo.Stream{
			Start: start, BytesReceived: 29, BytesSent: 67, AttemptCount: 1, End: at(151_597_000),
			DownstreamBytes: streaminfo.Meter{Received: 29, Sent: 67}, RequestID: "ee79bacc-c2c3-4d13-8481-254b83eafde4",
			Downstream: &streaminfo.Connection{
				ID: 12, Remote: client, DirectRemote: client, Local: server, DirectLocal: server, Accepted: start,
				Listener: &streaminfo.Listener{Name: "tname"}, RTT: 15 * time.Microsecond, HasRTT: true, LocalCloseReason: reason,
			},
			Upstream: streaminfo.Upstream{
				Cluster: "up", ClusterRaw: "up", Host: upstream, Hostname: "h.example", LocalAddress: socket("127.0.0.1:36292"),
				HostsAttempted: []address.Address{upstream}, HostnamesAttempted: []string{"h.example"},
				ConnectionIDsAttempted: []uint64{13}, ConnectionID: 13, Bytes: streaminfo.Meter{Received: 67, Sent: 29},
				ConnectStart: at(415_900), ConnectEnd: at(502_638), PoolReady: at(510_000), LocalCloseReason: reason,
				ClusterMetadata: okEntry().Stream.Upstream.ClusterMetadata,
				HostMetadata:    okEntry().Stream.Upstream.HostMetadata,
			},
		},
	}
}

func line(t *testing.T, text string, e *format.Entry) string {
	t.Helper()
	f, err := testCompiler().Compile(text)
	if err != nil {
		t.Fatalf("Compile(%q): %v", text, err)
	}
	return string(f.Append([]byte("before:"), e)[len("before:"):])
}

func TestDefaultLine(t *testing.T) {
	for _, test := range []struct {
		entry *format.Entry
		want  string
	}{
		{okEntry(), `[2026-11-23T14:38:48.324Z] "GET /ok?q=va%20l&e=&x HTTP/1.1" 200 - 0 5 1 0 "192.0.2.2" "curl/8" ` +
			`"963bc116-64b4-4aa4-b6fe-8ca00cf46b00" "www.Example.com:80" "127.0.0.1:28771"` + "\n"},
		{tcpEntry(), `[2026-11-23T14:38:50.646Z] "- - -" 0 - 29 67 151 - "-" "-" "-" "-" "127.0.0.1:28771"` + "\n"},
	} {
		if got := line(t, DefaultText, test.entry); got != test.want {
			t.Errorf("got  %swant %s", got, test.want)
		}
	}
}

// TestOperators compiles every format that was shown to Envoy and compares the answers.
func TestOperators(t *testing.T) {
	data, err := os.ReadFile("testdata/operators.txt")
	if err != nil {
		t.Fatal(err)
	}
	c := testCompiler()
	formats := 0
	for row := range strings.Lines(string(data)) {
		text, want, ok := strings.Cut(strings.TrimSuffix(row, "\n"), "\t")
		if strings.HasPrefix(row, "#") || !ok {
			continue
		}
		formats++
		name, _, _ := strings.Cut(strings.Trim(text, "%"), "(")
		name, _, _ = strings.Cut(name, ":")
		_, err := c.Compile(text)
		got := "OK"
		if err != nil {
			got = err.Error()
		}
		switch {
		case name == "CEL" || name == "TYPED_CEL": // of an extension
		case name == "COALESCE": // Envoy adds what its JSON library says
			if !strings.HasPrefix(want, got) && (want == "OK" || !strings.HasPrefix(got, "COALESCE: ")) {
				t.Errorf("%s:\n got %s\nwant %s", text, got, want)
			}
		case got != want:
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
	if formats < 700 {
		t.Errorf("only %d formats in the file", formats)
	}
}

func TestText(t *testing.T) {
	e := okEntry()
	e.LocalReplyBody = "line\nline"
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"100%%", "100%"},
		{"%%%PROTOCOL%%%", "%HTTP/1.1%"},
		{"%REQ(nope)%|%REQ(x-empty)%|%REQ(nope?user-agent):4%", "-||curl"},
		{"%REQ(user-agent):0%", ""},
		{"%REQ(X-NASTY)%", e.Request.Fields()[8].Value},
		{"%DYNAMIC_METADATA(md:o):5%", `{"a":`},
		{"%DYNAMIC_METADATA(md:esc)%", "a\"%0A%09é%01<"},
		{"%FILTER_STATE(fs)% %FILTER_STATE(fs:PLAIN)%", `"state\"val" state"val`},
		{"%LOCAL_REPLY_BODY%", "line\nline"},
		{"%COMMON_DURATION(DS_RX_HDR_END:DS_RX_END:us)%", "2"},
		{"%QUERY_PARAM(q)%", "va l"},
		{`%COALESCE({"operators":["VIRTUAL_CLUSTER_NAME"]}):1%`, "v"},
		{"%START_TIME(%Y/%m/%dT%H:%M:%S%z %3f %9f %1f)%", "2026/11/23T14:38:48+0000 324 324906000 3"},
	} {
		if got := line(t, test.text, e); got != test.want {
			t.Errorf("%s: got %q, want %q", test.text, got, test.want)
		}
	}
}

// TestClientWentAway asks for the end of the connection of a request.
func TestClientWentAway(t *testing.T) {
	const text = "%COMMON_DURATION(DS_RX_BEG:DS_CX_END:ns)%"
	e := okEntry()
	if got := line(t, text, e); got != "-" {
		t.Errorf("the connection ended after %s", got)
	}
	e.Stream.Flags = streaminfo.DownstreamConnectionTermination
	if got := line(t, text, e); got != "1031429" {
		t.Errorf("got %s", got)
	}
}

// TestForgedLine decodes what would begin a line of its own, or move the cursor.
func TestForgedLine(t *testing.T) {
	e := okEntry()
	e.Request.Set(httpmsg.Path, "/?q=x%0d%0a%7B%22a%22:1%7d%1b[31m%00")
	if got, want := line(t, "%QUERY_PARAM(q)%\n", e), "x%0D%0A{\"a\":1}%1B[31m%00\n"; got != want {
		t.Errorf("text: got %q, want %q", got, want)
	}
	if got, want := jsonValue(t, testCompiler(), "%QUERY_PARAM(q)%", e), `"x\r\n{\"a\":1}\u001b[31m\u0000"`; got != want {
		t.Errorf("JSON: got %s, want %s", got, want)
	}
}

func TestQueryParams(t *testing.T) {
	every := "k="
	for i := range 256 {
		every += "%" + string([]byte{lowerHex[i>>4], lowerHex[i&15], ','})
	}
	for _, test := range []struct{ query, decoded, k string }{
		{"k=%zz", "k=zz", "%zz"}, {"k=%4", "k=%4", "%4"}, {"k=%", "k=%", "%"}, {"k=%%41", "k=A", "%A"},
		{"k=%4g", "k=4g", "%4g"}, {"k=%+1", "k=+1", "%+1"}, {"k=%2541", "k=%41", "%41"},
		{"k=a%26k=b", "k=a&k=b", "a&k=b"}, {"k=1&k=2", "k=1&k=2", "1"}, {"%6b=x", "k=x", "x"}, {"k", "k", ""},
		{"=v", "=v", "-"}, {"k=a=b", "k=a=b", "a=b"}, {"a?k=3", "a?k=3", "-"}, {"", "-", "-"},
	} {
		e := &format.Entry{Request: headers(":path", "/?"+test.query), Stream: &streaminfo.Stream{}}
		if got := line(t, "%QUERY_PARAMS(DECODED)%", e); got != test.decoded {
			t.Errorf("%s: decoded %q, want %q", test.query, got, test.decoded)
		}
		if got := line(t, "%QUERY_PARAM(k)%", e); got != test.k {
			t.Errorf("%s: k is %q, want %q", test.query, got, test.k)
		}
	}
	e := &format.Entry{Request: headers(":path", "/?"+every), Stream: &streaminfo.Stream{}}
	got := line(t, "%QUERY_PARAMS(DECODED)%", e)
	for _, part := range []string{"k=%00,", "%1f,%20,!,%22,#,$,%,&,", ":,;,%3c,=,%3e,?,@,A,", "[,%5c,],%5e,_,`,a,", "z,%7b,%7c,%7d,~,%7f,%80,"} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %q", part, got)
		}
	}
}

func TestGRPCStatus(t *testing.T) {
	for _, test := range []struct {
		contentType, trailer, header string
		code                         int
		camel, snake, number         string
	}{
		{"application/grpc", "0", "", 200, "OK", "OK", "0"},
		{"application/grpc+proto", "3", "", 200, "InvalidArgument", "INVALID_ARGUMENT", "3"},
		{"application/grpc", "1", "", 200, "Canceled", "CANCELLED", "1"},
		{"application/grpc", "16", "", 200, "Unauthenticated", "UNAUTHENTICATED", "16"},
		{"application/grpc", "17", "", 200, "17", "17", "17"},
		{"application/grpc", "x", "", 200, "-1", "-1", "-1"},
		{"application/grpc", "-1", "", 200, "-1", "-1", "-1"},
		{"application/grpc", "", "12", 404, "Unimplemented", "UNIMPLEMENTED", "12"},
		{"application/grpc", "", "", 200, "Unknown", "UNKNOWN", "2"},
		{"application/grpc", "", "", 503, "Unavailable", "UNAVAILABLE", "14"},
		{"application/grpc", "", "", 0, "-", "-", "-"},
		{"application/grpc-web", "0", "", 200, "-", "-", "-"},
		{"", "0", "", 200, "-", "-", "-"},
	} {
		e := &format.Entry{
			Request: headers("content-type", test.contentType), Response: headers("grpc-status", test.header),
			Trailers: headers("grpc-status", test.trailer), Stream: &streaminfo.Stream{ResponseCode: test.code},
		}
		for text, want := range map[string]string{
			"%GRPC_STATUS%": test.camel, "%GRPC_STATUS(SNAKE_STRING)%": test.snake,
			"%GRPC_STATUS(NUMBER)%": test.number, "%GRPC_STATUS_NUMBER%": test.number,
		} {
			if got := line(t, text, e); got != want {
				t.Errorf("%+v: %s is %s, want %s", test, text, got, want)
			}
		}
	}
}

func TestXFCC(t *testing.T) {
	const whole = `By=http://frontend.lyft.com;Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;` +
		`Subject="/C=US/CN=Test, \"Client\";x";URI=http://testclient.lyft.com,By=http://b;URI=two;DNS=d`
	for _, test := range []struct{ header, key, want string }{
		{whole, "by", "http://frontend.lyft.com"}, {whole, "URI", "http://testclient.lyft.com"},
		{whole, "subject", `/C=US/CN=Test, "Client";x`}, {whole, "dns", "d"}, {whole, "chain", "-"},
		{"", "uri", "-"}, {"uri", "uri", ""}, {" uri = a ", "uri", "a"}, {"URI=a;uri=b", "uri", "a"},
		{`uri="a`, "uri", "-"}, {`uri=a;by="`, "uri", "-"}, {`uri=a,by="`, "uri", "a"}, {`uri="\"`, "uri", "-"},
		{`uri="\\"`, "uri", `\`}, {`uri=\`, "uri", `\`}, {`uri=\a`, "uri", `\a`}, {`uri="a\"b\\"`, "uri", `a"b\`}, {`uri=""`, "uri", ""},
		{`hash=;,;;,=,uri=x`, "uri", "x"}, {`xuri=1;uri=2=3`, "uri", "2=3"},
	} {
		e := &format.Entry{Request: headers("x-forwarded-client-cert", test.header), Stream: &streaminfo.Stream{}}
		if got := line(t, "%XFCC_VALUE("+test.key+"):1%", e); got != test.want {
			t.Errorf("%s of %s: %q, want %q", test.key, test.header, got, test.want)
		}
	}
}

// FuzzXFCC quotes a value, and finds it again behind any other elements.
func FuzzXFCC(f *testing.F) {
	f.Add(`By=a;Subject="x,\";y"`, "v\\\"")
	f.Fuzz(func(t *testing.T, header, value string) {
		got, k := appendXFCC([]byte("before:"), header, "uri")
		if !strings.HasPrefix(string(got), "before:") || k == missing && len(got) > len("before:") || len(got) > len("before:")+len(header) {
			t.Errorf("%q: %q", header, got)
		}
		if k != missing || strings.Contains(header, `"`) || strings.TrimFunc(value, func(r rune) bool { return r <= ' ' }) != value {
			return
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
		if got, _ := appendXFCC(nil, header+",by=x; Uri = "+quoted+";uri=z", "uri"); string(got) != value {
			t.Errorf("%q behind %q: got %q", value, header, got)
		}
	})
}

// fields is an object of the filter state.
type fields struct{}

func (fields) Field(name string) any {
	return map[string]any{"text": `a"b`, "number": int64(7)}[name]
}

func TestFilterState(t *testing.T) {
	e := okEntry()
	e.Stream.FilterState["fields"] = fields{}
	e.Stream.Downstream.FilterState = map[string]any{"below": "b", "fs": "hidden"}
	for _, test := range []struct{ text, want, json string }{
		{"%FILTER_STATE(fs)%", `"state\"val"`, `"state\"val"`},
		{"%FILTER_STATE(fs:PLAIN):2%", "st", `"st"`},
		{"%FILTER_STATE(below:PLAIN)%", "b", `"b"`},
		{"%FILTER_STATE(none)%", "-", "null"},
		{"%FILTER_STATE(fields)%", "-", "null"},
		{"%FILTER_STATE(fields:FIELD:text)%", `a"b`, `"a\"b"`},
		{"%FILTER_STATE(fields:FIELD:number:x)%", "7", "7"},
		{"%FILTER_STATE(fields:FIELD:none)%", "-", "null"},
		{"%FILTER_STATE(fs:FIELD:text)%", "-", "null"},
		{"%UPSTREAM_FILTER_STATE(fs)%", "-", "null"},
	} {
		if got := line(t, test.text, e); got != test.want {
			t.Errorf("%s: %s, want %s", test.text, got, test.want)
		}
		if got := jsonValue(t, testCompiler(), test.text, e); got != test.json {
			t.Errorf("%s in JSON: %s, want %s", test.text, got, test.json)
		}
	}
}

func TestAddresses(t *testing.T) {
	e := okEntry()
	const masked = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(64)% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(129)%" +
		" %DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_PORT%"
	e.Stream.Downstream.Remote = socket("[2001:db8:1:2:3::9]:80")
	if got, want := line(t, masked, e), "2001:db8:1:2::/64 2001:db8:1:2:3::9/128 [2001:db8:1:2:3::9]:80 80"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	e.Stream.Downstream.Remote = address.Unix("/run/x")
	if got, want := line(t, masked, e), "/run/x /run/x /run/x "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	e.Stream.Upstream.Hostname = "h.example:99"
	if got, want := line(t, "%UPSTREAM_HOST_NAME% %UPSTREAM_HOST_NAME_WITHOUT_PORT%", e), "h.example:99 h.example"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestEmptyEntry runs every operator on a stream of which nothing is known.
func TestEmptyEntry(t *testing.T) {
	c := testCompiler()
	for name, s := range c.operators {
		for _, arg := range []string{"", "(x)", "(DYNAMIC:a:b)", "(DS_CX_BEG:DS_CX_END)", "(%c)"} {
			f, err := c.Compile("%" + name + arg + "%")
			if err == nil {
				f.Append(nil, &format.Entry{Stream: &streaminfo.Stream{}})
			} else if (s.build != nil || s.both != nil) && s.args == noArgs && arg == "" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestLiteral(t *testing.T) {
	for _, test := range []struct {
		text, want string
		ok         bool
	}{{"a%%b", "a%b", true}, {"", "", true}, {"a%PROTOCOL%", "", false}} {
		f, err := testCompiler().Compile(test.text)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := f.Literal(); got != test.want || ok != test.ok {
			t.Errorf("%q: got %q, %v", test.text, got, ok)
		}
	}
}

func TestUniqueID(t *testing.T) {
	a, b := line(t, "%UNIQUE_ID%", okEntry()), line(t, "%UNIQUE_ID%", okEntry())
	if a == b || len(a) != 36 || a[14] != '4' || !strings.Contains("89ab", a[19:20]) {
		t.Errorf("got %s and %s", a, b)
	}
	if got := string(appendUUID(nil, 0x0123456789abcdef, 0xfedcba9876543210)); got != "01234567-89ab-4def-bedc-ba9876543210" {
		t.Errorf("got %s", got)
	}
}

func TestAllocations(t *testing.T) {
	e := okEntry()
	buf := make([]byte, 0, 4096)
	text, err := testCompiler().Compile(DefaultText + "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(16)% %UPSTREAM_HOSTS_ATTEMPTED%" +
		"%START_TIME(%c)% %QUERY_PARAM(q)% %DYNAMIC_METADATA(md:s)% %GRPC_STATUS% %UNIQUE_ID% %RESPONSE_CODE_DETAILS%")
	if err != nil {
		t.Fatal(err)
	}
	json := compileJSON(t, testCompiler(), `{"a":"%REQ(x-nasty)%","b":{"c":["%BYTES_SENT%",1]},"d":"%PROTOCOL% %PATH%"}`, true)
	for _, f := range []format.Format{text, json} {
		if n := testing.AllocsPerRun(100, func() { buf = f.Append(buf[:0], e) }); n != 0 {
			t.Errorf("%v allocations in %s", n, buf)
		}
	}
}

func BenchmarkDefault(b *testing.B) {
	f, _ := testCompiler().Compile(DefaultText)
	e := okEntry()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = f.Append(buf[:0], e)
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{DefaultText, "%REQ(a)% x) %REQ(b)%", "%START_TIME(%c %E*S %-d %::z %9f)%", "%%%", "%REQ(a):", "%COALESCE({\"operators\":[\"HOSTNAME\"]}):1%"} {
		f.Add(s)
	}
	c, e := testCompiler(), okEntry()
	f.Fuzz(func(t *testing.T, s string) {
		compiled, err := c.Compile(s)
		if err != nil {
			return
		}
		if got := compiled.Append([]byte("x"), e); got[0] != 'x' {
			t.Errorf("%q wrote before its place: %q", s, got)
		}
		compiled.Append(nil, &format.Entry{Stream: &streaminfo.Stream{}})
	})
}

// TestRouteTime: what it takes to find the route is measured when a format shows it.
func TestRouteTime(t *testing.T) {
	c := testCompiler()
	if c.WantsRouteTime() {
		t.Error("wanted before a format shows it")
	}
	f, err := c.Compile("%ROUTE_RESOLUTION_TIME_US%")
	if err != nil || !c.WantsRouteTime() {
		t.Fatalf("%v, wanted %t", err, c.WantsRouteTime())
	}
	if got := f.Append(nil, &format.Entry{Stream: &streaminfo.Stream{RouteResolutionTime: 1500 * time.Microsecond}}); string(got) != "1500" {
		t.Errorf("%s", got)
	}
}
