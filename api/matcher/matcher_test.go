package matcher_test

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	xdscore "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/matcher"
)

// In these tests a StringValue is the input of the request header with that name, of
// the response header for a name that begins with "response-", and the action with
// that name; an Empty matches values of one character; a BoolValue is an input of
// metadata; a Struct is a tree that leads to its branch when the value is "custom".
type factories struct{}

func (factories) NewInput(msg proto.Message, path conf.Path, errs *conf.Errors) matcher.Input {
	switch m := msg.(type) {
	case *wrapperspb.StringValue:
		name := m.GetValue()
		return matcher.TextInput(func(d matcher.Data) matcher.Value {
			h := d.Request
			if strings.HasPrefix(name, "response-") {
				h = d.Response
			}
			if h == nil {
				return matcher.Value{State: matcher.NotYet}
			}
			return matcher.TextValue(h.Find(name))
		})
	case *wrapperspb.BoolValue:
		return metadata{}
	}
	errs.Add(path, "no such input")
	return nil
}

type metadata struct{}

func (metadata) Kind() matcher.Kind             { return matcher.Metadata }
func (metadata) Get(matcher.Data) matcher.Value { return matcher.Value{State: matcher.Present} }

type short struct{}

func (short) Kind() matcher.Kind                    { return matcher.Text }
func (short) Match(v matcher.Value) matcher.Outcome { return matcher.OutcomeOf(len(v.Text) == 1) }

func (factories) NewValueMatcher(msg proto.Message, path conf.Path, errs *conf.Errors) matcher.ValueMatcher {
	if _, ok := msg.(*emptypb.Empty); ok {
		return short{}
	}
	errs.Add(path, "no such matcher")
	return nil
}

type custom struct {
	input     matcher.Input
	on        *matcher.OnMatch
	otherwise *matcher.OnMatch
}

func (c *custom) Match(d matcher.Data) matcher.Result {
	if c.input.Get(d).Text == "custom" {
		if r := c.on.Follow(d); r.Outcome != matcher.NoMatch {
			return r
		}
	}
	return c.otherwise.Follow(d)
}

func (factories) NewTree(msg proto.Message, b *matcher.Branches, path conf.Path, errs *conf.Errors) matcher.Tree {
	if _, ok := msg.(*structpb.Struct); ok {
		return &custom{b.Input, b.OnMatch(leaf("in custom"), path.Field("on_match")), b.Otherwise}
	}
	errs.Add(path, "no such tree")
	return nil
}

func packed(msg proto.Message) *xdscore.TypedExtensionConfig {
	a, err := anypb.New(msg)
	if err != nil {
		panic(err)
	}
	return &xdscore.TypedExtensionConfig{Name: "x", TypedConfig: a}
}

func header(name string) *xdscore.TypedExtensionConfig { return packed(wrapperspb.String(name)) }

func leaf(action string) *xdsmatcher.Matcher_OnMatch {
	return &xdsmatcher.Matcher_OnMatch{OnMatch: &xdsmatcher.Matcher_OnMatch_Action{Action: header(action)}}
}

func subtree(m *xdsmatcher.Matcher) *xdsmatcher.Matcher_OnMatch {
	return &xdsmatcher.Matcher_OnMatch{OnMatch: &xdsmatcher.Matcher_OnMatch_Matcher{Matcher: m}}
}

func is(name, value string) *xdsmatcher.Matcher_MatcherList_Predicate {
	return &xdsmatcher.Matcher_MatcherList_Predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_{
		SinglePredicate: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate{
			Input: header(name),
			Matcher: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{
				ValueMatch: &xdsmatcher.StringMatcher{MatchPattern: &xdsmatcher.StringMatcher_Exact{Exact: value}}},
		}}}
}

func tests(input, matches *xdscore.TypedExtensionConfig) *xdsmatcher.Matcher_MatcherList_Predicate {
	return &xdsmatcher.Matcher_MatcherList_Predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_{
		SinglePredicate: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate{
			Input:   input,
			Matcher: &xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch{CustomMatch: matches},
		}}}
}

func both(p ...*xdsmatcher.Matcher_MatcherList_Predicate) *xdsmatcher.Matcher_MatcherList_Predicate {
	return &xdsmatcher.Matcher_MatcherList_Predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_AndMatcher{
		AndMatcher: &xdsmatcher.Matcher_MatcherList_Predicate_PredicateList{Predicate: p}}}
}

