package grpcjsontranscoder

import (
	"strings"
)

// A matcher finds the rule for a request. It is immutable once it is built.
type matcher struct {
	root  node
	verbs map[string]bool
	// anyVerb takes what follows the last colon for a verb even if no template has it.
	anyVerb   bool
	ignored   map[string]bool // names of query parameters
	unescape  unescaping      // of variables of several segments
	plusSpace bool            // a plus in a query is a space
}

// A node is what follows some segments of templates. Of the children literals come
// before "*", and that before "**".
type node struct {
	children map[string]*node
	rules    map[string]*rule // by HTTP method, or "*", and verb
	many     bool             // the last segment is "**"
}

// register adds a rule. As in Envoy a later one with the same method and path replaces
// an earlier one.
func (m *matcher) register(httpMethod string, t *template, r *rule) {
	n := &m.root
	for _, s := range t.segments {
		if n.children == nil {
			n.children = map[string]*node{}
		}
		if n.children[s] == nil {
			n.children[s] = &node{many: s == manySegments}
		}
		n = n.children[s]
	}
	if n.rules == nil {
		n.rules = map[string]*rule{}
	}
	n.rules[httpMethod+t.verb] = r
	if t.verb != "" {
		if m.verbs == nil {
			m.verbs = map[string]bool{}
		}
		m.verbs[t.verb] = true
	}
}

// find returns the rule for a request to path, which has no query, and the part of path
// that variables are in; nil if there is none.
func (m *matcher) find(httpMethod, path string) (*rule, segments) {
	path, verb := m.cutVerb(path)
	if path == "" {
		return m.root.find(segments{end: true}, httpMethod+verb), segments{end: true}
	}
	s := segments{rest: strings.TrimRight(path[1:], "/")}
	s.end = s.rest == ""
	return m.root.find(s, httpMethod+verb), s
}

func (m *matcher) cutVerb(path string) (_, verb string) {
	i := strings.LastIndexByte(path, ':')
	if i < 0 || i < strings.LastIndexByte(path, '/') || !m.anyVerb && !m.verbs[path[i+1:]] {
		return path, ""
	}
	return path[:i], path[i+1:]
}

// segments are those of a path that are still to be looked at.
type segments struct {
	rest string
	end  bool // there is none
}

func (s segments) next() (first string, more segments) {
	first, rest, ok := strings.Cut(s.rest, "/")
	return first, segments{rest, !ok}
}

func (n *node) find(s segments, method string) *rule {
	if s.end {
		if r := n.rule(method); r != nil {
			return r
		}
		if child := n.children[manySegments]; child != nil {
			return child.rule(method)
		}
		return nil
	}
	first, more := s.next()
	if child := n.children[first]; child != nil {
		if r := child.find(more, method); r != nil {
			return r
		}
	}
	if n.many {
		return n.find(more, method)
	}
	for _, wild := range [...]string{oneSegment, manySegments} {
		if child := n.children[wild]; child != nil {
			if r := child.find(more, method); r != nil {
				return r
			}
		}
	}
	return nil
}

func (n *node) rule(method string) *rule {
	if r := n.rules[method]; r != nil {
		return r
	}
	return n.rules["*"]
}

// A binding is a value for a field of the request.
type binding struct {
	field []string
	value string
}

// bindings returns the values in the path and in the query of a request.
func (m *matcher) bindings(r *rule, s segments, query string) []binding {
	var all []binding
	parts := strings.Split(s.rest, "/")
	if s.end {
		parts = nil
	}
	for _, v := range r.variables {
		end, spec := v.end, unescapeAll
		if end < 0 {
			end += len(parts) + 1
		}
		if v.end < 0 || end-v.start > 1 {
			spec = m.unescape
		}
		start := min(v.start, len(parts))
		var value strings.Builder
		for i, part := range parts[start:max(end, start)] {
			if i > 0 {
				value.WriteByte('/')
			}
			value.WriteString(unescape(part, spec, false))
		}
		all = append(all, binding{v.field, value.String()})
	}
	for query != "" {
		var parameter string
		parameter, query, _ = strings.Cut(query, "&")
		name, value, ok := strings.Cut(parameter, "=")
		if ok && name != "" && !m.ignored[name] {
			all = append(all, binding{strings.Split(name, "."), unescape(value, unescapeAll, m.plusSpace)})
		}
	}
	return all
}

// unescaping says which characters of a path are decoded.
type unescaping uint8

const (
	unescapeAll unescaping = iota
	unescapeAllButSlash
	unescapeUnreserved
)

// unescape decodes percent-encoding; what is not encoded well stays.
func unescape(s string, spec unescaping, plusSpace bool) string {
	if !strings.Contains(s, "%") && (!plusSpace || !strings.Contains(s, "+")) {
		return s
	}
	dst := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
			if c := byte(high<<4 | low); high >= 0 && low >= 0 && spec.decodes(c) {
				dst = append(dst, c)
				i += 2
				continue
			}
		}
		if plusSpace && s[i] == '+' {
			dst = append(dst, ' ')
			continue
		}
		dst = append(dst, s[i])
	}
	return string(dst)
}

func (u unescaping) decodes(c byte) bool {
	switch u {
	case unescapeAllButSlash:
		return c != '/'
	case unescapeUnreserved:
		return !strings.ContainsRune("!#$&'()*+,/:;=?@[]", rune(c)) // RFC 6570
	default:
		return true
	}
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
