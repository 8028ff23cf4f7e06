package grpcjsontranscoder

import (
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

func show(h *httpmsg.Headers) string {
	var out []string
	for _, f := range h.Fields() {
		out = append(out, f.Name+": "+f.Value)
	}
	return strings.Join(out, ", ")
}

// The expectations are recorded from Envoy 1.40.
func TestResponse(t *testing.T) {
	in := types(t)
	const one, list, download = "/books/7", "/shelves/3/books", "/download/n"
	book := frame(message(t, in, "bookstore.Book", `id: 7 title: "a<b>\"é\x7f\xe2\x80\xa8" author { first_name: "Jo" } genre: SCIENCE_FICTION
		tags: "x" tags: "y" price: 1.5 in_stock: true cover: "\xff\xfe\xfd" published { seconds: 100 } rating {}`))
	const bookJSON = `{"id":"7","title":"a\u003cb\u003e\"é\u007f\u2028","author":{"firstName":"Jo"},"genre":"SCIENCE_FICTION",` +
		`"tags":["x","y"],"price":1.5,"inStock":true,"cover":"//79","published":"1970-01-01T00:01:40Z","rating":false}`
	const emptyBook = "{\n \"id\": \"0\",\n \"title\": \"\",\n \"genre\": 0,\n \"tags\": [],\n \"price\": 0,\n \"in_stock\": false,\n" +
		" \"cover\": \"\",\n \"pages\": 0\n}\n"
	const notFound = "{\n \"code\": 5,\n \"message\": \"not here\",\n \"details\": []\n}\n"
	id1, id2 := frame([]byte("\x08\x01")), frame([]byte("\x08\x02"))
	raw := func(contentType, data string) string {
		return frame(message(t, in, httpBody, `content_type: "`+contentType+`" data: "`+data+`"`))
	}
	ok := []string{"grpc-status", "0"}
	failure := []string{"grpc-status", "5", "grpc-message", "not%20here"}
	const json = ", content-type: application/json"
	for _, tc := range []struct {
		name     string
		cfg      string // as the functions are called
		path     string
		headers  []string // behind :status and content-type
		body     []string
		trailers []string
		want     string
		goes     string
		failed   string // details of the answer
	}{
		{"a message", "plain", one, nil, []string{book}, ok, ":status: 200" + json + ", grpc-status: 0, content-length: 214", bookJSON, ""},
		{"in pieces", "plain", one, nil, strings.Split(book, ""), ok, ":status: 200" + json + ", grpc-status: 0, content-length: 214", bookJSON, ""},
		{"empty", "plain", one, nil, []string{frame(nil)}, ok, ":status: 200" + json + ", grpc-status: 0, content-length: 2", "{}", ""},
		{"empty, all fields", "lenient", one, nil, []string{frame(nil)}, ok, ":status: 200" + json + ", grpc-status: 0, content-length: 115", emptyBook, ""},
		{"no trailers", "plain", one, nil, []string{frame(nil)}, nil, ":status: 200" + json, "{}", ""},
		{"two messages", "plain", one, nil, []string{id1, id2}, ok, ":status: 200" + json + ", grpc-status: 0, content-length: 10", `{"id":"1"}`, ""},
		{
			"an error in the headers", "plain", one, failure, nil, nil,
			":status: 404, content-type: application/grpc, grpc-status: 5, grpc-message: not%20here, content-length: 0", "", "",
		},
		{"and converted", "lenient", one, failure, nil, nil, ":status: 404" + json + ", content-length: 55", notFound, ""},
		{
			"an error in trailers", "plain", one, nil, nil, failure,
			":status: 404" + json + ", grpc-status: 5, grpc-message: not%20here, content-length: 0", "", "",
		},
		{"and converted", "lenient", one, []string{"trailer", "x"}, nil, failure, ":status: 404" + json + ", content-length: 55", notFound, ""},
		{
			"details", "lenient", one, nil, nil,
			[]string{"grpc-status", "5", "grpc-status-details-bin", "CAUaMwoqdHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJlcXVlc3RJbmZvEgUKA3ItMQ"},
			":status: 404" + json + ", content-length: 161",
			"{\n \"code\": 5,\n \"message\": \"\",\n \"details\": [\n  {\n   \"@type\": \"type.googleapis.com/google.rpc.RequestInfo\",\n" +
				"   \"request_id\": \"r-1\",\n   \"serving_data\": \"\"\n  }\n ]\n}\n", "",
		},
		{
			"an error behind a message", "lenient", one, nil, []string{frame(nil)}, failure,
			":status: 404" + json + ", grpc-status: 5, grpc-message: not%20here, content-length: 115", emptyBook, "",
		},
		{"no status", "plain", one, nil, []string{frame(nil)}, []string{"x", "5"}, ":status: 503" + json + ", content-length: 2", "{}", ""},
		{"no number", "plain", one, nil, []string{frame(nil)}, []string{"grpc-status", "z"}, ":status: 503" + json + ", content-length: 2", "{}", ""},
		{"an odd status", "plain", one, nil, []string{frame(nil)}, []string{"grpc-status", "77"}, ":status: 500" + json + ", grpc-status: 77, content-length: 2", "{}", ""},
		{"compressed", "plain", one, nil, []string{"\x01\x00\x00\x00\x00"}, ok, "502 Unsupported gRPC frame flag: 1", "", late + "{INTERNAL}"},
		{"cut short", "plain", one, nil, []string{"\x00\x00\x00\x00\x04ab"}, ok, "502 Incomplete gRPC frame expected size: 4 actual size: 2", "", late + "{INTERNAL}"},
		{"cut in the header", "plain", one, nil, []string{"\x00\x00"}, ok, "502 Incomplete gRPC frame header received", "", late + "{INTERNAL}"},
		{"no message", "plain", one, nil, []string{frame([]byte("\x12\x05a"))}, ok, "502 *", "", late + "{INTERNAL}"},
		{"no gRPC", "plain", one, []string{":status", "503", "content-type", "text/plain"}, []string{"abc"}, nil, ":status: 503, content-type: text/plain", "abc", ""},
		{
			"too large", "strict", one, nil, []string{frame(make([]byte, 101))}, ok, "500 " + errTooLarge.Error(), "",
			late + "{response_buffer_size_limit_reached}",
		},

		{"a stream", "plain", list, nil, []string{id1, id2}, ok, ":status: 200" + json, `[{"id":"1"},{"id":"2"}]`, ""},
		{"a stream of lines", "lenient", list, nil, []string{frame(nil) + frame(nil)}, ok, ":status: 200" + json, emptyBook + "\n" + emptyBook + "\n", ""},
		{"a stream of events", "strict", list, nil, []string{id1, id2}, ok, ":status: 200, content-type: text/event-stream", "data: {\"id\":\"1\"}\n\ndata: {\"id\":\"2\"}\n\n", ""},
		{"an empty stream", "plain", list, nil, nil, ok, ":status: 200" + json, "[]", ""},
		{"no lines", "lenient", list, nil, nil, ok, ":status: 200" + json, "", ""},
		{"a stream without trailers", "plain", list, nil, []string{id1}, nil, ":status: 200" + json, `[{"id":"1"}]`, ""},
		{"a stream that fails", "plain", list, nil, []string{id1}, failure, ":status: 200" + json, `[{"id":"1"}]`, ""},
		{"no stream", "plain", list, failure, nil, nil, ":status: 404" + json + ", grpc-status: 5, grpc-message: not%20here", "[]", ""},
		{"no events", "strict", list, failure, nil, nil, ":status: 404, content-type: text/event-stream, grpc-status: 5, grpc-message: not%20here", "", ""},

		{"raw", "plain", download, nil, []string{raw("a/b", "hi")}, ok, ":status: 200, content-type: a/b, grpc-status: 0, content-length: 2", "hi", ""},
		{"raw and empty", "plain", download, nil, []string{frame(nil)}, ok, ":status: 200" + json + ", grpc-status: 0, content-length: 0", "", ""},
		{"raw and wrong", "plain", download, nil, []string{frame([]byte("\x12\x05a"))}, ok, "reset", "", late},
		{"raw and failed", "plain", download, nil, nil, failure, ":status: 404" + json + ", grpc-status: 5, grpc-message: not%20here, content-length: 0", "", ""},
		{
			"raw in a field", "plain", "/downloadpart/n", nil,
			[]string{frame([]byte("\x08\x04\x22\x05\x0a\x03a/b\x22\x04\x12\x02hi"))}, ok, ":status: 200, content-type: a/b, grpc-status: 0, content-length: 2", "hi", "",
		},
		{
			"a raw stream", "plain", "/downloadstream/n", nil, []string{raw("a/b", "hi")[:3], raw("a/b", "hi")[3:], raw("c/d", "ho")}, ok,
			":status: 200, content-type: a/b", "hiho", "",
		},
		{"an empty raw stream", "plain", "/downloadstream/n", nil, nil, ok, ":status: 200" + json, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, scope := newStream(t, map[string]func(testing.TB) *config{"plain": plain, "lenient": lenient, "strict": strict}[tc.cfg](t))
			for range 2 {
				s.Request(true, ":method", "GET", ":path", tc.path)
				h := new(httpmsg.Headers)
				h.Add(":status", "200")
				h.Add("content-type", "application/grpc")
				for i := 0; i < len(tc.headers); i += 2 {
					h.SetName(tc.headers[i], tc.headers[i+1])
				}
				var fields []string
				for _, f := range h.Fields() {
					fields = append(fields, f.Name, f.Value)
				}
				s.Respond(len(tc.body) == 0 && tc.trailers == nil, fields...)
				for i, p := range tc.body {
					if !s.Destroyed {
						s.RespondBody(p, i == len(tc.body)-1 && tc.trailers == nil)
					}
				}
				if tc.trailers != nil && !s.Destroyed {
					s.RespondTrailers(tc.trailers...)
				}
				got := ""
				switch {
				case s.WasReset:
					got = "reset"
				case s.Local != nil:
					got = httpmsg.StatusText(s.Local.Status) + " " + s.Local.Body
				default:
					got = show(s.Out.Headers)
					if body := s.Out.Body.String(); body != tc.goes || !s.Out.Ended {
						t.Errorf("got  %q\nwant %q, ended %v", body, tc.goes, s.Out.Ended)
					}
				}
				if prefix, any := strings.CutSuffix(tc.want, "*"); got != tc.want && (!any || !strings.HasPrefix(got, prefix)) {
					t.Errorf("got  %s\nwant %s", got, tc.want)
				}
				if s.Details != tc.failed {
					t.Errorf("details %s", s.Details)
				}
				if scope.Value("http.in.transcoder_response_buffer_bytes") != 0 {
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
