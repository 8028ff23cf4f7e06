package stats

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Tag is a name and value that were part of a metric's name.
type Tag struct{ Name, Value string }

// A TagRule is one of the bootstrap's stats_tags.
type TagRule struct {
	// Name is the tag's name.
	Name string
	// Fixed, if Regex is nil, is the tag's value for every metric.
	Fixed string
	// Regex finds the tag in a metric's name: its first group is cut from the name, its
	// second group (the first, if there is one only) is the value. Empty means the
	// default extractors of that name.
	Regex *string
}

// Tags extracts the tags of metrics. It is immutable.
type Tags struct {
	fixed    []Tag
	anywhere []extractor            // tried on every name
	byFirst  map[string][]extractor // tried on names with this first token
}

// An extractor finds one tag in a name.
type extractor struct {
	tag       string
	substring string // what a name must contain, a cheap test before regex
	regex     *regexp.Regexp
	tokens    []string // a token pattern, if regex is nil
}

// NewTags returns the extractors of rules, in their order, and then, if defaults is
// set, Envoy's. Two values for one tag and a regular expression without a group
// are errors.
func NewTags(rules []TagRule, defaults bool) (*Tags, error) {
	t := &Tags{byFirst: map[string][]extractor{}}
	named := map[string]bool{}
	var extractors []extractor
	for i, rule := range rules {
		if named[rule.Name] {
			return nil, fmt.Errorf("stats_tags[%d]: tag %q is there twice", i, rule.Name)
		}
		named[rule.Name] = true
		switch {
		case rule.Regex == nil:
			t.fixed = append(t.fixed, Tag{rule.Name, rule.Fixed})
		case *rule.Regex == "":
			found := extractorsNamed(rule.Name)
			if len(found) == 0 {
				return nil, fmt.Errorf("stats_tags[%d]: no regex, and no default extractor is named %q", i, rule.Name)
			}
			if !defaults {
				extractors = append(extractors, found...)
			}
		default:
			regex, err := regexp.Compile(*rule.Regex)
			if err != nil {
				return nil, fmt.Errorf("stats_tags[%d]: %w", i, err)
			}
			if regex.NumSubexp() == 0 {
				return nil, fmt.Errorf("stats_tags[%d]: regex %q has no group", i, *rule.Regex)
			}
			extractors = append(extractors, extractor{tag: rule.Name, regex: regex})
		}
	}
	if defaults {
		extractors = append(extractors, defaultExtractors()...)
	}
	for _, e := range extractors {
		if first := e.firstToken(); first != "" {
			t.byFirst[first] = append(t.byFirst[first], e)
		} else {
			t.anywhere = append(t.anywhere, e)
		}
	}
	return t, nil
}

func defaultTags() *Tags {
	t, err := NewTags(nil, true)
	if err != nil {
		panic(err) // there are no rules to be wrong
	}
	return t
}

func extractorsNamed(tag string) []extractor {
	return slices.DeleteFunc(defaultExtractors(), func(e extractor) bool { return e.tag != tag })
}

// literalStart finds the first token of the names that a regular expression matches.
const literalStart = `^\^([A-Za-z0-9_]+)\\\.`

func (e *extractor) firstToken() string {
	if e.regex == nil {
		if e.tokens[0] == "$" {
			return ""
		}
		return e.tokens[0]
	}
	if m := regexp.MustCompile(literalStart).FindStringSubmatch(e.regex.String()); m != nil {
		return m[1]
	}
	return ""
}

// Extract returns name without its tags, and the tags, each at most once: those of
// the extractors for any name, the fixed ones, and those of the extractors for names
// that start like this one.
func (t *Tags) Extract(name string) (string, []Tag) {
	var tags []Tag
	var cuts []span
	try := func(extractors []extractor) {
		for i := range extractors {
			e := &extractors[i]
			cut, value, ok := e.find(name)
			if !ok || slices.ContainsFunc(tags, func(t Tag) bool { return t.Name == e.tag }) {
				continue
			}
			tags = append(tags, Tag{e.tag, value})
			cuts = append(cuts, cut)
		}
	}
	try(t.anywhere)
	tags = append(tags, t.fixed...)
	first, _, _ := strings.Cut(name, ".")
	try(t.byFirst[first])
	return without(name, cuts), tags
}

// A span is a part of a name, from start up to end.
type span struct{ start, end int }

// without returns name without the parts cuts, which may overlap.
func without(name string, cuts []span) string {
	if len(cuts) == 0 {
		return name
	}
	slices.SortFunc(cuts, func(a, b span) int { return a.start - b.start })
	var b strings.Builder
	at := 0
	for _, cut := range cuts {
		if cut.start > at {
			b.WriteString(name[at:cut.start])
		}
		at = max(at, cut.end)
	}
	b.WriteString(name[at:])
	return b.String()
}

// find returns what to cut from name and the tag's value.
func (e *extractor) find(name string) (cut span, value string, ok bool) {
	if e.regex == nil {
		start, end, ok := findToken(name, 0, e.tokens)
		if !ok {
			return span{}, "", false
		}
		value = name[start:end]
		if end < len(name) {
			end++ // the dot after it
		} else {
			start-- // the dot before it
		}
		return span{start, end}, value, true
	}
	if !strings.Contains(name, e.substring) {
		return span{}, "", false
	}
	m := e.regex.FindStringSubmatchIndex(name)
	if m == nil || m[2] < 0 {
		return span{}, "", false
	}
	cut = span{m[2], m[3]}
	if len(m) > 4 && m[4] >= 0 {
		return cut, name[m[4]:m[5]], true
	}
	return cut, name[m[2]:m[3]], true
}

// findToken matches the tokens of name from at on against a pattern, in which "*"
// stands for one token, "$" for the one looked for, and "**" for any number, but at
// the end for at least one. It returns where the one looked for lies, or -1 if it is
// not in this pattern.
func findToken(name string, at int, pattern []string) (start, end int, ok bool) {
	start = -1
	for i, want := range pattern {
		if at > len(name) {
			return 0, 0, false
		}
		if want == "**" {
			return start, end, findLater(name, at, pattern[i+1:])
		}
		stop := tokenEnd(name, at)
		switch want {
		case "*":
		case "$":
			start, end = at, stop
		default:
			if name[at:stop] != want {
				return 0, 0, false
			}
		}
		at = stop + 1
	}
	return start, end, at > len(name)
}

// findLater reports whether rest matches from at, or from a later token, on.
func findLater(name string, at int, rest []string) bool {
	for ; at <= len(name); at = tokenEnd(name, at) + 1 {
		if len(rest) == 0 {
			return true
		}
		if _, _, ok := findToken(name, at, rest); ok {
			return true
		}
	}
	return false
}

// tokenEnd returns where the token that starts at at ends.
func tokenEnd(name string, at int) int {
	if i := strings.IndexByte(name[at:], '.'); i >= 0 {
		return at + i
	}
	return len(name)
}
