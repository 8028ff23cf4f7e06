package match

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// String describes the condition, as in: prefix "/api".
func (s *String) String() string {
	text := [...]string{"anything", "exact", "prefix", "suffix", "contains", "regex"}[s.kind]
	switch {
	case s.kind == anyString:
		return text
	case s.kind == regex:
		return text + " " + s.re.String()
	case s.fold:
		return text + " " + strconv.Quote(s.text) + " in any case"
	default:
		return text + " " + strconv.Quote(s.text)
	}
}

// String returns the expression, in quotes.
func (r *Regex) String() string {
	text := narrow(r.re.String())
	return strconv.Quote(text[len(`\A(?:`) : len(text)-len(`)\z`)])
}

// Quote returns text in quotes, cut if it is long.
func Quote(text string) string {
	const most = 128
	if len(text) > most {
		return strconv.Quote(text[:most]) + "..."
	}
	return strconv.Quote(text)
}

func (v *value) String() string {
	switch {
	case v.kind == matchRange:
		return fmt.Sprintf("range [%d, %d)", v.lo, v.hi)
	case v.kind != matchPresent:
		return v.str.String()
	case v.present:
		return "present"
	default:
		return "absent"
	}
}

func inverse(invert bool) string {
	if invert {
		return "not "
	}
	return ""
}

// Explain describes the condition and what it found in the headers.
func (h *Header) Explain(headers *httpmsg.Headers) string {
	got := "it is missing"
	if text, ok := headers.Joined(h.name); ok {
		got = "got " + Quote(text)
	}
	return fmt.Sprintf("header %s: %s%s, %s", h.name, inverse(h.invert), &h.value, got)
}

// Explain describes the condition and what it found in the query of a :path.
func (q *QueryParameter) Explain(path string) string {
	want, got := "present", "it is missing"
	switch {
	case q.str != nil:
		want = q.str.String()
	case q.absent:
		want = "absent"
	}
	if text, ok := QueryValue(path, q.name); ok {
		got = "got " + Quote(text)
	}
	return fmt.Sprintf("query parameter %s: %s, %s", q.name, want, got)
}

// Explain describes the condition and what it found in the headers.
func (c *Cookie) Explain(h *httpmsg.Headers) string {
	got := "it is missing"
	if text, ok := CookieValue(h, c.name); ok {
		got = "got " + Quote(text)
	}
	return fmt.Sprintf("cookie %s: %s%s, %s", c.name, inverse(c.invert), c.str, got)
}

// Explain names the value that the condition is about, and says what it is.
func (m *Metadata) Explain(metadata map[string]*structpb.Struct) string {
	got := "nothing is there"
	if v := m.path.Find(metadata); v != nil {
		text, _ := protojson.Marshal(v)
		got = "got " + Quote(string(text))
	}
	return fmt.Sprintf("dynamic metadata %s %q: %s", m.path.Namespace, m.path.Keys, got)
}

// Explain describes the condition and what it found.
func (f *FilterState) Explain(info *streaminfo.Stream) string {
	want, got := "", "it is missing"
	if f.str != nil {
		want = f.str.String()
	} else {
		want = fmt.Sprintf("%saddress in %v", inverse(f.invert), f.ranges)
	}
	if object := FilterStateObject(info, f.key); object != nil {
		text, ok := FilterStateText(info, f.key)
		if got = "it has no text"; ok {
			got = "got " + Quote(text)
		}
	}
	return fmt.Sprintf("filter state %s: %s, %s", f.key, want, got)
}
