package headermutation

import (
	"strings"
	"testing"

	rulesv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

type list []*rulesv3.HeaderMutation

func (l list) add(key, value string, action corev3.HeaderValueOption_HeaderAppendAction) list {
	return append(l, &rulesv3.HeaderMutation{Action: &rulesv3.HeaderMutation_Append{Append: &corev3.HeaderValueOption{
		Header: &corev3.HeaderValue{Key: key, Value: value}, AppendAction: action}}})
}

func (l list) append(key, value string) list {
	return l.add(key, value, corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
}

func (l list) overwrite(key, value string) list {
	return l.add(key, value, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
}

func (l list) remove(name string) list {
	return append(l, &rulesv3.HeaderMutation{Action: &rulesv3.HeaderMutation_Remove{Remove: name}})
}

func (l list) removePrefix(prefix string) list {
	return append(l, &rulesv3.HeaderMutation{Action: &rulesv3.HeaderMutation_RemoveOnMatch_{RemoveOnMatch: &rulesv3.HeaderMutation_RemoveOnMatch{
		KeyMatcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix}}}}})
}

// newStream returns a stream with a filter; routes are its levels, the most specific
// first.
func newStream(t testing.TB, m *mutationv3.HeaderMutation, routes ...*mutationv3.Mutations) *filtertest.Stream {
	t.Helper()
	ctx := filtertest.Context(metrics.New(1), nil)
	ctx.Formats = filtertest.Formats{}
	var errs conf.Errors
	build := Factory{}.BuildHTTPFilter(m, ctx, conf.Path{}, &errs)
	r := &route.Route{FilterConfigs: []route.FilterConfig{{Filter: "another", Config: 1}, {Filter: "filter"}}}
	for _, level := range routes {
		r.FilterConfigs = append(r.FilterConfigs, route.FilterConfig{Filter: "filter", Config: Factory{}.BuildRouteConfig(
			&mutationv3.HeaderMutationPerRoute{Mutations: level}, ctx, conf.Path{}, &errs)})
	}
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	s := filtertest.New(loop.New(1))
	s.Table = func(*httpmsg.Headers) *route.Route { return r }
	s.Build(build)
	return s
}

func fieldsOf(h *httpmsg.Headers) string {
	var out []string
	for _, f := range h.Fields() {
		out = append(out, f.Name+"="+f.Value)
	}
	return strings.Join(out, " ")
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMessages(t *testing.T) {
	s := newStream(t, &mutationv3.HeaderMutation{Mutations: &mutationv3.Mutations{
		RequestMutations: list{}.append("x-a", "1").append("x-a2", "%REQ(x-a)%").append("x-e", "%REQ(no)%").overwrite("x-over", "new").
			remove("X-Rm").removePrefix("x-rp").append("x-none", "%RESP(x-res)%"),
		ResponseMutations:         list{}.append("x-res", "3").append("x-both", "%RESP(x-res)% %REQ(x-over)%").remove("server").removePrefix(":"),
		RequestTrailersMutations:  list{}.append("t", "%REQ(x-a)%").remove("gone"),
		ResponseTrailersMutations: list{}.append("t", "%RESP(x-res)%"),
	}})
	for range 2 { // the second time recycled
		s.Request(false, ":path", "/", "x-over", "a", "x-over", "b", "x-rm", "1", "x-rp1", "1", "x-rp2", "2")
		want(t, fieldsOf(s.In.Headers), ":path=/ x-a=1 x-a2=1 x-over=new")
		s.Body("b", false)
		s.Trailers("gone", "1", "u", "2")
		want(t, fieldsOf(s.In.Trailers), "u=2 t=1")
		s.Respond(false, ":status", "200", "server", "s", "x-res", "one", "x-res", "two")
		want(t, fieldsOf(s.Out.Headers), ":status=200 x-res=one x-res=two x-res=3 x-both=one new")
		s.RespondBody("b", false)
		s.RespondTrailers("u", "1")
		want(t, fieldsOf(s.Out.Trailers), "u=1 t=one")
		s.Recycle()
	}
}

// TestLevels has the order of a real Envoy.
func TestLevels(t *testing.T) {
	level := func(name string) *mutationv3.Mutations {
		return &mutationv3.Mutations{
			RequestMutations:  list{}.append("x-ord", name),
			ResponseMutations: list{}.append("x-ord", name).overwrite("x-cfg", name),
		}
	}
	for wins, expect := range map[bool]string{false: "filter route vh table", true: "filter table vh route"} {
		s := newStream(t, &mutationv3.HeaderMutation{Mutations: level("filter"), MostSpecificHeaderMutationsWins: wins},
			level("route"), level("vh"), level("table"))
		s.Request(true, ":path", "/")
		order := " x-ord=" + strings.ReplaceAll(expect, " ", " x-ord=")
		want(t, fieldsOf(s.In.Headers), ":path=/"+order)
		s.Respond(true, ":status", "200")
		last := strings.Fields(expect)[3]
		// x-cfg moves to the end with each level.
		want(t, fieldsOf(s.Out.Headers), ":status=200"+order+" x-cfg="+last)
	}
}

func append1(key, value string, action corev3.KeyValueAppend_KeyValueAppendAction) *corev3.KeyValueMutation {
	return &corev3.KeyValueMutation{Append: &corev3.KeyValueAppend{
		Record: &corev3.KeyValuePair{Key: key, Value: structpb.NewStringValue(value)}, Action: action}}
}

func TestQuery(t *testing.T) {
	m := &mutationv3.Mutations{QueryParameterMutations: []*corev3.KeyValueMutation{
		append1("k", "v w~a/b:c,d*e-f_g.h", corev3.KeyValueAppend_APPEND_IF_EXISTS_OR_ADD),
		append1("p", "%REQ(:method)%", corev3.KeyValueAppend_OVERWRITE_IF_EXISTS),
		append1("o", "n", corev3.KeyValueAppend_OVERWRITE_IF_EXISTS_OR_ADD),
		append1("q", "n", corev3.KeyValueAppend_ADD_IF_ABSENT),
		{Remove: "z z"},
	}}
	const k = "k=v%20w%7Ea%2Fb%3Ac%2Cd*e-f_g.h"
	for path, expect := range map[string]string{
		"/m":                               "/m?" + k + "&o=n&q=n",
		"/m?":                              "/m?" + k + "&o=n&q=n",
		"/m?z%20z=1&p=2&p=3&novalue&z%20z": "/m?" + k + "&novalue=&o=n&p=GET&q=n",
		"/m?q=1&o=2&k=1&o=3":               "/m?k=1&" + k + "&o=n&q=1",
		"/m?x=%0d%0a&%71=%20#f":            "/m?" + k + "&o=n&%71=%20&x=%0d%0a",
		"/m?b&%zz=~:@&&=v&%":               "/m?=&=v&%=&%zz=~:@&b=&" + k + "&o=n&q=n",
		"/m#f?a=b":                         "/m?a=b&" + k + "&o=n&q=n",
	} {
		s := newStream(t, &mutationv3.HeaderMutation{Mutations: m})
		s.Request(true, ":method", "GET", ":path", path)
		want(t, s.In.Headers.Get(httpmsg.Path), expect)
	}
	s := newStream(t, &mutationv3.HeaderMutation{Mutations: m})
	s.Request(true, ":method", "CONNECT")
	want(t, fieldsOf(s.In.Headers), ":method=CONNECT")
}

// FuzzQuery checks that any path survives: mutations that change nothing leave the
// parameters in place, and the path has one "?" that counts.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"/", "/?", "/?a=b&c", "/?%", "/?%4", "/?%41=%zz&&#x"} {
		f.Add(seed)
	}
	m := &mutations{query: []queryMutation{{key: "never there", remove: true}}}
	f.Fuzz(func(t *testing.T, path string) {
		h := new(httpmsg.Headers)
		h.Add(":path", path)
		var scratch []byte
		m.mutateQuery(h, nil, &scratch)
		once := h.Get(httpmsg.Path)
		m.mutateQuery(h, nil, &scratch)
		if h.Get(httpmsg.Path) != once {
			t.Errorf("%q becomes %q and then %q", path, once, h.Get(httpmsg.Path))
		}
		if strings.Contains(once, "#") {
			t.Errorf("%q has a fragment", once)
		}
	})
}

