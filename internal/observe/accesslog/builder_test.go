package accesslog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

var _ extension.AccessLogs = (*Builder)(nil)

// counting is an access logger that counts, and its factory.
type counting struct{ lines int }

func (c *counting) Log(*format.Entry)     { c.lines++ }
func (c *counting) Name() string          { return "counting" }
func (c *counting) Category() string      { return extension.AccessLoggers }
func (c *counting) Config() proto.Message { return &streamv3.StdoutAccessLog{} }
func (c *counting) Fields() []conf.Fields { return nil }
func (c *counting) BuildAccessLogger(msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors) accesslog.Logger {
	if msg.(*streamv3.StdoutAccessLog).GetAccessLogFormat() != nil {
		errs.Add(path.Field("log_format"), "bad format")
	}
	return c
}

// values is a runtime.
type values map[string]uint64

func (v values) Snapshot() runtimeconf.Snapshot { return v }
func (v values) Integer(key string, d uint64) uint64 {
	if n, ok := v[key]; ok {
		return n
	}
	return d
}
func (v values) Double(string, float64) float64 { return 0 }
func (v values) Boolean(string, bool) bool      { return false }
func (v values) Get(string) (string, bool)      { return "", false }
func (v values) Percent(key string, d uint32) uint32 {
	return uint32(v.Integer(key, uint64(d)))
}

// errorsOnly is an extension filter, and its factory.
type errorsOnly struct{}

func (errorsOnly) Name() string          { return "errorsOnly" }
func (errorsOnly) Category() string      { return extension.AccessLogFilters }
func (errorsOnly) Config() proto.Message { return &streamv3.StderrAccessLog{} }
func (errorsOnly) Fields() []conf.Fields { return nil }
func (errorsOnly) BuildAccessLogFilter(proto.Message, extension.Context, conf.Path, *conf.Errors) accesslog.Filter {
	return func(e *format.Entry) bool { return e.Stream.ResponseCode >= 400 }
}

func newBuilder(t *testing.T, factory *counting, runtime values) *Builder {
	t.Helper()
	registry := &extension.Registry{}
	if err := registry.Add(factory, errorsOnly{}); err != nil {
		t.Fatal(err)
	}
	return NewBuilder(extension.Context{Registry: registry, Runtime: runtime})
}

// passes builds a logger with the filter and reports whether it logs e.
func passes(t *testing.T, filter string, runtime values, e *format.Entry) bool {
	t.Helper()
	f := &accesslogv3.AccessLogFilter{}
	if err := protojson.Unmarshal([]byte(filter), f); err != nil {
		t.Fatal(err)
	}
	packed, err := anypb.New(&streamv3.StdoutAccessLog{})
	if err != nil {
		t.Fatal(err)
	}
	factory := &counting{}
	var errs conf.Errors
	loggers := newBuilder(t, factory, runtime).Build([]*accesslogv3.AccessLog{{
		Filter: f, ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed},
	}}, conf.Path{}, &errs)
	if err := errs.Err(); err != nil {
		t.Fatal(err)
	}
	loggers[0].Log(e)
	return factory.lines == 1
}

func entry(change func(*format.Entry)) *format.Entry {
	start := time.Unix(1000, 0)
	e := &format.Entry{
		Request: &httpmsg.Headers{}, Now: start.Add(time.Minute), Type: format.DownstreamEnd,
		Stream: &streaminfo.Stream{Start: start, End: start.Add(1500 * time.Millisecond), ResponseCode: 404},
	}
	if change != nil {
		change(e)
	}
	return e
}