func either(p ...*xdsmatcher.Matcher_MatcherList_Predicate) *xdsmatcher.Matcher_MatcherList_Predicate {
	return &xdsmatcher.Matcher_MatcherList_Predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_OrMatcher{
		OrMatcher: &xdsmatcher.Matcher_MatcherList_Predicate_PredicateList{Predicate: p}}}
}

func isNot(p *xdsmatcher.Matcher_MatcherList_Predicate) *xdsmatcher.Matcher_MatcherList_Predicate {
	return &xdsmatcher.Matcher_MatcherList_Predicate{MatchType: &xdsmatcher.Matcher_MatcherList_Predicate_NotMatcher{NotMatcher: p}}
}

func list(otherwise *xdsmatcher.Matcher_OnMatch, branches ...*xdsmatcher.Matcher_MatcherList_FieldMatcher) *xdsmatcher.Matcher {
	return &xdsmatcher.Matcher{OnNoMatch: otherwise, MatcherType: &xdsmatcher.Matcher_MatcherList_{
		MatcherList: &xdsmatcher.Matcher_MatcherList{Matchers: branches}}}
}

func when(p *xdsmatcher.Matcher_MatcherList_Predicate, on *xdsmatcher.Matcher_OnMatch) *xdsmatcher.Matcher_MatcherList_FieldMatcher {
	return &xdsmatcher.Matcher_MatcherList_FieldMatcher{Predicate: p, OnMatch: on}
}

type branches = map[string]*xdsmatcher.Matcher_OnMatch

func exactMap(input string, otherwise *xdsmatcher.Matcher_OnMatch, m branches) *xdsmatcher.Matcher {
	return &xdsmatcher.Matcher{OnNoMatch: otherwise, MatcherType: &xdsmatcher.Matcher_MatcherTree_{MatcherTree: &xdsmatcher.Matcher_MatcherTree{
		Input: header(input), TreeType: &xdsmatcher.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &xdsmatcher.Matcher_MatcherTree_MatchMap{Map: m}}}}}
}

func prefixMap(input string, otherwise *xdsmatcher.Matcher_OnMatch, m branches) *xdsmatcher.Matcher {
	return &xdsmatcher.Matcher{OnNoMatch: otherwise, MatcherType: &xdsmatcher.Matcher_MatcherTree_{MatcherTree: &xdsmatcher.Matcher_MatcherTree{
		Input: header(input), TreeType: &xdsmatcher.Matcher_MatcherTree_PrefixMatchMap{PrefixMatchMap: &xdsmatcher.Matcher_MatcherTree_MatchMap{Map: m}}}}}
}

func customTree(input, tree *xdscore.TypedExtensionConfig, otherwise *xdsmatcher.Matcher_OnMatch) *xdsmatcher.Matcher {
	return &xdsmatcher.Matcher{OnNoMatch: otherwise, MatcherType: &xdsmatcher.Matcher_MatcherTree_{MatcherTree: &xdsmatcher.Matcher_MatcherTree{
		Input: input, TreeType: &xdsmatcher.Matcher_MatcherTree_CustomMatch{CustomMatch: tree}}}}
}

func keep(o *xdsmatcher.Matcher_OnMatch) *xdsmatcher.Matcher_OnMatch {
	o.KeepMatching = true
	return o
}

func config(keepMatching bool) matcher.Config {
	return matcher.Config{
		Factories: factories{},
		Action: func(msg proto.Message, path conf.Path, errs *conf.Errors) any {
			if m, ok := msg.(*wrapperspb.StringValue); ok {
				return m.GetValue()
			}
			errs.Add(path, "no such action")
			return nil
		},
		Refuse: func(msg proto.Message) string {
			if m, ok := msg.(*wrapperspb.StringValue); ok && m.GetValue() == "refused" {
				return "not this one"
			}
			return ""
		},
		KeepMatching: keepMatching,
	}
}

func build(t testing.TB, cfg *xdsmatcher.Matcher) matcher.Tree {
	t.Helper()
	var errs conf.Errors
	tree := matcher.Build(cfg, config(true), conf.Path{}, &errs)
	if tree == nil {
		t.Fatal(errs)
	}
	return tree
}

// request makes data of headers: name, value and so on.
func request(pairs ...string) matcher.Data {
	d := matcher.Data{Request: new(httpmsg.Headers)}
	for i := 0; i < len(pairs); i += 2 {
		d.Request.Add(pairs[i], pairs[i+1])
	}
	return d
}

