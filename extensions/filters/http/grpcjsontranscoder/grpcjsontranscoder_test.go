package grpcjsontranscoder

import (
	"strings"
	"testing"

	transcoderv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_json_transcoder/v3"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

type config = transcoderv3.GrpcJsonTranscoder

// plain is the simplest configuration; with changes a copy of it.
func plain(t testing.TB) *config {
	return &config{
		DescriptorSet: &transcoderv3.GrpcJsonTranscoder_ProtoDescriptorBin{ProtoDescriptorBin: descriptors(t)},
		Services:      []string{"bookstore.Bookstore"},
	}
}

// lenient takes what it can and prints all it can; strict is the opposite.
func lenient(t testing.TB) *config {
	c := plain(t)
	c.ConvertGrpcStatus, c.CaseInsensitiveEnumParsing, c.IgnoreUnknownQueryParameters = true, true, true
	c.QueryParamUnescapePlus, c.MatchUnregisteredCustomVerb = true, true
	c.UrlUnescapeSpec = transcoderv3.GrpcJsonTranscoder_ALL_CHARACTERS_EXCEPT_SLASH
	c.PrintOptions = &transcoderv3.GrpcJsonTranscoder_PrintOptions{
		AddWhitespace: true, AlwaysPrintPrimitiveFields: true, AlwaysPrintEnumsAsInts: true, PreserveProtoFieldNames: true,
		StreamNewlineDelimited: true,
	}
	return c
}

func strict(t testing.TB) *config {
	c := plain(t)
	c.RequestValidationOptions = &transcoderv3.GrpcJsonTranscoder_RequestValidationOptions{
		RejectUnknownMethod: true, RejectUnknownQueryParameters: true, RejectBindingBodyFieldCollisions: true,
	}
	c.UrlUnescapeSpec = transcoderv3.GrpcJsonTranscoder_ALL_CHARACTERS
	c.PrintOptions = &transcoderv3.GrpcJsonTranscoder_PrintOptions{StreamSseStyleDelimited: true}
	c.MaxRequestBodySize, c.MaxResponseBodySize = wrapperspb.UInt32(100), wrapperspb.UInt32(100)
	return c
}

func capturing(t testing.TB) *config {
	c := plain(t)
	c.CaptureUnknownQueryParameters, c.AutoMapping = true, true
	return c
}

func newStream(t testing.TB, cfg *config) (*filtertest.Stream, *metrics.Scope) {
	t.Helper()
	scope := metrics.New(1)
	var errs conf.Errors
	build := Factory{}.BuildHTTPFilter(cfg, filtertest.Context(scope, nil), conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	s := filtertest.New(loop.New(1))
	s.Table = func(*httpmsg.Headers) *route.Route { return &route.Route{} }
	s.Build(build)
	return s, scope
}

func frame(message []byte) string {
	h := grpc.NewHeader(0, len(message))
	return string(h[:]) + string(message)
}

// message returns the wire form of a text, of a message of the bookstore or of an
// HttpBody.
func message(t testing.TB, in *dynamicpb.Types, name, text string) []byte {
	t.Helper()
	mt, err := in.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}
	m := dynamicpb.NewMessage(mt.Descriptor())
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sent returns the messages in a body, as text.
func sent(t testing.TB, in *dynamicpb.Types, name, body string) string {
	t.Helper()
	mt, err := in.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for body != "" {
		h := grpc.Header([]byte(body[:grpc.HeaderSize]))
		m := dynamicpb.NewMessage(mt.Descriptor())
		if err := proto.Unmarshal([]byte(body[grpc.HeaderSize:grpc.HeaderSize+h.Len()]), m); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Join(strings.Fields(prototext.MarshalOptions{Resolver: in}.Format(m)), " "))
		body = body[grpc.HeaderSize+h.Len():]
	}
	return strings.Join(out, " | ")
}

// The expectations are recorded from Envoy 1.40, with messages as text.
func TestRequest(t *testing.T) {
	in := types(t)
	const create, bulk = "/shelves/3/books", "/shelves/3:bulk"
	for _, tc := range []struct {
		name         string
		cfg          func(testing.TB) *config
		method, path string
		body         []string
		goes         string // method of gRPC, "" if the request passes
		want         string
		refused      string // details and body of the answer
	}{
		{"path", plain, "GET", "/shelves/3/books/7", nil, "GetBook", "shelf:3 book:{id:7}", ""},
		{"another path", plain, "GET", "/books/7", nil, "GetBook", "book:{id:7}", ""},
		{"a method of its own", plain, "HEAD", "/books/7///", nil, "GetBook", "book:{id:7}", ""},
		{
			"query", plain, "GET", "/shelves/3/books/7?book.title=a+b%20c&book.tags=x&book.tags=y&book.genre=NOVEL&book.inStock=true&book.price=1.5" +
				"&book.cover=AAA=&book.published=1970-01-01T00:00:05Z&book.rating=true&book.author.firstName=J&name=n1&name=n2&&=x&y", nil, "GetBook",
			`shelf:3 book:{id:7 title:"a+b c" author:{first_name:"J"} genre:NOVEL tags:"x" tags:"y" price:1.5 in_stock:true cover:"\x00\x00" ` +
				`published:{seconds:5} rating:{value:true}} name:"n2"`, "",
		},
		{
			"lenient query", lenient, "GET", "/shelves/3/books/7?book.title=a+b%20c&book.genre=science-fiction&foo=bar", nil, "GetBook",
			`shelf:3 book:{id:7 title:"a b c" genre:SCIENCE_FICTION}`, "",
		},
		{"a number for an enum", plain, "GET", "/books/7?book.genre=1", nil, "GetBook", "book:{id:7 genre:NOVEL}", ""},
		{
			"another case", plain, "GET", "/books/7?book.genre=novel", nil, "", "",
			`early_grpc_json_transcode_failure{INVALID_ARGUMENT} 400 book.genre: invalid value "novel" for type type.googleapis.com/bookstore.Genre`,
		},
		{"an unknown parameter", plain, "GET", "/books/7?foo=bar", nil, "", "", ""},
		{
			"an unknown parameter, strict", strict, "GET", "/books/7?foo=bar", nil, "", "",
			`early_grpc_json_transcode_failure{INVALID_ARGUMENT} 400 Could not find field "foo" in the type "bookstore.BookRequest".`,
		},
		{
			"a parameter in a number", strict, "GET", "/books/7?shelf.foo=bar", nil, "", "",
			`early_grpc_json_transcode_failure{INVALID_ARGUMENT} 400 Encountered a non-leaf field "shelf" that is not a message while parsing a field path`,
		},
		{"an unknown parameter, kept", capturing, "GET", "/books/7?foo=bar", nil, "GetBook", "book:{id:7}", ""},
		{
			"a bad number", plain, "GET", "/shelves/x/books/7", nil, "", "",
			`early_grpc_json_transcode_failure{INVALID_ARGUMENT} 400 shelf: invalid value "x" for type TYPE_INT64`,
		},
		{
			"a text for a message", plain, "GET", "/shelves/3/books/7?book=x", nil, "", "",
			`early_grpc_json_transcode_failure{INVALID_ARGUMENT} 400 book: invalid value "x" for type type.googleapis.com/bookstore.Book`,
		},
		{
			"a wrong name in a body", plain, "PUT", create, []string{`{"book":{"author":{},"genre":"novel"}}`}, "UpdateBook", "",
			`grpc_json_transcode_failure{INVALID_ARGUMENT} 400 book.genre: invalid value "novel" for type type.googleapis.com/bookstore.Genre`,
		},
		{"no method", plain, "GET", "/nope/1?a", nil, "", "", ""},
		{
			"no method, strict", strict, "GET", "/nope/1?a", nil, "", "",
			"early_grpc_json_transcode_failure{NOT_FOUND} 404 Could not resolve /nope/1 to a method.",
		},
		{"an empty segment", plain, "GET", "//shelves/3/books/7", nil, "", "", ""},
		{"reserved characters", plain, "GET", "/find/a%2fb/c%20d%3fe%23f", nil, "Find", `name:"a%2fb/c d%3fe%23f"`, ""},
		{"all but slashes", lenient, "GET", "/find/a%2fb/c%20d%3fe%23f", nil, "Find", `name:"a%2fb/c d?e#f"`, ""},
		{"all characters", strict, "GET", "/find/a%2fb/c%20d%3fe%23f%", nil, "Find", `name:"a/b/c d?e#f%"`, ""},
		{"no segment", plain, "GET", "/find/", nil, "Find", "", ""},
		{
			"a verb that no method has", plain, "GET", "/books/7:verb", nil, "", "",
			`early_grpc_json_transcode_failure{INVALID_ARGUMENT} 400 book.id: invalid value "7:verb" for type TYPE_INT64`,
		},
		{"a verb that no method has, lenient", lenient, "GET", "/books/7:verb", nil, "", "", ""},
		{"a verb", plain, "POST", "/archive/shelves/1/books/2/3:archive", []string{"{}"}, "Archive", `name:"shelves/1/books/2/3"`, ""},
		{"the verb is missing", plain, "POST", "/archive/shelves/1/books/2/3", []string{"{}"}, "", "", ""},
		{
			"a body", plain, "POST", create, []string{`{"title":"t","unknown":1,"author":{"first_name":`, `"F","born":"5"},"genre":"NOVEL","tags":["a","b"]}`},
			"CreateBook", `shelf:3 book:{title:"t" author:{first_name:"F" born:5} genre:NOVEL tags:"a" tags:"b"}`, "",
		},
		{"an empty body", plain, "POST", create, []string{""}, "CreateBook", "shelf:3 book:{}", ""},
		{"no body", plain, "POST", create, nil, "CreateBook", "shelf:3 book:{}", ""},
		{
			"another case in a body", lenient, "POST", create, []string{`{"genre":"science-Fiction","tags":["novel"]}`},
			"CreateBook", `shelf:3 book:{genre:SCIENCE_FICTION tags:"novel"}`, "",
		},
		{
			"a wrong value", plain, "POST", create, []string{`{"title":5}`}, "CreateBook", "",
			"grpc_json_transcode_failure{INVALID_ARGUMENT} 400 book.title: invalid value 5 for type TYPE_STRING",
		},
		{
			"no JSON", plain, "POST", create, []string{`{"title":`}, "CreateBook", "",
			"grpc_json_transcode_failure{INVALID_ARGUMENT} 400 unexpected EOF",
		},
		{
			"more than JSON", plain, "POST", create, []string{`{} x`}, "CreateBook", "",
			"grpc_json_transcode_failure{INVALID_ARGUMENT} 400 Parsing terminated before end of input.",
		},
		{
			"no UTF-8", plain, "POST", create, []string{"{\"title\":\"\xff\"}"}, "CreateBook", "",
			"grpc_json_transcode_failure{INVALID_ARGUMENT} 400 Encountered non UTF-8 code points.",
		},
		{
			"too deep", plain, "POST", create, []string{strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)}, "CreateBook", "",
			"grpc_json_transcode_failure{INVALID_ARGUMENT} 400 *",
		},
		{"a collision", plain, "PUT", create, []string{`{"shelf":4,"name":"n"}`}, "UpdateBook", `shelf:4 name:"n"`, ""},
		{
			"a collision, strict", strict, "PUT", create, []string{`{"shelf":4,"name":"n"}`}, "UpdateBook", "",
			`grpc_json_transcode_failure{INVALID_ARGUMENT} 400 The binding value "3" of the field shelf is conflicting with the value 4 in the body.`,
		},
		{"no collision", strict, "PUT", create, []string{`{"shelf":"3","name":"n"}`}, "UpdateBook", `shelf:3 name:"n"`, ""},
		{
			"a body and a query", plain, "PUT", create + "?book.tags=b&book.author.first_name=F&book.in_stock=1",
			[]string{`{"book":{"tags":["a"],"inStock":false,"author":{"born":1}}}`}, "UpdateBook",
			`shelf:3 book:{author:{first_name:"F" born:1} tags:"a" tags:"b" in_stock:true}`, "",
		},
		{"a body that no rule has", plain, "GET", "/books/7", []string{`{"name":"x"}`}, "GetBook", `book:{id:7} name:"x"`, ""},
		{
			"too large", strict, "POST", create, []string{`{"title":"` + strings.Repeat("x", 100) + `"}`}, "CreateBook", "",
			"grpc_json_transcode_failure{request_buffer_size_limit_reached} 413 " +
				"Request rejected because the transcoder's internal buffer size exceeds the configured limit.",
		},
		{"auto mapping", capturing, "POST", "/bookstore.Bookstore/Plain", []string{`{"name":"n"}`}, "Plain", `name:"n"`, ""},
		{"no auto mapping", plain, "POST", "/bookstore.Bookstore/Plain", []string{`{"name":"n"}`}, "", "", ""},
		{
			"a stream", plain, "POST", bulk, []string{` [ {"title":"a"}`, `,{"ti`, `tle":"b]\"}"} ] `}, "BulkCreate",
			`shelf:3 book:{title:"a"} | book:{title:"b]\"}"}`, "",
		},
		{"an empty stream", plain, "POST", bulk, []string{"[]"}, "BulkCreate", "", ""},
		{"a comma at the end", plain, "POST", bulk, []string{`[{"title":"a"},]`}, "BulkCreate", `shelf:3 book:{title:"a"}`, ""},
		{
			"no stream", plain, "POST", bulk, []string{`{"title":"a"}`}, "BulkCreate", "",
			"grpc_json_transcode_failure{INVALID_ARGUMENT} 400 Expected an array instead of an object",
		},
		{
			"no stream at all", plain, "POST", bulk, nil, "", "",
			"early_grpc_json_transcode_failure{INVALID_ARGUMENT} 400 Expected an array instead of an object",
		},
		{
			"a stream cut short", plain, "POST", bulk, []string{`[`}, "BulkCreate", "",
			"grpc_json_transcode_failure{INVALID_ARGUMENT} 400 Unexpected end of string. Expected , or ] after array value.",
		},
		{
			"raw", lenient, "POST", "/upload/n?shelf=5&foo=bar&content.content_type=zz", []string{"he", "llo"}, "Upload",
			`shelf:5 name:"n" content:{content_type:"text/x" data:"hello"}`, "",
		},
		{
			"raw, with what is unknown", capturing, "POST", "/upload/n?foo=bar&foo=baz", []string{"hello"}, "Upload",
			`name:"n" content:{content_type:"text/x" data:"hello" extensions:{type_url:"type.googleapis.com/` +
				`envoy.extensions.filters.http.grpc_json_transcoder.v3.UnknownQueryParams" value:"\n\x11\n\x03foo\x12\n\n\x03bar\n\x03baz"}}`, "",
		},
		{"raw and empty", plain, "POST", "/upload/n", nil, "Upload", `name:"n" content:{content_type:"text/x"}`, ""},
		{
			"a raw stream", plain, "POST", "/uploadstream/n", []string{"he", "llo", ""}, "UploadStream",
			`name:"n" content:{content_type:"text/x" data:"he"} | content:{data:"llo"}`, "",
		},
		{"a raw stream without a body", plain, "POST", "/uploadstream/n", nil, "UploadStream", `name:"n" content:{content_type:"text/x"}`, ""},
		{"raw as a whole", plain, "POST", "/uploadbare?content_type=zz", []string{"hello"}, "UploadBare", `content_type:"text/x" data:"hello"`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, scope := newStream(t, tc.cfg(t))
			for _, trailers := range []bool{false, true} {
				s.Request(len(tc.body) == 0, ":method", tc.method, ":path", tc.path, "content-type", "text/x", "content-length", "9")
				for i, p := range tc.body {
					s.Body(p, i == len(tc.body)-1 && !trailers)
				}
				if trailers && len(tc.body) > 0 {
					s.Trailers("x", "y")
				}
				if tc.refused != "" {
					checkRefused(t, s, tc.refused)
				} else if !s.Destroyed {
					checkSent(t, s, in, tc.method, tc.path, tc.goes, tc.want, strings.Join(tc.body, ""))
					s.Leave()
				} else {
					t.Fatal(s.Reply())
				}
				if scope.Value("http.in.transcoder_request_buffer_bytes") != 0 {
					t.Error("bytes are still counted")
				}
				s.Recycle()
			}
			if n := s.Loop.Buffers().InUse(); n != 0 {
				t.Errorf("%d blocks left", n)
			}
		})
	}
}

