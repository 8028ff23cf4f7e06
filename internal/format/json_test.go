package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

func compileJSON(t testing.TB, c *Compiler, template string, omit bool) format.Format {
	t.Helper()
	s := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(template), s); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	f := c.FromProto(&corev3.SubstitutionFormatString{
		Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: s}, OmitEmptyValues: omit,
	}, conf.Path{}, &errs)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	return f
}

// jsonValue returns the JSON value of a format.
func jsonValue(t testing.TB, c *Compiler, text string, e *format.Entry) string {
	t.Helper()
	key, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	got := string(compileJSON(t, c, `{"k":`+string(key)+`}`, false).Append(nil, e))
	return strings.TrimSuffix(strings.TrimPrefix(got, `{"k":`), "}\n")
}

func readLine(t *testing.T, name string) (values map[string]json.RawMessage, raw string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	return values, string(data)
}

// TestRecordedValues compares every operator with what Envoy logged of three streams.
func TestRecordedValues(t *testing.T) {
	skipped := func(text string) bool {
		for _, part := range []string{
			"UNIQUE_ID", "EMIT_TIME", "HEADERS_BYTES", // differ from run to run
			"ROUTE_RESOLUTION_TIME_US",
			"|%4f|", "%E4n|", "%3s", // %10f and %%f, and flags of the C library
		} {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	c := testCompiler()
	for name, e := range map[string]*format.Entry{"ok": okEntry(), "refused": refusedEntry(), "tcp": tcpEntry()} {
		t.Run(name, func(t *testing.T) {
			values, _ := readLine(t, name+".json")
			compared := 0
			for text, want := range values {
				if skipped(text) {
					continue
				}
				compared++
				if got := jsonValue(t, c, text, e); got != string(want) {
					t.Errorf("%s: got %s, want %s", text, got, want)
				}
			}
			if compared < 300 {
				t.Errorf("only %d values compared", compared)
			}
		})
	}
}

// TestRecordedBytes compares the escaping of strings and numbers with Envoy's.
func TestRecordedBytes(t *testing.T) {
	env := map[string]string{
		"V1": "é\u2028\u007f\u0080\U0001f600", "V2": "\xed\xa0\x80", "V3": "\xf4\x90\x80\x80", "V4": "\xc0\xaf",
		"V5": "\xef\xbf\xbf\xef\xbf\xbd", "V6": "é\"\\/\b\f\n\r\t\x1f<&\u007f",
		"V7": "\"\x7f\b/\x1b[31m\r\n{\"a\":1}", "V8": "ab\xc3",
	}
	for i := 1; i < 256; i++ {
		env[fmt.Sprintf("E%d", i)] = string([]byte{'a', byte(i), 'b'})
		env[fmt.Sprintf("M%d", i)] = string([]byte{0xff, byte(i), 0xc3, 0xa9})
	}
	c := NewCompiler(Options{LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	e := okEntry()
	md := e.Stream.Metadata["md"]
	for i, v := range []float64{100000, 1000, 10000, 1e5, 1e6, 0.0001, 0.001, 1e-5, 123456789012345680000, math.Copysign(0, -1), 1e100, 1.5e300, 0.1, 3, -100000, 1e15} {
		md.Fields[fmt.Sprintf("k%d", i)] = structpb.NewNumberValue(v)
	}
	nest := &structpb.Struct{}
	if err := nest.UnmarshalJSON([]byte(`{"z":100000,"a":[100000,1e-7,{"q":"é<>\u0001"}],"B":1}`)); err != nil {
		t.Fatal(err)
	}
	md.Fields["nest"] = structpb.NewStructValue(nest)
	values, _ := readLine(t, "bytes.json")
	compared := 0
	for text, want := range values {
		if !strings.Contains(text, "ENVIRONMENT") && !strings.Contains(text, "DYNAMIC_METADATA") {
			continue
		}
		compared++
		if got := jsonValue(t, c, text, e); got != string(want) {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	if compared < 300 {
		t.Errorf("only %d values compared", compared)
	}
}

// TestShape compares nesting, order and what omit_empty_values leaves out.
func TestShape(t *testing.T) {
	e := okEntry()
	for _, test := range []struct {
		file, template string
		omit           bool
	}{
		{"shape.json", `{"z":1,"a":{"y":"%PROTOCOL%","x":["%BYTES_SENT%",1,2.5,true,null,"s","%REQ(nope)%",{"q":"%REQ(nope)%"},["%REQ(nope)%"]]},
			"e":{},"el":[],"num":100000,"fl":1e21,"sm":1e-7,"ff":0.1,"neg":-1,"big":9007199254740993,
			"lit":"a\tb\"\\\u0001\u007f\u00e9\u2028</x>\n","mixed":"%BYTES_SENT% b","pp":"%%","two":"%BYTES_SENT%%PROTOCOL%",
			"mm":"%REQ(nope)% x","k\"\n\u0001":"v","null":null,"hdr":"%REQ(x-nasty)%","hdr2":"[%REQ(x-nasty)%]",
			"nested":{"n":{"m":"%REQ(nope)%"}},"empty":"","emptyhdr":"%REQ(x-empty)%","Cap":1}`, false},
		{"shape_omit.json", `{"z":1,"a":{"y":"%PROTOCOL%","x":["%BYTES_SENT%",null,"%REQ(nope)%",{"q":"%REQ(nope)%"},["%REQ(nope)%"]]},
			"e":{},"el":[],"mm":"%REQ(nope)% x","null":null,"nested":{"n":{"m":"%REQ(nope)%"}},"empty":"",
			"emptyhdr":"%REQ(x-empty)%","two":"%REQ(nope)%%REQ(nope)%"}`, true},
	} {
		_, want := readLine(t, test.file)
		if got := string(compileJSON(t, testCompiler(), test.template, test.omit).Append(nil, e)); got != want {
			t.Errorf("%s:\n got %swant %s", test.file, got, want)
		}
	}
	if got := string(compileJSON(t, testCompiler(), `{"a":"%REQ(x)%"}`, true).Append(nil, e)); got != "{}\n" {
		t.Errorf("all omitted: %q", got)
	}
	if s, ok := compileJSON(t, testCompiler(), `{"a":["x",{"b":1}]}`, false).Literal(); s != `{"a":["x",{"b":1}]}`+"\n" || !ok {
		t.Errorf("literal: %q, %v", s, ok)
	}
}

func TestStrftime(t *testing.T) {
	at := time.Date(2027, 1, 3, 0, 5, 6, 70_000_000, time.FixedZone("X", 5*3600+1800)) // a Sunday
	for _, test := range []struct{ pattern, want string }{
		{"%G-%V %g %U %W %u %w %j", "2026-53 26 01 00 7 0 003"},
		{"%d|%e|%-d|%_d|%H|%k|%I|%l|%-M|%3d", "03| 3|3| 3|00| 0|12|12|5|003"},
		{"%p %P %a %A %b %B %h %C %y", "AM am Sun Sunday Jan January Jan 20 27"},
		{"%c|%D|%F|%R|%T|%X|%x|%r", "Sun Jan  3 00:05:06 2027|01/03/27|2027-01-03|00:05|00:05:06|00:05:06|01/03/27|12:05:06 AM"},
		{"%z %Ez %:z %E*z %::z %Z %s", "+0530 +05:30 +05:30 +05:30:00 +05:30:00 X 1798914906"},
		{"%f %3f %E3f %E*f %E*S %E3S %E1S", "070000000 070 070 07 06.07 06.070 06.0"},
		{"%E4Y %Ey %OS %ET %t|%%", "2027 27 06 T \t|%"},
		{"%q %Q %E4n %0f %5 %E %O % %", "%q %Q %E4n %0f %5 %E %O % %"},
		{"", ""}, {"plain", "plain"},
	} {
		parts, err := compileTime(test.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(appendTime(nil, at, parts)); got != test.want {
			t.Errorf("%s: got %q, want %q", test.pattern, got, test.want)
		}
	}
	parts, _ := compileTime("%E*S %E*f")
	if got := string(appendTime(nil, at.Truncate(time.Second), parts)); got != "06 0" {
		t.Errorf("whole second: %q", got)
	}
	for _, pattern := range []string{"%n", "a\nb"} {
		if _, err := compileTime(pattern); err == nil {
			t.Errorf("%q: accepted", pattern)
		}
	}
}

// formatter is a formatter with one operator, and its factory.
type formatter struct{ listed bool }

func (f formatter) Name() string {
	if f.listed {
		return "listed"
	}
	return "builtin"
}
func (formatter) Category() string      { return extension.Formatters }
func (f formatter) BuiltIn() bool       { return !f.listed }
func (formatter) Fields() []conf.Fields { return nil }

func (f formatter) Config() proto.Message {
	if f.listed {
		return &corev3.Node{}
	}
	return &corev3.Locality{}
}

func (f formatter) BuildFormatter(msg proto.Message, _ extension.Context, path conf.Path, errs *conf.Errors) format.Commands {
	if f.listed {
		conf.Check(msg, conf.Fields{Names: []string{"id"}}, path, errs)
		return format.Commands{"LISTED": func(string) (format.Operator, error) {
			return format.Operator{Text: func(dst []byte, _ *format.Entry) ([]byte, bool) {
				return append(dst, "listed "+msg.(*corev3.Node).GetId()...), true
			}}, nil
		}}
	}
	return format.Commands{"BUILT_IN": func(arg string) (format.Operator, error) {
		if arg == "bad" {
			return format.Operator{}, errors.New("bad argument")
		}
		value, _ := structpb.NewValue([]any{arg})
		if arg == "none" {
			value = nil
		}
		return format.Operator{
			Text: func(dst []byte, _ *format.Entry) ([]byte, bool) {
				return append(dst, arg[:len(arg)*len(value.GetListValue().GetValues())]...), value != nil
			},
			Value: func(*format.Entry) *structpb.Value { return value },
		}, nil
	}}
}

// extendedCompiler is testCompiler with two formatters.
func extendedCompiler(t *testing.T) *Compiler {
	t.Helper()
	registry := &extension.Registry{}
	if err := registry.Add(formatter{}, formatter{listed: true}); err != nil {
		t.Fatal(err)
	}
	options := testCompiler().options
	options.Context.Registry = registry
	return NewCompiler(options)
}

func TestFromProto(t *testing.T) {
	file := filepath.Join(t.TempDir(), "format")
	if err := os.WriteFile(file, []byte("from file"), 0o600); err != nil {
		t.Fatal(err)
	}
	fileJSON, _ := json.Marshal(file)
	for _, test := range []struct{ config, want string }{
		{`{"text_format":"%PROTOCOL%"}`, "HTTP/1.1"},
		{`{"text_format_source":{"inline_string":"%PROTOCOL% %REQ(x)%"},"omit_empty_values":true}`, "HTTP/1.1 "},
		{`{"text_format_source":{"inline_bytes":"YWJj"}}`, "abc"},
		{`{"text_format_source":{"environment_variable":"FOOENV"}}`, "envval"},
		{`{"text_format_source":{"filename":` + string(fileJSON) + `}}`, "from file"},
		{`{"text_format":"x","formatters":[{"name":"m","typed_config":{"@type":"type.googleapis.com/envoy.config.core.v3.Node"}}]}`, "x"},
		{`{"text_format":"%LISTED%|%BUILT_IN(é):1%","formatters":[{"name":"m","typed_config":{"@type":"type.googleapis.com/envoy.config.core.v3.Node","id":"i"}}]}`, "listed i|\xc3"},
		{`{"text_format":"%BUILT_IN(bad)%"}`, "f.text_format: bad argument"},
		{`{"text_format":"%LISTED%"}`, "f.text_format: Not supported field in StreamInfo: LISTED"},
		{`{"text_format":"%BUILT_IN()%|%BUILT_IN(none)%|%COALESCE({\"operators\":[{\"command\":\"BUILT_IN\",\"param\":\"none\"},\"BUILT_IN\"]})%"}`, "|-|"},
		{`{"json_format":{"a":"%BUILT_IN(x)%","b":"%BUILT_IN(abc):2% %BUILT_IN(none)%","c":"%BUILT_IN(none)%","d":"%COALESCE({\"operators\":[{\"command\":\"BUILT_IN\",\"param\":\"abc\",\"max_length\":1}]})%"}}`,
			`{"a":["x"],"b":"ab -","c":null,"d":["abc"]}` + "\n"},
		{`{"json_format":{"a":{"b":["%NOPE%"]},"c":"%CEL(x)%"}}`,
			"f.json_format[\"a\"][\"b\"][0]: Not supported field in StreamInfo: NOPE\nf.json_format[\"c\"]: Not supported field in StreamInfo: CEL"},
		{`{"text_format_source":{"inline_string":"%"}}`,
			"f.text_format_source: Incorrect configuration: %. Couldn't find valid command at position 0"},
		{`{"text_format_source":{"environment_variable":"NONE"}}`, "f.text_format_source.environment_variable: Environment variable doesn't exist: NONE"},
		{`{"text_format_source":{}}`, "f.text_format_source: a source of the text is required"},
		{`{"text_format_source":{"inline_string":"text","watched_directory":{"path":"/"}}}`, "text"},
		{`{"text_format":"","formatters":[{"name":"m","typed_config":{"@type":"type.googleapis.com/envoy.config.core.v3.Address"}}]}`,
			"f.formatters[0].typed_config: Didn't find a registered implementation for 'm' with type URL: 'type.googleapis.com/envoy.config.core.v3.Address'"},
		{`{"text_format":"","formatters":[{"name":"m"},{"name":"n","typed_config":{"@type":"type.googleapis.com/envoy.config.core.v3.Node","cluster":"x"}}]}`,
			"f.formatters[0].typed_config: must be set\nf.formatters[1].typed_config.cluster: field cluster is not implemented"},
		{`{}`, "f: one of text_format, text_format_source and json_format is required"},
	} {
		msg := &corev3.SubstitutionFormatString{}
		if err := protojson.Unmarshal([]byte(test.config), msg); err != nil {
			t.Fatal(err)
		}
		var errs conf.Errors
		f := extendedCompiler(t).FromProto(msg, conf.Path{}.Field("f"), &errs)
		got := errs.Error()
		if f != nil {
			got = string(f.Append(nil, okEntry()))
		}
		if got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.config, got, test.want)
		}
	}
	var errs conf.Errors
	if got := string(testCompiler().FromProto(nil, conf.Path{}, &errs).Append(nil, tcpEntry())); !strings.HasPrefix(got, "[2026-11-23T14:38:50.646Z]") {
		t.Errorf("default: %q", got)
	}
	if _, _, err := Fields().Split((&corev3.SubstitutionFormatString{}).ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}

// TestWantsRTT compiles the operator in a format that lists a formatter.
func TestWantsRTT(t *testing.T) {
	c := extendedCompiler(t)
	for _, test := range []struct {
		text string
		want bool
	}{{"%PROTOCOL%", false}, {"%DOWNSTREAM_CX_RTT%", true}} {
		msg := &corev3.SubstitutionFormatString{
			Format:     &corev3.SubstitutionFormatString_TextFormat{TextFormat: test.text},
			Formatters: []*corev3.TypedExtensionConfig{{Name: "m", TypedConfig: &anypb.Any{TypeUrl: "type.googleapis.com/envoy.config.core.v3.Node"}}},
		}
		var errs conf.Errors
		if c.FromProto(msg, conf.Path{}, &errs) == nil || c.WantsRTT() != test.want {
			t.Errorf("%s: %v, %v", test.text, c.WantsRTT(), errs)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add("%REQ(x-nasty)%", "k", "v\xff\n")
	f.Add("[%QUERY_PARAM(q)%] %DYNAMIC_METADATA(md)%", "\"", "\x00")
	c := testCompiler()
	f.Fuzz(func(t *testing.T, text, key, value string) {
		if strings.ToValidUTF8(text+key, "") != text+key {
			return // not in a message
		}
		s := &structpb.Struct{Fields: map[string]*structpb.Value{
			key:    structpb.NewStringValue(text),
			"o":    structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{key: structpb.NewNumberValue(float64(len(value)) / 3)}}),
			"text": structpb.NewStringValue("%REQ(x)% " + strings.ReplaceAll(key, "%", "%%") + " %FILTER_STATE(v)%%UPSTREAM_CLUSTER%"),
		}}
		e := okEntry()
		e.Request.Add("x", value)
		e.Stream.FilterState["v"] = value
		e.Stream.Upstream.Cluster = value
		e.Stream.Metadata["md"].Fields[key] = structpb.NewStringValue(value)
		for _, omit := range []bool{false, true} {
			var errs conf.Errors
			compiled := c.FromProto(&corev3.SubstitutionFormatString{
				Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: s}, OmitEmptyValues: omit,
			}, conf.Path{}, &errs)
			if compiled == nil {
				return
			}
			got := compiled.Append(nil, e)
			if !json.Valid(got) || strings.Count(string(got), "\n") != 1 || !strings.HasSuffix(string(got), "}\n") {
				t.Errorf("%q, %q, %q: %q", text, key, value, got)
			}
		}
	})
}
