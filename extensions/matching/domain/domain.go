// Package domain is a tree of branches by domain, with wildcards.
package domain

import (
	"strings"

	xdsmatcher "github.com/cncf/xds/go/xds/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/matcher"
)

// Factory makes the tree envoy.matching.custom_matchers.domain_matcher.
type Factory struct{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.matching.custom_matchers.domain_matcher" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.TreeMatchers }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return new(xdsmatcher.ServerNameMatcher) }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "xds.type.matcher.v3.ServerNameMatcher",
		Names:   []string{"domain_matchers"},
	}}
}

// BuildTreeMatcher implements extension.TreeMatcherFactory.
func (Factory) BuildTreeMatcher(msg proto.Message, b *matcher.Branches, path conf.Path, errs *conf.Errors) matcher.Tree {
	before := len(*errs)
	t := &tree{input: b.Input, otherwise: b.Otherwise, exact: map[string]*matcher.OnMatch{}, wildcards: map[string]*matcher.OnMatch{}}
	for i, m := range msg.(*xdsmatcher.ServerNameMatcher).GetDomainMatchers() {
		at := path.Field("domain_matchers").Index(i)
		if len(m.GetDomains()) == 0 {
			errs.Add(at.Field("domains"), "must not be empty")
		}
		on := b.OnMatch(m.GetOnMatch(), at.Field("on_match"))
		for j, name := range m.GetDomains() {
			if problem := t.add(name, on); problem != "" {
				errs.Add(at.Field("domains").Index(j), "%s", problem)
			}
		}
	}
	if len(*errs) > before {
		return nil
	}
	return t
}

// A tree tries the exact domain, then the wildcards, the longest first. Domains are
// compared as they are, with their case.
type tree struct {
	input     matcher.Input
	exact     map[string]*matcher.OnMatch
	wildcards map[string]*matcher.OnMatch // by what follows "*."
	any       *matcher.OnMatch            // of *
	otherwise *matcher.OnMatch
}

// add gives a branch to a domain, or says why not.
func (t *tree) add(name string, on *matcher.OnMatch) (problem string) {
	rest, wildcard := strings.CutPrefix(name, "*.")
	to := t.exact
	switch {
	case name == "":
		return "must not be empty"
	case name == "*":
		if t.any != nil {
			return "domain * is used twice"
		}
		t.any = on
		return ""
	case rest == "" || strings.Contains(rest, "*"):
		return "must be a domain, *.domain or *, not " + name
	case wildcard:
		to = t.wildcards
	}
	if to[rest] != nil {
		return "domain " + name + " is used twice"
	}
	to[rest] = on
	return ""
}

func (t *tree) Match(d matcher.Data) matcher.Result {
	v := t.input.Get(d)
	if v.State == matcher.NotYet {
		return matcher.Result{Outcome: matcher.Unsure}
	}
	if v.State == matcher.Present && v.Text != "" {
		if r := t.lookup(d, v.Text); r.Outcome != matcher.NoMatch {
			return r
		}
	}
	return t.otherwise.Follow(d)
}

func (t *tree) lookup(d matcher.Data, name string) matcher.Result {
	if r := t.exact[name].Follow(d); r.Outcome != matcher.NoMatch {
		return r
	}
	for dots := true; dots; {
		if _, name, dots = strings.Cut(name, "."); dots {
			if r := t.wildcards[name].Follow(d); r.Outcome != matcher.NoMatch {
				return r
			}
		}
	}
	return t.any.Follow(d)
}