func outcome(r matcher.Result) string {
	switch r.Outcome {
	case matcher.Matched:
		return r.Action.(string)
	case matcher.Unsure:
		return "?"
	default:
		return "-"
	}
}

// The outcomes are those of Envoy 1.40.
func TestTrees(t *testing.T) {
	sub := exactMap("y", nil, branches{"q": leaf("sub")})
	for _, tc := range []struct {
		name string
		tree *xdsmatcher.Matcher
		// requests are values of x and y, with the outcome
		requests []string
	}{
		{"empty", &xdsmatcher.Matcher{}, []string{"a b -"}},
		{"any", &xdsmatcher.Matcher{OnNoMatch: leaf("any")}, []string{"a b any"}},
		{"exact map", exactMap("x", leaf("none"), branches{"a": leaf("A"), "": leaf("empty"), "s": subtree(sub)}),
			[]string{"a - A", " - empty", "b - none", "- - none", "s q sub", "s - none"}},
		{"prefix map", prefixMap("x", leaf("none"), branches{"ab": subtree(sub), "a": leaf("A")}),
			[]string{"abc q sub", "abc - A", "ab - A", "az - A", "z - none", "- - none"}},
		{"prefix map with an empty key", prefixMap("x", leaf("none"), branches{"": leaf("all")}), []string{" - all", "a - all", "- - none"}},
		{"list", list(leaf("none"), when(is("x", "a"), subtree(sub)), when(is("x", "a"), leaf("second"))),
			[]string{"a q sub", "a - second", "b - none", "- - none"}},
		{"keep matching", list(leaf("none"), when(is("x", "a"), keep(leaf("one"))), when(isNot(is("y", "b")), leaf("two"))),
			[]string{"a - two", "a b none", "- c two"}},
		{"keep a tree", list(nil, when(is("x", "a"), keep(subtree(sub))), when(is("x", "a"), leaf("two"))), []string{"a q two"}},
		{"keep no match", &xdsmatcher.Matcher{OnNoMatch: keep(leaf("never"))}, []string{"a b -"}},
		{"and", list(nil, when(both(is("x", "a"), is("y", "b")), leaf("yes"))), []string{"a b yes", "a c -", "c b -", "- - -"}},
		{"or", list(nil, when(either(is("x", "a"), is("y", "b")), leaf("yes"))), []string{"a b yes", "a - yes", "- b yes", "c c -"}},
		{"not", list(nil, when(isNot(is("x", "a")), leaf("yes"))), []string{"a - -", "b - yes", "- - yes"}},
		{"value matcher", list(nil, when(tests(header("x"), packed(&emptypb.Empty{})), leaf("short"))), []string{"a - short", "aa - -", "- - -"}},
		{"custom tree", customTree(header("x"), packed(&structpb.Struct{}), leaf("none")), []string{"custom - in custom", "a - none"}},

		// What waits for the response decides nothing before it.
		{"unsure list", list(leaf("none"), when(is("response-x", "a"), leaf("one")), when(is("x", "a"), leaf("two"))), []string{"a - ?"}},
		{"unsure but first", list(leaf("none"), when(is("x", "a"), leaf("one")), when(is("response-x", "a"), leaf("two"))), []string{"a - one", "b - ?"}},
		{"unsure not", list(nil, when(isNot(is("response-x", "a")), leaf("one"))), []string{"a - ?"}},
		{"unsure and", list(nil, when(both(is("x", "a"), is("response-x", "a")), leaf("one"))), []string{"a - ?", "b - -"}},
		{"unsure or", list(nil, when(either(is("response-x", "a"), is("x", "a")), leaf("one"))), []string{"a - one", "b - ?"}},
		{"unsure exact map", exactMap("response-x", leaf("none"), branches{"a": leaf("A")}), []string{"a - ?"}},
		{"unsure prefix map", prefixMap("response-x", leaf("none"), branches{"a": leaf("A")}), []string{"a - ?"}},
		{"unsure below", prefixMap("x", leaf("none"), branches{"a": leaf("A"),
			"ab": subtree(exactMap("response-x", nil, branches{"a": leaf("A")}))}), []string{"ab - ?", "a - A"}},
	} {
		tree := build(t, tc.tree)
		for _, r := range tc.requests {
			parts := strings.SplitN(r, " ", 3)
			d := request()
			for i, name := range []string{"x", "y"} {
				if parts[i] != "-" {
					d.Request.Add(name, parts[i])
				}
			}
			if got := outcome(tree.Match(d)); got != parts[2] {
				t.Errorf("%s, %q: %s", tc.name, r, got)
			}
			if n := testing.AllocsPerRun(10, func() { tree.Match(d) }); n != 0 {
				t.Errorf("%s, %q: %v allocations", tc.name, r, n)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	anyTree := func(on *xdsmatcher.Matcher_OnMatch) *xdsmatcher.Matcher { return &xdsmatcher.Matcher{OnNoMatch: on} }
	unknown := &xdscore.TypedExtensionConfig{TypedConfig: &anypb.Any{TypeUrl: "type.googleapis.com/no.Such"}}
	for _, tc := range []struct {
		cfg  *xdsmatcher.Matcher
		want string
	}{
		{list(nil), "matcher_list.matchers: must not be empty"},
		{list(nil, when(nil, nil)), "matcher_list.matchers[0].predicate: one of single_predicate, or_matcher, and_matcher, not_matcher is required\n" +
			"matcher_list.matchers[0].on_match: one of matcher, action is required"},
		{list(nil, when(both(is("x", "a")), leaf("a"))), "matcher_list.matchers[0].predicate.and_matcher.predicate: must have at least 2 items"},
		{list(nil, when(either(), leaf("a"))), "matcher_list.matchers[0].predicate.or_matcher.predicate: must have at least 2 items"},
		{list(nil, when(isNot(nil), leaf("a"))), "matcher_list.matchers[0].predicate.not_matcher: one of single_predicate, or_matcher, and_matcher, not_matcher is required"},
		{list(nil, when(is("refused", "a"), leaf("a"))), "matcher_list.matchers[0].predicate.single_predicate.input.typed_config: not this one"},
		{list(nil, when(tests(nil, nil), leaf("a"))), "matcher_list.matchers[0].predicate.single_predicate.input.typed_config: is required\n" +
			"matcher_list.matchers[0].predicate.single_predicate.custom_match.typed_config: is required"},
		{list(nil, when(tests(packed(wrapperspb.Bool(true)), packed(&emptypb.Empty{})), leaf("a"))),
			"matcher_list.matchers[0].predicate.single_predicate.custom_match.typed_config: takes an input of type string, not dynamic metadata"},
		{list(nil, when(tests(header("x"), header("x")), leaf("a"))), "matcher_list.matchers[0].predicate.single_predicate.custom_match.typed_config: no such matcher"},
		{exactMap("x", nil, nil), "matcher_tree.exact_match_map.map: must not be empty"},
		{prefixMap("x", nil, branches{"a": {}}), `matcher_tree.prefix_match_map.map["a"]: one of matcher, action is required`},
		{&xdsmatcher.Matcher{MatcherType: &xdsmatcher.Matcher_MatcherTree_{}}, "matcher_tree.input.typed_config: is required\n" +
			"matcher_tree: one of exact_match_map, prefix_match_map, custom_match is required"},
		{customTree(packed(wrapperspb.Bool(true)), packed(&structpb.Struct{}), nil),
			"matcher_tree.custom_match.typed_config: takes an input of type string, not dynamic metadata"},
		{customTree(header("x"), header("x"), nil), "matcher_tree.custom_match.typed_config: no such tree"},
		{anyTree(keep(leaf("a"))), "on_no_match.keep_matching: is not supported here"},
		{anyTree(&xdsmatcher.Matcher_OnMatch{}), "on_no_match: one of matcher, action is required"},
		{anyTree(&xdsmatcher.Matcher_OnMatch{OnMatch: &xdsmatcher.Matcher_OnMatch_Action{}}), "on_no_match.action.typed_config: is required"},
		{anyTree(&xdsmatcher.Matcher_OnMatch{OnMatch: &xdsmatcher.Matcher_OnMatch_Action{Action: unknown}}),
			"on_no_match.action.typed_config: no implementation is registered for type type.googleapis.com/no.Such"},
		{anyTree(&xdsmatcher.Matcher_OnMatch{OnMatch: &xdsmatcher.Matcher_OnMatch_Action{Action: packed(&emptypb.Empty{})}}), "on_no_match.action.typed_config: no such action"},
	} {
		var errs conf.Errors
		if tree := matcher.Build(tc.cfg, config(false), conf.Path{}, &errs); tree != nil || errs.Error() != tc.want {
			t.Errorf("got %s\nwant %s", errs, tc.want)
		}
	}
}

func TestStrings(t *testing.T) {
	var errs conf.Errors
	s := matcher.NewString(&xdsmatcher.StringMatcher{IgnoreCase: true, MatchPattern: &xdsmatcher.StringMatcher_Prefix{Prefix: "Ab"}}, conf.Path{}, &errs)
	re := matcher.NewString(&xdsmatcher.StringMatcher{MatchPattern: &xdsmatcher.StringMatcher_SafeRegex{
		SafeRegex: &xdsmatcher.RegexMatcher{EngineType: &xdsmatcher.RegexMatcher_GoogleRe2{}, Regex: "a+"}}}, conf.Path{}, &errs)
	if len(errs) > 0 || !s.Match("aBc") || s.Match("xab") || !re.Match("aaa") || re.Match("ab") {
		t.Error(errs)
	}
	custom := &xdsmatcher.StringMatcher{MatchPattern: &xdsmatcher.StringMatcher_Custom{Custom: header("x")}}
	if matcher.NewString(custom, conf.Path{}, &errs) != nil || errs.Error() != "custom: field custom is not implemented" {
		t.Error(errs)
	}
}

func TestFields(t *testing.T) {
	for i, msg := range []proto.Message{&xdsmatcher.Matcher{}, &xdsmatcher.StringMatcher{}} {
		if _, _, err := matcher.Fields()[i].Split(msg.ProtoReflect().Descriptor()); err != nil {
			t.Error(err)
		}
	}
}

// --- trees at random, compared with an evaluator that works on the message --------

func randomPredicate(r *rand.Rand, depth int) *xdsmatcher.Matcher_MatcherList_Predicate {
	switch kind := r.IntN(8); {
	case depth > 0 && kind == 0:
		return both(randomPredicate(r, depth-1), randomPredicate(r, depth-1))
	case depth > 0 && kind == 1:
		return either(randomPredicate(r, depth-1), randomPredicate(r, depth-1))
	case depth > 0 && kind == 2:
		return isNot(randomPredicate(r, depth-1))
	default:
		return is(randomName(r), randomValue(r))
	}
}

func randomName(r *rand.Rand) string {
	return []string{"x", "x", "x", "y", "y", "response-x"}[r.IntN(6)]
}
func randomValue(r *rand.Rand) string { return "aab"[:r.IntN(4)] }

func randomOnMatch(r *rand.Rand, depth int) *xdsmatcher.Matcher_OnMatch {
	on := leaf(fmt.Sprint("action ", r.IntN(1000)))
	if depth > 0 && r.IntN(2) == 0 {
		on = subtree(randomTree(r, depth-1))
	}
	on.KeepMatching = r.IntN(6) == 0
	return on
}

func randomTree(r *rand.Rand, depth int) *xdsmatcher.Matcher {
	var otherwise *xdsmatcher.Matcher_OnMatch
	if r.IntN(2) == 0 {
		otherwise = randomOnMatch(r, depth)
	}
	m := branches{}
	for range 1 + r.IntN(4) {
		m[randomValue(r)] = randomOnMatch(r, depth)
	}
	switch r.IntN(5) {
	case 0:
		return exactMap(randomName(r), otherwise, m)
	case 1:
		return prefixMap(randomName(r), otherwise, m)
	case 2:
		return &xdsmatcher.Matcher{OnNoMatch: otherwise}
	}
	var fields []*xdsmatcher.Matcher_MatcherList_FieldMatcher
	for range 1 + r.IntN(4) {
		fields = append(fields, when(randomPredicate(r, 2), randomOnMatch(r, depth)))
	}
	return list(otherwise, fields...)
}

func naiveValue(cfg *xdscore.TypedExtensionConfig, d matcher.Data) (value string, state int) {
	name := new(wrapperspb.StringValue)
	if err := cfg.GetTypedConfig().UnmarshalTo(name); err != nil {
		panic(err)
	}
	h := d.Request
	if strings.HasPrefix(name.GetValue(), "response-") {
		h = d.Response
	}
	if h == nil {
		return "", -1
	}
	v, ok := h.Find(name.GetValue())
	if !ok {
		return "", 0
	}
	return v, 1
}

// naivePredicate returns 1, 0, or -1 for unsure.
func naivePredicate(p *xdsmatcher.Matcher_MatcherList_Predicate, d matcher.Data) int {
	if s := p.GetSinglePredicate(); s != nil {
		v, state := naiveValue(s.GetInput(), d)
		if state == 1 && v != s.GetValueMatch().GetExact() {
			return 0
		}
		return state
	}
	if n := p.GetNotMatcher(); n != nil {
		if v := naivePredicate(n, d); v >= 0 {
			return 1 - v
		}
		return -1
	}
	if a := p.GetAndMatcher(); a != nil {
		for _, one := range a.GetPredicate() {
			if v := naivePredicate(one, d); v != 1 {
				return v
			}
		}
		return 1
	}
	result := 0
	for _, one := range p.GetOrMatcher().GetPredicate() {
		switch naivePredicate(one, d) {
		case 1:
			return 1
		case -1:
			result = -1
		}
	}
	return result
}

func naiveOnMatch(on *xdsmatcher.Matcher_OnMatch, d matcher.Data) string {
	if on == nil {
		return "-"
	}
	result := ""
	if m := on.GetMatcher(); m != nil {
		result = naive(m, d)
	} else {
		name := new(wrapperspb.StringValue)
		if err := on.GetAction().GetTypedConfig().UnmarshalTo(name); err != nil {
			panic(err)
		}
		result = name.GetValue()
	}
	if on.GetKeepMatching() && result != "?" {
		return "-"
	}
	return result
}

// naive evaluates by collecting the branches that may be taken, in order.
func naive(m *xdsmatcher.Matcher, d matcher.Data) string {
	var taken []*xdsmatcher.Matcher_OnMatch
	for _, f := range m.GetMatcherList().GetMatchers() {
		v := naivePredicate(f.GetPredicate(), d)
		if v < 0 {
			taken = append(taken, nil) // unsure from here on
			break
		}
		if v == 1 {
			taken = append(taken, f.GetOnMatch())
		}
	}
	if tree := m.GetMatcherTree(); tree != nil {
		v, state := naiveValue(tree.GetInput(), d)
		if state < 0 {
			return "?"
		}
		if on := tree.GetExactMatchMap().GetMap()[v]; on != nil && state == 1 {
			taken = append(taken, on)
		}
		var keys []string
		for key := range tree.GetPrefixMatchMap().GetMap() {
			if state == 1 && strings.HasPrefix(v, key) {
				keys = append(keys, key)
			}
		}
		sort.Slice(keys, func(i, j int) bool { return len(keys[i]) > len(keys[j]) })
		for _, key := range keys {
			taken = append(taken, tree.GetPrefixMatchMap().GetMap()[key])
		}
	}
	for _, on := range taken {
		if on == nil {
			return "?"
		}
		if r := naiveOnMatch(on, d); r != "-" {
			return r
		}
	}
	return naiveOnMatch(m.GetOnNoMatch(), d)
}

func TestTreesEqualNaive(t *testing.T) {
	outcomes := map[string]int{}
	for seed := range uint64(700) {
		r := rand.New(rand.NewPCG(seed, 5))
		cfg := randomTree(r, 3)
		tree := build(t, cfg)
		for range 20 {
			d := randomRequest(r)
			got, want := outcome(tree.Match(d)), naive(cfg, d)
			if got != want {
				t.Fatalf("seed %d: %s, want %s, for %v in %v", seed, got, want, d.Request.Fields(), cfg)
			}
			outcomes[got[:1]]++
		}
	}
	for _, o := range []string{"-", "?", "a"} {
		if outcomes[o] < 500 {
			t.Errorf("only %d outcomes %s", outcomes[o], o)
		}
	}
}

func randomRequest(r *rand.Rand) matcher.Data {
	d := request()
	for _, name := range []string{"x", "y"} {
		if r.IntN(4) > 0 {
			d.Request.Add(name, randomValue(r))
		}
	}
	if r.IntN(2) == 0 {
		d.Response = new(httpmsg.Headers)
		if r.IntN(3) > 0 {
			d.Response.Add("response-x", randomValue(r))
		}
	}
	return d
}

// Whatever the seed makes, tree and evaluator agree.
func FuzzTrees(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, treeSeed, requestSeed uint64) {
		cfg := randomTree(rand.New(rand.NewPCG(treeSeed, 0)), 4)
		d := randomRequest(rand.New(rand.NewPCG(requestSeed, 0)))
		if got, want := outcome(build(t, cfg).Match(d)), naive(cfg, d); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}
