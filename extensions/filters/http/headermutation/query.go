package headermutation

import (
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A queryMutation does one thing to query parameters: the message
// envoy.config.core.v3.KeyValueMutation.
type queryMutation struct {
	key    string
	remove bool
	action corev3.KeyValueAppend_KeyValueAppendAction
	value  headeroption.Value
}

func newQueryMutation(cfg *corev3.KeyValueMutation, formats format.Compiler, path conf.Path, errs *conf.Errors) queryMutation {
	add, at := cfg.GetAppend(), path.Field("append").Field("record")
	switch {
	case add != nil && cfg.GetRemove() != "":
		errs.Add(path, "only one of append and remove can be set")
	case add == nil && cfg.GetRemove() == "":
		errs.Add(path, "one of append and remove must be set")
	case add == nil:
		return queryMutation{key: cfg.GetRemove(), remove: true}
	case add.GetRecord() == nil:
		errs.Add(at, "must be set")
	case add.GetRecord().GetKey() == "":
		errs.Add(at.Field("key"), "must not be empty")
	}
	text, ok := add.GetRecord().GetValue().GetKind().(*structpb.Value_StringValue)
	if !ok && add.GetRecord() != nil {
		errs.Add(at.Field("value"), "must be a string")
	}
	m := queryMutation{key: add.GetRecord().GetKey(), action: add.GetAction()}
	if ok {
		m.value = headeroption.NewValue(text.StringValue, formats, at.Field("value"), errs)
	}
	return m
}

// A parameter of a query. The value is as in the path, with its escapes.
type parameter struct{ key, raw string }

// mutateQuery changes the query of :path. As in Envoy its parameters are sorted by
// key then. Those that stay keep their escapes, which Envoy undoes: a decoded space
// or line feed would break the request.
func (m *mutations) mutateQuery(h *httpmsg.Headers, e *format.Entry, scratch *[]byte) {
	path, query, _ := strings.Cut(h.Get(httpmsg.Path), "?")
	query, _, _ = strings.Cut(query, "#")
	path, _, _ = strings.Cut(path, "#")
	var params []parameter
	for query != "" {
		var one string
		one, query, _ = strings.Cut(query, "&")
		key, raw, _ := strings.Cut(one, "=")
		params = append(params, parameter{key, raw})
	}
	for i := range m.query {
		params = m.query[i].apply(params, h, e)
	}
	slices.SortStableFunc(params, func(a, b parameter) int { return strings.Compare(unescape(a.key), unescape(b.key)) })
	out, separator := append((*scratch)[:0], path...), byte('?')
	for _, p := range params {
		out = append(append(append(append(out, separator), p.key...), '='), p.raw...)
		separator = '&'
	}
	*scratch = out
	h.Set(httpmsg.Path, h.String(out))
}

func (m *queryMutation) apply(params []parameter, h *httpmsg.Headers, e *format.Entry) []parameter {
	same := func(p parameter) bool { return unescape(p.key) == m.key }
	if m.remove {
		return slices.DeleteFunc(params, same)
	}
	found := slices.ContainsFunc(params, same)
	switch m.action {
	case corev3.KeyValueAppend_ADD_IF_ABSENT:
		if found {
			return params
		}
	case corev3.KeyValueAppend_OVERWRITE_IF_EXISTS:
		if !found {
			return params
		}
		params = slices.DeleteFunc(params, same)
	case corev3.KeyValueAppend_OVERWRITE_IF_EXISTS_OR_ADD:
		params = slices.DeleteFunc(params, same)
	}
	return append(params, parameter{escape(m.key), escape(m.value.String(h, e))})
}

// escape percent-encodes all but letters, digits and "-_.*".
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.*", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// unescape undoes percent-encoding, and leaves what is none as it is.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := digit(s[i+1]), digit(s[i+2]); hi < 16 && lo < 16 {
				b.WriteByte(hi<<4 | lo)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// digit returns the value of a hexadecimal digit, 16 for anything else.
func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
