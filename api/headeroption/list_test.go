package headeroption

import (
	"strings"
	"testing"

	rulesv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

func fields(h *httpmsg.Headers) string {
	var out []string
	for _, f := range h.Fields() {
		out = append(out, f.Name+"="+f.Value)
	}
	return strings.Join(out, " ")
}

func request() *httpmsg.Headers {
	h := new(httpmsg.Headers)
	for _, f := range [][2]string{{"x-a", "1"}, {"x-b", "2"}, {"user-agent", "u"}} {
		h.Add(f[0], f[1])
	}
	return h
}

// A list sees the headers as they were, mutations see each other.
func TestListAndMutations(t *testing.T) {
	options := []*corev3.HeaderValueOption{
		option("x-c", "<%REQ(x-a)%>", appendOrAdd),
		option("x-a", "new", overwriteOrAdd),
		option("x-d", "%REQ(x-c)%", appendOrAdd),
		option("x-c", "second", addIfAbsent),
		option("x-c", "third", overwriteIfThere),
	}
	var errs conf.Errors
	list := NewList(options, []string{"X-B"}, filtertest.Formats{}, conf.Path{}, conf.Path{}, &errs)
	cfgs := []*rulesv3.HeaderMutation{{Action: &rulesv3.HeaderMutation_Remove{Remove: "X-B"}}}
	for _, o := range options {
		cfgs = append(cfgs, &rulesv3.HeaderMutation{Action: &rulesv3.HeaderMutation_Append{Append: o}})
	}
	cfgs = append(cfgs, &rulesv3.HeaderMutation{Action: &rulesv3.HeaderMutation_RemoveOnMatch_{RemoveOnMatch: &rulesv3.HeaderMutation_RemoveOnMatch{
		KeyMatcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "user"}}}}})
	mutations := NewMutations(cfgs, filtertest.Formats{}, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	h := request()
	list.MutateHeaders(h, &format.Entry{Request: h})
	if got, want := fields(h), "user-agent=u x-a=new x-c=<1> x-c=second"; got != want {
		t.Errorf("list: %s, want %s", got, want)
	}
	h = request()
	mutations.MutateHeaders(h, &format.Entry{Request: h})
	if got, want := fields(h), "x-a=new x-d=<1> x-c=third"; got != want {
		t.Errorf("mutations: %s, want %s", got, want)
	}
}

func TestListErrors(t *testing.T) {
	var errs conf.Errors
	at := conf.Path{}
	NewList([]*corev3.HeaderValueOption{option("", "x", appendOrAdd)}, []string{"a", "Host"}, filtertest.Formats{}, at.Field("add"), at.Field("remove"), &errs)
	NewMutations([]*rulesv3.HeaderMutation{{}, {Action: &rulesv3.HeaderMutation_Remove{Remove: ":status"}}}, filtertest.Formats{}, at.Field("m"), &errs)
	want := "remove[1]: :-prefixed or host headers may not be removed\n" +
		"add[0].header.key: :-prefixed or host headers may not be modified\n" +
		"m[0]: one of remove, append and remove_on_match must be set\n" +
		"m[1].remove: a response cannot be without :status"
	if errs.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", errs, want)
	}
	if NewList(nil, nil, nil, at, at, &errs) != nil {
		t.Error("an empty list is not nil")
	}
}

func TestFormattedValuesDoNotAllocateInAnArena(t *testing.T) {
	var errs conf.Errors
	o := New(option("x-a", "<%REQ(x-b)%>", overwriteOrAdd), filtertest.Formats{}, conf.Path{}, &errs)
	h := request()
	arena := make([]byte, 0, 4096)
	h.SetArena(arena)
	e := &format.Entry{Request: h}
	if n := testing.AllocsPerRun(100, func() { o.Apply(h, e); h.SetArena(arena) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if got := fields(h); got != "x-b=2 user-agent=u x-a=<2>" {
		t.Error(got)
	}
}
