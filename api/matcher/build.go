package matcher

import (
	"maps"
	"slices"

	xdscore "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/match"
)

// Factories makes what extensions bring to trees, from a message that a typed_config
// held. Errors go to errs; the result is nil then. Main goroutine.
type Factories interface {
	NewInput(msg proto.Message, path conf.Path, errs *conf.Errors) Input
	NewValueMatcher(msg proto.Message, path conf.Path, errs *conf.Errors) ValueMatcher
	NewTree(msg proto.Message, b *Branches, path conf.Path, errs *conf.Errors) Tree
}

// Config is what the user of a tree decides about it.
type Config struct {
	Factories Factories
	// Action makes the value that Result.Action has, from the message of an action.
	// Errors go to errs; the result is nil then.
	Action func(msg proto.Message, path conf.Path, errs *conf.Errors) any
	// Refuse says why an input may not be used here, "" for those that may. It may be
	// nil.
	Refuse func(input proto.Message) string
	// KeepMatching allows keep_matching.
	KeepMatching bool
}

// Fields lists the implemented fields of the messages that trees are made of.
func Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "xds.type.matcher.v3.Matcher",
		Names:   []string{"matcher_list", "matcher_tree", "on_no_match"},
	}, {
		Message: "xds.type.matcher.v3.StringMatcher",
		Names:   match.StringFields().Names,
	}}
}

// Build makes a tree. Everything wrong with it goes to errs; the result is nil then.
// Main goroutine.
func Build(cfg *xdsmatcher.Matcher, c Config, path conf.Path, errs *conf.Errors) Tree {
	before := len(*errs)
	b := &builder{c, errs}
	t := b.tree(cfg, path)
	if len(*errs) > before {
		return nil
	}
	return t
}

type builder struct {
	Config
	errs *conf.Errors
}

func (b *builder) tree(cfg *xdsmatcher.Matcher, path conf.Path) Tree {
	var otherwise *OnMatch
	if o := cfg.GetOnNoMatch(); o != nil {
		otherwise = b.onMatch(o, path.Field("on_no_match"))
	}
	switch m := cfg.GetMatcherType().(type) {
	case *xdsmatcher.Matcher_MatcherList_:
		return b.list(m.MatcherList, otherwise, path.Field("matcher_list").Field("matchers"))
	case *xdsmatcher.Matcher_MatcherTree_:
		return b.keyed(m.MatcherTree, otherwise, path.Field("matcher_tree"))
	default:
		return &anyTree{otherwise}
	}
}

func (b *builder) list(cfg *xdsmatcher.Matcher_MatcherList, otherwise *OnMatch, path conf.Path) Tree {
	t := &listTree{otherwise: otherwise}
	if len(cfg.GetMatchers()) == 0 {
		b.errs.Add(path, "must not be empty")
	}
	for i, m := range cfg.GetMatchers() {
		at := path.Index(i)
		t.branches = append(t.branches, branch{
			b.predicate(m.GetPredicate(), at.Field("predicate")),
			b.onMatch(m.GetOnMatch(), at.Field("on_match")),
		})
	}
	return t
}

func (b *builder) keyed(cfg *xdsmatcher.Matcher_MatcherTree, otherwise *OnMatch, path conf.Path) Tree {
	input := b.input(cfg.GetInput(), path.Field("input"))
	switch m := cfg.GetTreeType().(type) {
	case *xdsmatcher.Matcher_MatcherTree_ExactMatchMap:
		at := path.Field("exact_match_map")
		b.wantText(input, at)
		return &exactTree{input, b.branches(m.ExactMatchMap, at), otherwise}
	case *xdsmatcher.Matcher_MatcherTree_PrefixMatchMap:
		at := path.Field("prefix_match_map")
		b.wantText(input, at)
		return newPrefixTree(input, b.branches(m.PrefixMatchMap, at), otherwise)
	case *xdsmatcher.Matcher_MatcherTree_CustomMatch:
		at := path.Field("custom_match").Field("typed_config")
		b.wantText(input, at)
		if msg := b.unpack(m.CustomMatch, path.Field("custom_match")); msg != nil {
			return b.Factories.NewTree(msg, &Branches{b, input, otherwise}, at, b.errs)
		}
	default:
		b.errs.Add(path, "one of exact_match_map, prefix_match_map, custom_match is required")
	}
	return nil
}

func (b *builder) wantText(input Input, path conf.Path) {
	if input != nil && input.Kind() != Text {
		b.errs.Add(path, "takes an input of type %s, not %s", Text, input.Kind())
	}
}

func (b *builder) branches(cfg *xdsmatcher.Matcher_MatcherTree_MatchMap, path conf.Path) map[string]*OnMatch {
	path = path.Field("map")
	m := map[string]*OnMatch{}
	if len(cfg.GetMap()) == 0 {
		b.errs.Add(path, "must not be empty")
	}
	for _, key := range slices.Sorted(maps.Keys(cfg.GetMap())) {
		m[key] = b.onMatch(cfg.GetMap()[key], path.Key(key))
	}
	return m
}