func TestFilters(t *testing.T) {
	const comparison = `{"comparison":{"op":"%s","value":{"default_value":%d,"runtime_key":"key"}}}`
	status := func(op string, value int) string {
		return `{"status_code_filter":` + fmt.Sprintf(comparison, op, value) + `}`
	}
	duration := func(op string, value int) string {
		return `{"duration_filter":` + fmt.Sprintf(comparison, op, value) + `}`
	}
	metadata := func(value, more string) string {
		return `{"metadata_filter":{"matcher":{"filter":"ns","path":[{"key":"a"},{"key":"b"}],"value":` + value + `}` + more + `}}`
	}
	with := func(v any) func(*format.Entry) {
		return func(e *format.Entry) {
			value, err := structpb.NewStruct(map[string]any{"a": map[string]any{"b": v}})
			if err != nil {
				t.Fatal(err)
			}
			e.Stream.SetMetadata("ns", value)
		}
	}
	unfinished := func(e *format.Entry) { e.Stream.End = time.Time{} }
	grpc := func(status string) func(*format.Entry) {
		return func(e *format.Entry) {
			e.Trailers = &httpmsg.Headers{}
			e.Trailers.Add("grpc-status", status)
		}
	}
	id := func(id string) func(*format.Entry) {
		return func(e *format.Entry) { e.Stream.RequestID, e.Random = id, 99 }
	}
	const yes, no = `{"not_health_check_filter":{}}`, `{"traceable_filter":{}}`
	const ours = `{"extension_filter":{"name":"ours","typed_config":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog"}}}`
	const half = `{"runtime_filter":{"runtime_key":"k","percent_sampled":{"numerator":50}}}`
	for _, test := range []struct {
		filter  string
		runtime values
		entry   func(*format.Entry)
		want    bool
	}{
		{status("EQ", 404), nil, nil, true}, {status("EQ", 403), nil, nil, false},
		{status("GE", 404), nil, nil, true}, {status("GE", 405), nil, nil, false},
		{status("LE", 404), nil, nil, true}, {status("LE", 403), nil, nil, false},
		{status("NE", 404), nil, nil, false}, {status("NE", 403), nil, nil, true},
		{status("GE", 500), values{"key": 400}, nil, true},
		{duration("GE", 1500), nil, nil, true}, {duration("GE", 1501), nil, nil, false},
		{duration("GE", 60_000), nil, unfinished, true}, {duration("GE", 60_001), nil, unfinished, false},
		{yes, nil, nil, true}, {yes, nil, func(e *format.Entry) { e.Stream.HealthCheck = true }, false},
		{no, nil, nil, false},
		{`{"and_filter":{"filters":[` + yes + `,` + yes + `]}}`, nil, nil, true},
		{`{"and_filter":{"filters":[` + yes + `,` + no + `]}}`, nil, nil, false},
		{`{"or_filter":{"filters":[` + no + `,` + yes + `]}}`, nil, nil, true},
		{`{"or_filter":{"filters":[` + no + `,` + no + `]}}`, nil, nil, false},
		{ours, nil, nil, true}, {ours, nil, func(e *format.Entry) { e.Stream.ResponseCode = 200 }, false},
		{`{"and_filter":{"filters":[` + ours + `,` + no + `]}}`, nil, nil, false},
		{`{"header_filter":{"header":{"name":"a"}}}`, nil, nil, false},
		{`{"header_filter":{"header":{"name":"a"}}}`, nil, func(e *format.Entry) { e.Request.Add("a", "") }, true},
		{`{"header_filter":{"header":{"name":"a"}}}`, nil, func(e *format.Entry) { e.Request = nil }, false},
		{`{"response_flag_filter":{}}`, nil, nil, false},
		{`{"response_flag_filter":{}}`, nil, func(e *format.Entry) { e.Stream.Flags = streaminfo.NoRouteFound }, true},
		{`{"response_flag_filter":{"flags":["UF","NR"]}}`, nil, func(e *format.Entry) { e.Stream.Flags = streaminfo.NoRouteFound }, true},
		{`{"response_flag_filter":{"flags":["UF"]}}`, nil, func(e *format.Entry) { e.Stream.Flags = streaminfo.NoRouteFound }, false},
		{`{"grpc_status_filter":{"statuses":["CANCELED","NOT_FOUND"]}}`, nil, grpc("5"), true},
		{`{"grpc_status_filter":{"statuses":["CANCELED","NOT_FOUND"]}}`, nil, grpc("6"), false},
		{`{"grpc_status_filter":{"statuses":["OK"],"exclude":true}}`, nil, grpc("99"), true},
		{`{"grpc_status_filter":{"statuses":["OK"],"exclude":true}}`, nil, grpc("0"), false},
		{`{"grpc_status_filter":{"statuses":["UNIMPLEMENTED"]}}`, nil, nil, true}, // for 404
		{`{"grpc_status_filter":{"statuses":["UNKNOWN"]}}`, nil, func(e *format.Entry) { e.Stream.ResponseCode = 0 }, true},
		{`{"log_type_filter":{"types":["TcpPeriodic","DownstreamEnd"]}}`, nil, nil, true},
		{`{"log_type_filter":{"types":["TcpPeriodic"]}}`, nil, nil, false},
		{`{"log_type_filter":{"types":["TcpPeriodic"],"exclude":true}}`, nil, nil, true},
		{metadata(`{"string_match":{"prefix":"x"}}`, ""), nil, with("xy"), true},
		{metadata(`{"string_match":{"prefix":"x"}}`, ""), nil, with("yx"), false},
		{metadata(`{"string_match":{"prefix":"x"}}`, ""), nil, with(1), false},
		{metadata(`{"string_match":{"prefix":"x"}}`, ""), nil, nil, true},
		{metadata(`{"string_match":{"prefix":"x"}}`, `,"match_if_key_not_found":false`), nil, nil, false},
		{metadata(`{"double_match":{"range":{"start":1,"end":2}}}`, ""), nil, with(1), true},
		{metadata(`{"double_match":{"range":{"start":1,"end":2}}}`, ""), nil, with(2), false},
		{metadata(`{"double_match":{"exact":2.5}}`, ""), nil, with(2.5), true},
		{metadata(`{"bool_match":true}`, ""), nil, with(true), true},
		{metadata(`{"bool_match":true}`, ""), nil, with("true"), false},
		{`{"metadata_filter":{"matcher":{"filter":"ns","path":[{"key":"a"}],"value":{"present_match":true},"invert":true}}}`, nil, with(1), true},
		{`{"metadata_filter":{}}`, nil, with(1), true},
		{`{"metadata_filter":{"match_if_key_not_found":false}}`, nil, with(1), false},
		{metadata(`{"null_match":{}}`, ""), nil, with(nil), true},
		{metadata(`{"present_match":true}`, ""), nil, with(false), true},
		{metadata(`{"list_match":{"one_of":{"double_match":{"exact":3}}}}`, ""), nil, with([]any{1, 3}), true},
		{metadata(`{"list_match":{"one_of":{"double_match":{"exact":3}}}}`, ""), nil, with([]any{1, 4}), false},
		{metadata(`{"or_match":{"value_matchers":[{"bool_match":true},{"double_match":{"exact":3}}]}}`, ""), nil, with(3), true},
		{half, nil, id("00000031-"), true},             // 49
		{half, nil, id("00000032-"), false},            // 50
		{half, values{"k": 510_000}, id("32-"), false}, // too short: random
		{half, values{"k": 1_000_000}, id(""), true},
		{half, values{"k": 510_000}, id("00000032-"), true},
		{`{"runtime_filter":{"runtime_key":"k","percent_sampled":{"numerator":1,"denominator":"MILLION"}}}`, nil, id("000f4240-"), true},
		{`{"runtime_filter":{"runtime_key":"k","percent_sampled":{"numerator":50},"use_independent_randomness":true}}`, nil, id("00000000-"), false},
	} {
		if got := passes(t, test.filter, test.runtime, entry(test.entry)); got != test.want {
			t.Errorf("%s: %v, want %v", test.filter, got, test.want)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	config := `[
		{"name":"a","filter":{"extension_filter":{"name":"x"}},"typed_config":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"}},
		{"name":"b","filter":{"and_filter":{"filters":[{"extension_filter":{"name":"x","typed_config":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"}}},{"response_flag_filter":{"flags":["NOPE"]}}]}},"typed_config":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"}},
		{"name":"c","typed_config":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog"}},
		{"name":"d"},
		{"name":"e","typed_config":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog","log_format":{"text_format":""}}},
		{"name":"f","typed_config":{"@type":"type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"}}
	]`
	var logs []*accesslogv3.AccessLog
	list := &structpb.ListValue{}
	if err := protojson.Unmarshal([]byte(config), list); err != nil {
		t.Fatal(err)
	}
	for _, item := range list.Values {
		one, err := protojson.Marshal(item)
		if err != nil {
			t.Fatal(err)
		}
		l := &accesslogv3.AccessLog{}
		if err := protojson.Unmarshal(one, l); err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	var errs conf.Errors
	loggers := newBuilder(t, &counting{}, nil).Build(logs, conf.Path{}.Field("access_log"), &errs)
	if len(loggers) != 1 {
		t.Errorf("%d loggers", len(loggers))
	}
	want := strings.Join([]string{
		"access_log[0].filter.extension_filter.typed_config: must be set",
		"access_log[1].filter.and_filter.filters[0].extension_filter.typed_config: Didn't find a registered implementation for 'x' with type URL: 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog'",
		`access_log[1].filter.and_filter.filters[1].response_flag_filter.flags[0]: "NOPE" is no response flag`,
		"access_log[2].typed_config: Didn't find a registered implementation for 'c' with type URL: 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog'",
		"access_log[3].typed_config: must be set",
		"access_log[4].typed_config.log_format: bad format",
	}, "\n")
	if got := errs.Error(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestFields(t *testing.T) {
	_, missing, err := Fields().Split((&accesslogv3.AccessLog{}).ProtoReflect().Descriptor())
	if err != nil || len(missing) != 0 {
		t.Errorf("missing %v, %v", missing, err)
	}
}
