// Package conf is what a component needs to read its configuration message:
// the place of a value (Path), the list of configuration errors (Errors), and
// the list of the fields it implements (Fields, Check). Everything here runs
// while a configuration is loaded, on the goroutine that loads it, never on a
// request.
package conf

import (
	"strconv"
	"strings"
)

// A Path names one value of a configuration, for example
// static_resources.listeners[0].filter_chains[1].filters[0].typed_config.stat_prefix.
// Fields carry their proto name; what is packed in an Any follows the name of
// the field that holds the Any. The zero Path is the whole configuration. A
// Path is immutable: extending one never changes it.
type Path struct {
	parent *Path
	last   string
}

// Field returns the path of the named field of the message at p.
func (p Path) Field(name string) Path { return Path{&p, name} }

// Index returns the path of element i of the list at p.
func (p Path) Index(i int) Path { return Path{&p, "[" + strconv.Itoa(i) + "]"} }

// Key returns the path of the entry of the map at p that has the given key.
func (p Path) Key(key string) Path { return Path{&p, "[" + strconv.Quote(key) + "]"} }

// IsRoot reports whether p is the whole configuration.
func (p Path) IsRoot() bool { return p.parent == nil }

// Parent returns the path of the message, list or map that holds the value at
// p; the parent of the root is the root.
func (p Path) Parent() Path {
	if p.parent == nil {
		return p
	}
	return *p.parent
}

// Last returns the last step of p as it is written: a field name, or an index
// or key in brackets. It is empty for the root.
func (p Path) Last() string { return p.last }

// String returns the path as it stands in messages.
func (p Path) String() string {
	var steps []string
	for ; !p.IsRoot(); p = p.Parent() {
		steps = append(steps, p.last)
	}
	var b strings.Builder
	for i := len(steps) - 1; i >= 0; i-- {
		if b.Len() > 0 && !strings.HasPrefix(steps[i], "[") {
			b.WriteByte('.')
		}
		b.WriteString(steps[i])
	}
	return b.String()
}

// MarshalText makes a path a string in JSON.
func (p Path) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
