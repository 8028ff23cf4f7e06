package match

import (
	"fmt"
	"net/netip"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A FilterState is a condition on an object of the filter state: the message
// envoy.type.matcher.v3.FilterStateMatcher. An object that is not there does not
// meet it.
type FilterState struct {
	key    string
	str    *String // nil for an address
	ranges address.Ranges
	invert bool // an address that is in none of the ranges
}

// NewFilterState builds a condition. Errors go to errs; the result is nil then.
func NewFilterState(cfg *matcherv3.FilterStateMatcher, path conf.Path, errs *conf.Errors) *FilterState {
	before := len(*errs)
	conf.Check(cfg, FilterStateFields(), path, errs)
	f := &FilterState{key: cfg.GetKey()}
	if f.key == "" {
		errs.Add(path.Field("key"), "must not be empty")
	}
	switch m := cfg.GetMatcher().(type) {
	case *matcherv3.FilterStateMatcher_StringMatch:
		f.str = NewString(m.StringMatch, path.Field("string_match"), errs)
	case *matcherv3.FilterStateMatcher_AddressMatch:
		f.ranges = address.NewRanges(m.AddressMatch.GetRanges(), path.Field("address_match").Field("ranges"), errs)
		f.invert = m.AddressMatch.GetInvertMatch()
	default:
		errs.Add(path, "one of string_match, address_match is required")
	}
	if len(*errs) > before {
		return nil
	}
	return f
}

// Match reports whether the filter state of a stream and its connection meets the
// condition. info may be nil. Any worker.
func (f *FilterState) Match(info *streaminfo.Stream) bool {
	if f.str != nil {
		text, ok := FilterStateText(info, f.key)
		return ok && f.str.Match(text)
	}
	ip, ok := addressOf(FilterStateObject(info, f.key))
	return ok && f.ranges.Contains(ip) != f.invert
}

// FilterStateText returns an object of the filter state as text: a string, or what
// its method String returns. Any worker.
func FilterStateText(info *streaminfo.Stream, key string) (text string, ok bool) {
	switch v := FilterStateObject(info, key).(type) {
	case string:
		return v, true
	case fmt.Stringer:
		return v.String(), true
	}
	return "", false
}

// FilterStateObject returns an object of the stream or its connection, nil if there is
// none. info may be nil. Any worker.
func FilterStateObject(info *streaminfo.Stream, key string) any {
	if info == nil {
		return nil
	}
	if v := info.FilterState[key]; v != nil || info.Downstream == nil {
		return v
	}
	return info.Downstream.FilterState[key]
}

func addressOf(object any) (netip.Addr, bool) {
	switch v := object.(type) {
	case interface{ IP() netip.Addr }: // an address.Address, or what has one
		return v.IP(), v.IP().IsValid()
	case netip.Addr:
		return v, v.IsValid()
	}
	return netip.Addr{}, false
}