func TestConfig(t *testing.T) {
	record := func(key string, v *structpb.Value) *corev3.KeyValueMutation {
		return &corev3.KeyValueMutation{Append: &corev3.KeyValueAppend{Record: &corev3.KeyValuePair{Key: key, Value: v}}}
	}
	both := append1("a", "b", 0)
	both.Remove = "x"
	for _, tc := range []struct {
		m    *mutationv3.Mutations
		want string
	}{
		{&mutationv3.Mutations{RequestMutations: list{{}}}, "request_mutations[0]: one of remove, append and remove_on_match must be set"},
		{&mutationv3.Mutations{RequestMutations: list{}.append(":path", "/")},
			"request_mutations[0].append.header.key: :-prefixed or host headers may not be modified"},
		{&mutationv3.Mutations{ResponseTrailersMutations: list{}.append("a", "%X%")},
			"response_trailers_mutations[0].append.header.value: unknown operator X"},
		{&mutationv3.Mutations{ResponseMutations: list{}.remove(":status")}, "response_mutations[0].remove: a response cannot be without :status"},
		{&mutationv3.Mutations{QueryParameterMutations: []*corev3.KeyValueMutation{{}}},
			"query_parameter_mutations[0]: one of append and remove must be set"},
		{&mutationv3.Mutations{QueryParameterMutations: []*corev3.KeyValueMutation{both}},
			"query_parameter_mutations[0]: only one of append and remove can be set"},
		{&mutationv3.Mutations{QueryParameterMutations: []*corev3.KeyValueMutation{{Append: &corev3.KeyValueAppend{}}}},
			"query_parameter_mutations[0].append.record: must be set"},
		{&mutationv3.Mutations{QueryParameterMutations: []*corev3.KeyValueMutation{record("a", structpb.NewNumberValue(1))}},
			"query_parameter_mutations[0].append.record.value: must be a string"},
		{&mutationv3.Mutations{QueryParameterMutations: []*corev3.KeyValueMutation{record("", structpb.NewStringValue("x"))}},
			"query_parameter_mutations[0].append.record.key: must not be empty"},
	} {
		ctx := extension.HTTPContext{Context: extension.Context{Formats: filtertest.Formats{}}}
		var errs conf.Errors
		at := conf.Path{}.Field("p")
		if b := (Factory{}).BuildHTTPFilter(&mutationv3.HeaderMutation{Mutations: tc.m}, ctx, at, &errs); b != nil {
			t.Error("built")
		}
		want(t, errs.Error(), "p.mutations."+tc.want)
		if c := (Factory{}).BuildRouteConfig(&mutationv3.HeaderMutationPerRoute{Mutations: tc.m}, ctx, at, &errs); c != nil {
			t.Error("built for a route")
		}
	}
	for i, msg := range []proto.Message{Factory{}.Config(), Factory{}.RouteConfig(), &mutationv3.Mutations{}} {
		_, missing, err := (Factory{}).Fields()[i].Split(msg.ProtoReflect().Descriptor())
		if err != nil || len(missing) > 0 {
			t.Error(missing, err)
		}
	}
}

// TestNoAllocation changes a request: the memory for the value is that of its headers.
func TestNoAllocation(t *testing.T) {
	s := newStream(t, &mutationv3.HeaderMutation{Mutations: &mutationv3.Mutations{RequestMutations: list{}.overwrite("x-a", "<%REQ(:path)%>")}})
	s.Headers().Add(":path", "/")
	run := func() {
		s.RequestMap(true)
		s.Leave()
		s.Recycle()
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
