package match

import (
	"math"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A Header is a condition on the values of a header: the message
// envoy.config.route.v3.HeaderMatcher. It is a route.HeaderMatcher.
//
// Of a repeated header each value is tested on its own, and one that fits is
// enough; the inverse condition wants that none fits. Headers that are one
// comma-joined value (httpmsg.CommaJoined) are tested as that.
type Header struct {
	name   string
	value  value
	invert bool
	// joined is set if repeated fields are one value, missingIsEmpty if no field is an
	// empty value.
	joined, missingIsEmpty bool
}

// value is what one value of a header must be.
type value struct {
	kind    valueKind
	str     String
	lo, hi  int64
	present bool
}

type valueKind uint8

const (
	matchString valueKind = iota
	matchRange
	matchPresent
)

// NewHeader builds a condition. Errors go to errs; the result is nil then.
func NewHeader(cfg *routev3.HeaderMatcher, path conf.Path, errs *conf.Errors) *Header {
	before := len(*errs)
	conf.Check(cfg, HeaderFields(), path, errs)
	h := &Header{
		name:           Lower(cfg.GetName()),
		value:          newValue(cfg, path, errs),
		invert:         cfg.GetInvertMatch(),
		missingIsEmpty: cfg.GetTreatMissingHeaderAsEmpty(),
	}
	if h.name == "host" {
		h.name = ":authority"
	}
	h.joined = httpmsg.CommaJoined(h.name)
	if h.name == "" {
		errs.Add(path.Field("name"), "must not be empty")
	}
	if len(*errs) > before {
		return nil
	}
	return h
}

// NewHeaders builds the conditions of a list. Errors go to errs.
func NewHeaders(cfgs []*routev3.HeaderMatcher, path conf.Path, errs *conf.Errors) []*Header {
	var out []*Header
	for i, cfg := range cfgs {
		if h := NewHeader(cfg, path.Index(i), errs); h != nil {
			out = append(out, h)
		}
	}
	return out
}

func newValue(cfg *routev3.HeaderMatcher, path conf.Path, errs *conf.Errors) value {
	text := func(kind stringKind, text string) value {
		if text == "" {
			kind = anyString // the old fields match everything then
		}
		return value{str: String{kind: kind, text: text}}
	}
	switch s := cfg.GetHeaderMatchSpecifier().(type) {
	case *routev3.HeaderMatcher_StringMatch:
		if m := NewString(s.StringMatch, path.Field("string_match"), errs); m != nil {
			return value{str: *m}
		}
	case *routev3.HeaderMatcher_SafeRegexMatch:
		return value{str: String{kind: regex, re: NewRegex(s.SafeRegexMatch, path.Field("safe_regex_match"), errs)}}
	case *routev3.HeaderMatcher_RangeMatch:
		return value{kind: matchRange, lo: s.RangeMatch.GetStart(), hi: s.RangeMatch.GetEnd()}
	case *routev3.HeaderMatcher_ExactMatch:
		return text(exact, s.ExactMatch)
	case *routev3.HeaderMatcher_PrefixMatch:
		return text(prefix, s.PrefixMatch)
	case *routev3.HeaderMatcher_SuffixMatch:
		return text(suffix, s.SuffixMatch)
	case *routev3.HeaderMatcher_ContainsMatch:
		return text(contains, s.ContainsMatch)
	case *routev3.HeaderMatcher_PresentMatch:
		return value{kind: matchPresent, present: s.PresentMatch}
	}
	return value{kind: matchPresent, present: true}
}

// MatchHeaders reports whether the headers meet the condition. Any worker. It
// allocates only to join repeated fields.
func (h *Header) MatchHeaders(headers *httpmsg.Headers) bool {
	if h.joined {
		if v, ok := headers.Joined(h.name); ok {
			return h.value.match(v) != h.invert
		}
		return h.missing()
	}
	found := false
	fields := headers.Fields()
	for i := range fields {
		if fields[i].Name != h.name {
			continue
		}
		if found = true; h.value.match(fields[i].Value) {
			return !h.invert
		}
	}
	if found {
		return h.invert
	}
	return h.missing()
}

func (h *Header) missing() bool {
	switch {
	case h.missingIsEmpty:
		return h.value.match("") != h.invert
	case h.value.kind == matchPresent:
		return h.value.present == h.invert
	default:
		return false
	}
}

func (v *value) match(text string) bool {
	switch v.kind {
	case matchRange:
		n, ok := parseInt(text)
		return ok && v.lo <= n && n < v.hi
	case matchPresent:
		return v.present
	default:
		return v.str.Match(text)
	}
}

// parseInt is strconv.ParseInt without an error that is allocated.
func parseInt(text string) (n int64, ok bool) {
	negative := false
	if text != "" && (text[0] == '-' || text[0] == '+') {
		negative, text = text[0] == '-', text[1:]
	}
	if text == "" {
		return 0, false
	}
	for i := range len(text) {
		digit := int64(text[i]) - '0'
		// The number is kept negative, because the range is wider there.
		if digit < 0 || digit > 9 || n < (math.MinInt64+digit)/10 {
			return 0, false
		}
		n = n*10 - digit
	}
	if negative {
		return n, true
	}
	return -n, n != math.MinInt64
}