func (b *builder) onMatch(cfg *xdsmatcher.Matcher_OnMatch, path conf.Path) *OnMatch {
	o := &OnMatch{keep: cfg.GetKeepMatching()}
	if o.keep && !b.KeepMatching {
		b.errs.Add(path.Field("keep_matching"), "is not supported here")
	}
	switch m := cfg.GetOnMatch().(type) {
	case *xdsmatcher.Matcher_OnMatch_Matcher:
		o.tree = b.tree(m.Matcher, path.Field("matcher"))
	case *xdsmatcher.Matcher_OnMatch_Action:
		if msg := b.unpack(m.Action, path.Field("action")); msg != nil {
			o.action = b.Action(msg, path.Field("action").Field("typed_config"), b.errs)
		}
	default:
		b.errs.Add(path, "one of matcher, action is required")
	}
	return o
}

func (b *builder) predicate(cfg *xdsmatcher.Matcher_MatcherList_Predicate, path conf.Path) predicate {
	switch m := cfg.GetMatchType().(type) {
	case *xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_:
		return b.single(m.SinglePredicate, path.Field("single_predicate"))
	case *xdsmatcher.Matcher_MatcherList_Predicate_OrMatcher:
		return or(b.predicates(m.OrMatcher, path.Field("or_matcher")))
	case *xdsmatcher.Matcher_MatcherList_Predicate_AndMatcher:
		return and(b.predicates(m.AndMatcher, path.Field("and_matcher")))
	case *xdsmatcher.Matcher_MatcherList_Predicate_NotMatcher:
		return not{b.predicate(m.NotMatcher, path.Field("not_matcher"))}
	default:
		b.errs.Add(path, "one of single_predicate, or_matcher, and_matcher, not_matcher is required")
		return nil
	}
}

func (b *builder) predicates(cfg *xdsmatcher.Matcher_MatcherList_Predicate_PredicateList, path conf.Path) (out []predicate) {
	path = path.Field("predicate")
	if len(cfg.GetPredicate()) < 2 {
		b.errs.Add(path, "must have at least 2 items")
	}
	for i, p := range cfg.GetPredicate() {
		out = append(out, b.predicate(p, path.Index(i)))
	}
	return out
}

func (b *builder) single(cfg *xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate, path conf.Path) predicate {
	p := &single{input: b.input(cfg.GetInput(), path.Field("input"))}
	at := path.Field("value_match")
	switch m := cfg.GetMatcher().(type) {
	case *xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch:
		p.matcher = text{NewString(m.ValueMatch, at, b.errs)}
	case *xdsmatcher.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch:
		at = path.Field("custom_match").Field("typed_config")
		if msg := b.unpack(m.CustomMatch, path.Field("custom_match")); msg != nil {
			p.matcher = b.Factories.NewValueMatcher(msg, at, b.errs)
		}
	default:
		b.errs.Add(path, "one of value_match, custom_match is required")
	}
	if p.input != nil && p.matcher != nil && p.input.Kind() != p.matcher.Kind() {
		b.errs.Add(at, "takes an input of type %s, not %s", p.matcher.Kind(), p.input.Kind())
	}
	return p
}

func (b *builder) input(cfg *xdscore.TypedExtensionConfig, path conf.Path) Input {
	msg := b.unpack(cfg, path)
	if msg == nil {
		return nil
	}
	at := path.Field("typed_config")
	if b.Refuse != nil {
		if reason := b.Refuse(msg); reason != "" {
			b.errs.Add(at, "%s", reason)
			return nil
		}
	}
	return b.Factories.NewInput(msg, at, b.errs)
}

// unpack returns the message in the typed_config of cfg, nil after an error.
func (b *builder) unpack(cfg *xdscore.TypedExtensionConfig, path conf.Path) proto.Message {
	if cfg.GetTypedConfig() == nil {
		b.errs.Add(path.Field("typed_config"), "is required")
		return nil
	}
	msg, err := cfg.GetTypedConfig().UnmarshalNew()
	if err != nil {
		b.errs.Add(path.Field("typed_config"), "no implementation is registered for type %s", cfg.GetTypedConfig().GetTypeUrl())
		return nil
	}
	return msg
}

// Branches builds the branches of a tree that an extension makes.
type Branches struct {
	b *builder
	// Input has the value that the tree is about, of the kind Text; it is nil after an
	// error.
	Input Input
	// Otherwise is where the tree leads when none of its own branches matches.
	Otherwise *OnMatch
}

// OnMatch builds a branch. Errors go to the list of the tree.
func (b *Branches) OnMatch(cfg *xdsmatcher.Matcher_OnMatch, path conf.Path) *OnMatch {
	return b.b.onMatch(cfg, path)
}

// text tests strings.
type text struct{ *match.String }

func (text) Kind() Kind              { return Text }
func (t text) Match(v Value) Outcome { return OutcomeOf(t.String.Match(v.Text)) }

// NewString builds a condition from xds.type.matcher.v3.StringMatcher, which has the
// fields of Envoy's own message. Errors go to errs; the result is nil then.
func NewString(cfg *xdsmatcher.StringMatcher, path conf.Path, errs *conf.Errors) *match.String {
	same := new(matcherv3.StringMatcher)
	wire, err := proto.Marshal(cfg)
	if err == nil {
		err = proto.Unmarshal(wire, same)
	}
	if err != nil {
		errs.Add(path, "%v", err)
		return nil
	}
	return match.NewString(same, path, errs)
}
