package matchdelegate

import (
	"strings"
	"testing"

	commonv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"
	matchingv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/matching/v3"
	inputv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/route"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// input is the value of the header x in one part of the exchange.
type input struct {
	extension.Factory
	msg  proto.Message
	part func(d *matcher.Data) *httpmsg.Headers
}

func (i input) Name() string          { return string(i.msg.ProtoReflect().Descriptor().Name()) }
func (i input) Category() string      { return extension.MatchInputs }
func (i input) Config() proto.Message { return i.msg }

func (i input) BuildMatchInput(proto.Message, extension.Context, conf.Path, *conf.Errors) matcher.Input {
	return matcher.TextInput(func(d matcher.Data) matcher.Value {
		h := i.part(&d)
		if h == nil {
			return matcher.Value{State: matcher.NotYet}
		}
		return matcher.TextValue(h.Find("x"))
	})
}

// wrapped is the wrapped filter, and its factory. It notes what it sees.
type wrapped struct {
	extension.Factory
	seen   []string
	resets int
	around httpfilter.Filter // the filter that wraps it
}

func (*wrapped) Name() string          { return "wrapped" }
func (*wrapped) Category() string      { return extension.HTTPFilters }
func (*wrapped) Config() proto.Message { return &emptypb.Empty{} }
func (*wrapped) Terminal() bool        { return false }

func (f *wrapped) BuildHTTPFilter(proto.Message, extension.HTTPContext, conf.Path, *conf.Errors) httpfilter.Builder {
	return func(httpfilter.Callbacks) httpfilter.Filter { return f }
}

func (f *wrapped) DecodeHeaders(*httpmsg.Headers, bool) httpfilter.HeadersStatus {
	f.seen = append(f.seen, "headers")
	return httpfilter.Continue
}

func (f *wrapped) DecodeData(*buffer.Buffer, bool) httpfilter.DataStatus {
	f.seen = append(f.seen, "data")
	return httpfilter.DataContinue
}

func (f *wrapped) DecodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	f.seen = append(f.seen, "trailers")
	return httpfilter.TrailersContinue
}

func (f *wrapped) EncodeInterim(*httpmsg.Headers) httpfilter.HeadersStatus {
	f.seen = append(f.seen, "INTERIM")
	return httpfilter.Continue
}

func (f *wrapped) EncodeHeaders(*httpmsg.Headers, bool) httpfilter.HeadersStatus {
	f.seen = append(f.seen, "HEADERS")
	return httpfilter.Continue
}

func (f *wrapped) EncodeData(*buffer.Buffer, bool) httpfilter.DataStatus {
	f.seen = append(f.seen, "DATA")
	return httpfilter.DataContinue
}

func (f *wrapped) EncodeTrailers(*httpmsg.Headers) httpfilter.TrailersStatus {
	f.seen = append(f.seen, "TRAILERS")
	return httpfilter.TrailersContinue
}

func (f *wrapped) OnStreamComplete() { f.seen = append(f.seen, "complete") }
func (f *wrapped) OnDestroy()        { f.seen = append(f.seen, "destroy") }
func (f *wrapped) Reset()            { f.resets++ }

func context(t testing.TB, f *wrapped) extension.HTTPContext {
	t.Helper()
	ctx := filtertest.Context(metrics.New(1), nil)
	if err := ctx.Registry.Add(f,
		input{msg: &inputv3.HttpRequestHeaderMatchInput{}, part: func(d *matcher.Data) *httpmsg.Headers { return d.Request }},
		input{msg: &inputv3.HttpRequestTrailerMatchInput{}, part: func(d *matcher.Data) *httpmsg.Headers { return d.RequestTrailers }},
		input{msg: &inputv3.HttpResponseHeaderMatchInput{}, part: func(d *matcher.Data) *httpmsg.Headers { return d.Response }},
		input{msg: &inputv3.HttpResponseTrailerMatchInput{}, part: func(d *matcher.Data) *httpmsg.Headers { return d.ResponseTrailers }},
	); err != nil {
		t.Fatal(err)
	}
	return ctx
}

const (
	inner = `"extension_config": {"name": "w", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Empty"}}`
	skips = `{"action": {"name": "s", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"}}}`
)