func checkRefused(t *testing.T, s *filtertest.Stream, want string) {
	t.Helper()
	if s.Local == nil {
		t.Fatal("not refused")
	}
	got := s.Details + " " + httpmsg.StatusText(s.Local.Status) + " " + s.Local.Body
	if prefix, any := strings.CutSuffix(want, "*"); got != want && (!any || !strings.HasPrefix(got, prefix)) {
		t.Errorf("got %s", got)
	}
}

func checkSent(t *testing.T, s *filtertest.Stream, in *dynamicpb.Types, method, path, goes, want, body string) {
	t.Helper()
	h := s.In.Headers
	if !s.In.Ended {
		t.Error("not ended")
	}
	if goes == "" {
		if h.Get(httpmsg.Path) != path || h.Get(httpmsg.Method) != method || s.In.Body.String() != body {
			t.Errorf("changed: %v %q", h.Fields(), s.In.Body.String())
		}
		return
	}
	var fields []string
	for _, f := range h.Fields() {
		fields = append(fields, f.Name+": "+f.Value)
	}
	const type_ = ", content-type: application/grpc, x-envoy-original-path: "
	if got := strings.Join(fields, ", "); got != ":method: POST, :path: /bookstore.Bookstore/"+goes+type_+path+", x-envoy-original-method: "+method+", te: trailers" {
		t.Errorf("got %s", got)
	}
	name := "bookstore.BookRequest"
	if goes == "UploadBare" {
		name = httpBody
	}
	// prototext varies its spaces.
	if got := sent(t, in, name, s.In.Body.String()); strings.ReplaceAll(got, ": ", ":") != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPass(t *testing.T) {
	disabled := &config{}
	for name, contentType := range map[string]string{"gRPC": "application/grpc", "disabled": "application/json"} {
		cfg := plain(t)
		if name == "disabled" {
			cfg = disabled
		}
		s, _ := newStream(t, cfg)
		s.Request(false, ":method", "GET", ":path", "/books/7", "content-type", contentType)
		s.Body("abc", true)
		s.Respond(false, ":status", "200", "content-type", "application/grpc")
		s.RespondBody("def", false)
		s.RespondTrailers("grpc-status", "5")
		if s.In.Headers.Get(httpmsg.Path) != "/books/7" || s.In.Body.String() != "abc" || s.Out.Body.String() != "def" ||
			s.Out.Headers.Get(httpmsg.Status) != "200" {
			t.Errorf("%s: %s", name, s.Reply())
		}
	}
}

func TestRouteConfig(t *testing.T) {
	var errs conf.Errors
	perRoute := Factory{}.BuildRouteConfig(&config{}, filtertest.Context(metrics.New(1), nil), conf.Path{}, &errs)
	s, _ := newStream(t, plain(t))
	s.Table = func(*httpmsg.Headers) *route.Route {
		return &route.Route{FilterConfigs: []route.FilterConfig{{Filter: "filter", Config: perRoute}}}
	}
	s.Request(true, ":method", "GET", ":path", "/books/7")
	if got := s.In.Headers.Get(httpmsg.Path); got != "/books/7" || errs.Err() != nil {
		t.Error(got, errs)
	}
}

func TestKeepsRoute(t *testing.T) {
	for _, keep := range []bool{false, true} {
		cfg := plain(t)
		cfg.MatchIncomingRequestRoute = keep
		s, _ := newStream(t, cfg)
		lookups := 0
		s.Table = func(*httpmsg.Headers) *route.Route { lookups++; return &route.Route{} }
		s.Request(true, ":method", "GET", ":path", "/books/7")
		s.Route()
		if (lookups == 1) != keep {
			t.Errorf("keep %v: %d lookups", keep, lookups)
		}
	}
}

func TestLimits(t *testing.T) {
	cfg := strict(t)
	cfg.MaxRequestBodySize, cfg.MaxResponseBodySize = wrapperspb.UInt32(100), wrapperspb.UInt32(5)
	s, _ := newStream(t, cfg)
	s.DecodeLimit, s.EncodeLimit = 10, 10
	s.Request(true, ":method", "GET", ":path", "/books/7")
	if s.DecodeLimit != 100 || s.EncodeLimit != 10 {
		t.Error(s.DecodeLimit, s.EncodeLimit)
	}
}

func TestLargeRawStream(t *testing.T) {
	s, _ := newStream(t, plain(t))
	s.Request(false, ":method", "POST", ":path", "/uploadstream/n")
	s.Body(strings.Repeat("x", 2*maxPiece+5), true)
	var sizes []int
	for body := s.In.Body.String(); body != ""; {
		h := grpc.Header([]byte(body[:grpc.HeaderSize]))
		sizes = append(sizes, h.Len())
		body = body[grpc.HeaderSize+h.Len():]
	}
	if len(sizes) != 3 || sizes[0] < maxPiece || sizes[2] > 20 {
		t.Error(sizes)
	}
	s.Leave()
}

func TestConfig(t *testing.T) {
	with := func(change func(c *config)) *config {
		c := plain(t)
		change(c)
		return c
	}
	for _, tc := range []struct {
		cfg  *config
		want string
	}{
		{with(func(c *config) { c.DescriptorSet = nil }), "p: transcoding_filter: descriptor not set"},
		{
			with(func(c *config) {
				c.DescriptorSet = &transcoderv3.GrpcJsonTranscoder_ProtoDescriptorBin{ProtoDescriptorBin: []byte("x")}
			}),
			"p.proto_descriptor_bin: transcoding_filter: Unable to parse proto descriptor: *",
		},
		{
			with(func(c *config) {
				c.DescriptorSet = &transcoderv3.GrpcJsonTranscoder_ProtoDescriptor{ProtoDescriptor: "testdata/none"}
			}),
			"p.proto_descriptor: open testdata/none: *",
		},
		{
			with(func(c *config) { c.Services = []string{"bookstore.Bookstore", "a.B"} }),
			"p.services[1]: transcoding_filter: Could not find 'a.B' in the proto descriptor",
		},
		{with(func(c *config) { c.MaxRequestBodySize = wrapperspb.UInt32(0) }), "p.max_request_body_size: must be greater than 0"},
		{with(func(c *config) { c.UrlUnescapeSpec = 9 }), "p.url_unescape_spec: unknown value 9"},
	} {
		var errs conf.Errors
		built := Factory{}.BuildRouteConfig(tc.cfg, filtertest.Context(metrics.New(1), nil), conf.Path{}.Field("p"), &errs)
		got := errs.Error()
		if prefix, any := strings.CutSuffix(tc.want, "*"); built != nil || got != tc.want && (!any || !strings.HasPrefix(got, prefix)) {
			t.Errorf("got %s, want %s", got, tc.want)
		}
	}
	f := Factory{}
	if _, missing, err := f.Fields()[0].Split(f.Config().ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(missing, err)
	}
}

func TestNoAllocation(t *testing.T) {
	s, _ := newStream(t, plain(t))
	r := &route.Route{}
	s.Table = func(*httpmsg.Headers) *route.Route { return r }
	for _, path := range []string{"/nope/a/b/c?d=e", "/shelves/3/other"} {
		s.Headers().Reset()
		s.Headers().Add(":path", path)
		s.Headers().Add(":method", "GET")
		run := func() {
			s.RequestMap(true)
			s.Leave()
			s.Recycle()
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}
