// Package match tests strings, headers and query parameters against configured
// conditions. Matchers are built from Envoy's messages while a configuration is
// loaded; they are immutable and used on any worker. Matching does not allocate,
// except for regular expressions on text that is not ASCII.
package match

import (
	"strings"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A String is a condition on a string: the message
// envoy.type.matcher.v3.StringMatcher.
type String struct {
	kind stringKind
	text string // lower case if fold is set
	fold bool
	re   *Regex
}

type stringKind uint8

const (
	anyString stringKind = iota
	exact
	prefix
	suffix
	contains
	regex
)

// NewString builds a condition. Errors go to errs, with the path of the field;
// the result is nil then.
func NewString(cfg *matcherv3.StringMatcher, path conf.Path, errs *conf.Errors) *String {
	before := len(*errs)
	conf.Check(cfg, StringFields(), path, errs)
	s := &String{fold: cfg.GetIgnoreCase()}
	switch p := cfg.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		s.kind, s.text = exact, p.Exact
	case *matcherv3.StringMatcher_Prefix:
		s.kind, s.text = prefix, p.Prefix
	case *matcherv3.StringMatcher_Suffix:
		s.kind, s.text = suffix, p.Suffix
	case *matcherv3.StringMatcher_Contains:
		s.kind, s.text = contains, p.Contains
	case *matcherv3.StringMatcher_SafeRegex:
		s.kind = regex
		s.re = NewRegex(p.SafeRegex, path.Field("safe_regex"), errs)
		if s.fold {
			errs.Add(path.Field("ignore_case"), "has no effect on a regex: use (?i) in the regex")
		}
	default:
		if len(*errs) == before {
			errs.Add(path, "one of exact, prefix, suffix, contains, safe_regex is required")
		}
	}
	if len(*errs) > before {
		return nil
	}
	if s.fold {
		s.text = Lower(s.text)
	}
	return s
}

// Match reports whether text meets the condition. Any worker.
func (s *String) Match(text string) bool {
	n := len(s.text)
	switch s.kind {
	case exact:
		return s.equal(text)
	case prefix:
		return len(text) >= n && s.equal(text[:n])
	case suffix:
		return len(text) >= n && s.equal(text[len(text)-n:])
	case contains:
		return s.within(text)
	case regex:
		return s.re.Match(text)
	default:
		return true
	}
}

func (s *String) equal(text string) bool {
	if !s.fold {
		return text == s.text
	}
	return len(text) == len(s.text) && equalFold(text, s.text)
}

func (s *String) within(text string) bool {
	if !s.fold {
		return strings.Contains(text, s.text)
	}
	for n := len(s.text); len(text) >= n; text = text[1:] {
		if equalFold(text[:n], s.text) {
			return true
		}
	}
	return false
}

// equalFold compares text with lower-case letters of the same length. Only ASCII
// letters have two cases.
func equalFold(text, lower string) bool {
	for i := range len(lower) {
		if toLower(text[i]) != lower[i] {
			return false
		}
	}
	return true
}

func toLower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// Lower returns text with ASCII letters in lower case. It allocates only if
// something changes.
func Lower(text string) string {
	for i := range len(text) {
		if toLower(text[i]) != text[i] {
			b := []byte(text)
			for j := i; j < len(b); j++ {
				b[j] = toLower(b[j])
			}
			return string(b)
		}
	}
	return text
}