// when is a tree that skips if x is 1 in a part of the exchange.
func when(part string) string {
	return `{"matcher_list": {"matchers": [{"predicate": {"single_predicate": {
	  "input": {"name": "i", "typed_config": {"@type": "type.googleapis.com/envoy.type.matcher.v3.Http` + part + `MatchInput", "header_name": "x"}},
	  "value_match": {"exact": "1"}}}, "on_match": ` + skips + `}]}}`
}

func parse[M proto.Message](t testing.TB, json string, m M) M {
	t.Helper()
	if err := protojson.Unmarshal([]byte(json), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// newStream returns a stream with a filter around f; trees is JSON of the fields of
// the filter, onRoute of those of its route, "" for none.
func newStream(t testing.TB, f *wrapped, trees, onRoute string) *filtertest.Stream {
	t.Helper()
	ctx := context(t, f)
	var errs conf.Errors
	build := Factory{}.BuildHTTPFilter(parse(t, `{`+inner+trees+`}`, &matchingv3.ExtensionWithMatcher{}), ctx, conf.Path{}, &errs)
	r := &route.Route{}
	if onRoute != "" {
		c := Factory{}.BuildRouteConfig(parse(t, onRoute, &matchingv3.ExtensionWithMatcherPerRoute{}), ctx, conf.Path{}, &errs)
		r.FilterConfigs = []route.FilterConfig{{Filter: "filter", Config: c}}
	}
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	s := filtertest.New(loop.New(1))
	s.Table = func(*httpmsg.Headers) *route.Route { return r }
	f.around = s.Build(build)
	return s
}

func TestSkip(t *testing.T) {
	const all = "headers data trailers HEADERS DATA TRAILERS"
	for _, tc := range []struct {
		name           string
		trees, onRoute string
		x              [4]string // in the parts of the exchange
		want           string
	}{
		{name: "no tree"},
		{name: "empty tree", trees: `, "xds_matcher": {}`, want: all},
		{name: "request", trees: `, "xds_matcher": ` + when("RequestHeader"), x: [4]string{"1"}},
		{name: "other request", trees: `, "xds_matcher": ` + when("RequestHeader"), x: [4]string{"2", "1", "1", "1"}, want: all},
		{name: "request trailers", trees: `, "xds_matcher": ` + when("RequestTrailer"), x: [4]string{"0", "1"}, want: "headers data"},
		{name: "response", trees: `, "xds_matcher": ` + when("ResponseHeader"), x: [4]string{"0", "0", "1"}, want: "headers data trailers"},
		{name: "other response", trees: `, "xds_matcher": ` + when("ResponseHeader"), x: [4]string{"1", "1", "0", "1"}, want: all},
		{name: "response trailers", trees: `, "xds_matcher": ` + when("ResponseTrailer"), x: [4]string{"0", "0", "0", "1"}, want: "headers data trailers HEADERS DATA"},
		{name: "older field", trees: `, "matcher": ` + when("RequestHeader"), x: [4]string{"1"}},
		{name: "older field, other request", trees: `, "matcher": ` + when("RequestHeader"), want: all},
		{name: "both fields", trees: `, "xds_matcher": {}, "matcher": ` + when("RequestHeader"), x: [4]string{"1"}, want: all},
		{name: "route skips", trees: `, "xds_matcher": {}`, onRoute: `{"xds_matcher": {"on_no_match": ` + skips + `}}`},
		{name: "route does not", trees: `, "xds_matcher": ` + when("RequestHeader"), onRoute: `{}`, x: [4]string{"1"}, want: all},
		{name: "route only", onRoute: `{"xds_matcher": ` + when("RequestHeader") + `}`, x: [4]string{"2"}, want: all},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := new(wrapped)
			s := newStream(t, f, tc.trees, tc.onRoute)
			for resets := range 2 { // the second time recycled
				s.Request(false, "x", tc.x[0])
				s.Body("b", false)
				s.Trailers("x", tc.x[1])
				s.Respond(false, ":status", "200", "x", tc.x[2])
				s.RespondBody("b", false)
				s.RespondTrailers("x", tc.x[3])
				got := strings.Join(f.seen, " ")
				if want := strings.TrimSpace(tc.want + " complete destroy"); got != want {
					t.Errorf("the wrapped filter has seen %q, want %q", got, want)
				}
				if !s.In.Ended || !s.Out.Ended || f.resets != resets {
					t.Errorf("ended %v, %v; %d resets", s.In.Ended, s.Out.Ended, f.resets)
				}
				f.seen = nil
				s.Recycle()
			}
		})
	}
}

func TestInterim(t *testing.T) {
	for onRoute, want := range map[string]string{`{}`: "headers INTERIM", `{"xds_matcher": {"on_no_match": ` + skips + `}}`: ""} {
		f := new(wrapped)
		s := newStream(t, f, "", onRoute)
		s.Request(true)
		f.around.(httpfilter.EncoderFilter).EncodeInterim(new(httpmsg.Headers))
		if got := strings.Join(f.seen, " "); got != want {
			t.Errorf("%s: the wrapped filter has seen %q, want %q", onRoute, got, want)
		}
		s.Leave()
	}
}

// half is a filter that only decodes, and cannot be recycled.
type half struct {
	httpfilter.PassBody
	destroyed bool
}

func (*half) DecodeHeaders(*httpmsg.Headers, bool) httpfilter.HeadersStatus {
	return httpfilter.Continue
}

func (f *half) OnDestroy() { f.destroyed = true }

func TestHalfFilter(t *testing.T) {
	inner := new(half)
	s := filtertest.New(loop.New(1))
	f := s.Build(func(cb httpfilter.Callbacks) httpfilter.Filter { return newFilter(inner, nil, cb) })
	if _, ok := f.(httpfilter.Resetter); ok {
		t.Error("can be recycled")
	}
	s.Request(false)
	s.Body("b", true)
	s.Respond(false, ":status", "200")
	s.RespondBody("b", true)
	if !s.In.Ended || !s.Out.Ended || !inner.destroyed {
		t.Errorf("ended %v, %v; destroyed %v", s.In.Ended, s.Out.Ended, inner.destroyed)
	}
}

func TestConfig(t *testing.T) {
	for json, want := range map[string]string{
		`{}`:                                  "p.extension_config: is required",
		`{"extension_config": {"name": "w"}}`: "p.extension_config.typed_config: must be set",
		`{"extension_config": {"name": "w", "typed_config": {"@type": "type.googleapis.com/google.protobuf.BoolValue", "value": true}}}`: "p.extension_config.typed_config: " +
			"no HTTP filter is registered for type google.protobuf.BoolValue",
		`{` + inner + `, "xds_matcher": {"on_no_match": {}}}`: "p.xds_matcher.on_no_match: one of matcher, action is required",
		`{` + inner + `, "matcher": {"on_no_match": {}}}`:     "p.matcher.on_no_match: one of matcher, action is required",
		`{` + inner + `, "xds_matcher": {"on_no_match": {"action": {"name": "a", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Empty"}}}}}`: "p.xds_matcher.on_no_match.action.typed_config: " +
			"the action must be of type envoy.extensions.filters.common.matcher.action.v3.SkipFilter, not google.protobuf.Empty",
	} {
		var errs conf.Errors
		b := Factory{}.BuildHTTPFilter(parse(t, json, &matchingv3.ExtensionWithMatcher{}), context(t, new(wrapped)), conf.Path{}.Field("p"), &errs)
		if b != nil || errs.Error() != want {
			t.Errorf("%s:\n%s\nwant\n%s", json, errs.Error(), want)
		}
	}
	var errs conf.Errors
	c := Factory{}.BuildRouteConfig(parse(t, `{"xds_matcher": {"on_no_match": {}}}`, &matchingv3.ExtensionWithMatcherPerRoute{}), context(t, new(wrapped)), conf.Path{}, &errs)
	if want := "xds_matcher.on_no_match: one of matcher, action is required"; c != nil || errs.Error() != want {
		t.Errorf("%v, %s; want %s", c, errs.Error(), want)
	}
	for i, msg := range []proto.Message{Factory{}.Config(), Factory{}.RouteConfig(), &commonv3.Matcher{}} {
		if _, missing, err := (Factory{}).Fields()[i].Split(msg.ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
			t.Error(missing, err)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	f := &wrapped{seen: make([]string, 0, 16)}
	s := newStream(t, f, `, "xds_matcher": `+when("ResponseHeader"), "")
	s.Headers().Add(":method", "GET")
	run := func() {
		f.seen = f.seen[:0]
		s.RequestMap(true)
		s.Leave()
		s.Recycle()
	}
	run()
	if n := testing.AllocsPerRun(100, run); n > 1 { // the Data of the test's input
		t.Errorf("%v allocations", n)
	}
}
