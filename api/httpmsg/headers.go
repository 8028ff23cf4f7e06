// Package httpmsg holds HTTP messages without their version: a header map that
// keeps the order of fields, and the names and codes of HTTP. Codecs turn it into
// the bytes of HTTP/1, 2 and 3, and back.
package httpmsg

import (
	"slices"
	"strings"
	"unsafe"
)

// A Field is one header field. Name is lower case; pseudo-headers begin with ":".
type Field struct {
	Name, Value string
	id          ID
}

// ID returns the field's well-known ID, or Unknown.
func (f *Field) ID() ID { return f.id }

// Headers is an ordered list of header fields, or of trailers. Repeated fields
// are kept apart. It belongs to one stream on one worker; the strings in it are
// never changed and may be kept by anyone.
//
// The zero Headers is empty and ready.
type Headers struct {
	fields []Field
	size   int            // bytes of names and values
	first  [numIDs]uint16 // 1 + index of the first field with that ID, 0 if none
	arena  []byte         // room for strings that String makes

	formatter KeyFormatter // nil for none
}

// Reset empties h and keeps its memory, except the strings and the formatter.
func (h *Headers) Reset() {
	clear(h.fields)
	h.fields, h.size, h.arena, h.formatter = h.fields[:0], 0, nil, nil
	clear(h.first[:])
}

// Len returns the number of fields.
func (h *Headers) Len() int { return len(h.fields) }

// ByteSize returns the length of all names and values together.
func (h *Headers) ByteSize() int { return h.size }

// Fields returns the fields in order. The slice is valid until h changes, and must
// not be written to.
func (h *Headers) Fields() []Field { return h.fields }

// SetArena gives h memory that String cuts strings from: free bytes behind the
// header block that a codec copied once. Nobody else may write to it.
func (h *Headers) SetArena(p []byte) { h.arena = p[:0] }

// arenaRoom is enough for what the proxy usually adds to a message that brought no arena.
const arenaRoom = 64

// String returns a string with the bytes of p, in the arena if there is room.
func (h *Headers) String(p []byte) string {
	n := len(h.arena)
	if len(p) == 0 {
		return ""
	}
	if cap(h.arena)-n < len(p) {
		if cap(h.arena) > 0 || len(p) > arenaRoom/2+arenaRoom/4 {
			return string(p)
		}
		h.arena, n = make([]byte, 0, arenaRoom), 0
	}
	h.arena = append(h.arena, p...)
	// The bytes below len(arena) are never written again.
	return unsafe.String(&h.arena[n], len(p))
}

// Room returns what is free of the arena, empty, to append the bytes of a string to
// that Take makes. h must not change in between.
func (h *Headers) Room() []byte { return h.arena[len(h.arena):] }

// Take returns a string of p, which was appended to Room, without a copy.
func (h *Headers) Take(p []byte) string {
	if len(p) == 0 {
		return ""
	}
	if n := len(h.arena); n < cap(h.arena) && &p[0] == &h.arena[:n+1][n] {
		h.arena = h.arena[:n+len(p)]
	}
	return unsafe.String(&p[0], len(p)) // nobody else has the bytes
}

// Add appends a field. name is lower case.
func (h *Headers) Add(name, value string) { h.add(Lookup(name), name, value) }

// AddID appends a field with a well-known name.
func (h *Headers) AddID(id ID, value string) { h.add(id, names[id], value) }

func (h *Headers) add(id ID, name, value string) {
	h.fields = append(h.fields, Field{}) // filled in place: a copy would wait for its parts
	f := &h.fields[len(h.fields)-1]
	f.Name, f.Value, f.id = name, value, id
	h.size += len(name) + len(value)
	if id != Unknown && h.first[id] == 0 {
		h.first[id] = uint16(len(h.fields))
	}
}

// Get returns the value of the first field with that ID, "" if there is none.
func (h *Headers) Get(id ID) string {
	if i := h.first[id]; i != 0 {
		return h.fields[i-1].Value
	}
	return ""
}

// Has reports whether a field with that ID is there.
func (h *Headers) Has(id ID) bool { return h.first[id] != 0 }

// Find returns the value of the first field with that lower-case name.
func (h *Headers) Find(name string) (value string, ok bool) {
	if i := h.index(name); i >= 0 {
		return h.fields[i].Value, true
	}
	return "", false
}

func (h *Headers) index(name string) int {
	if id := Lookup(name); id != Unknown {
		return int(h.first[id]) - 1
	}
	for i := range h.fields {
		if h.fields[i].id == Unknown && h.fields[i].Name == name {
			return i
		}
	}
	return -1
}

// Values appends the values of all fields with that lower-case name to dst.
func (h *Headers) Values(dst []string, name string) []string {
	for i := max(h.index(name), 0); i < len(h.fields); i++ {
		if h.fields[i].Name == name {
			dst = append(dst, h.fields[i].Value)
		}
	}
	return dst
}

// Joined returns the values of all fields with that lower-case name, joined by a
// comma, as policies must see a repeated header. It allocates only if there are
// several.
func (h *Headers) Joined(name string) (value string, ok bool) {
	i := h.index(name)
	if i < 0 {
		return "", false
	}
	value = h.fields[i].Value
	for i++; i < len(h.fields); i++ {
		if h.fields[i].Name == name {
			value += "," + h.fields[i].Value
		}
	}
	return value, true
}

// Set makes value the only one of that ID, in the place of the first field, or at
// the end.
func (h *Headers) Set(id ID, value string) {
	h.set(int(h.first[id])-1, id, names[id], value)
}

// SetName is Set for any lower-case name.
func (h *Headers) SetName(name, value string) {
	h.set(h.index(name), Lookup(name), name, value)
}

func (h *Headers) set(i int, id ID, name, value string) {
	if i < 0 {
		h.add(id, name, value)
		return
	}
	h.size += len(value) - len(h.fields[i].Value)
	h.fields[i].Value = value
	h.removeFrom(i+1, func(f *Field) bool { return f.Name == name })
}

// Remove removes all fields with that ID and reports whether there were any.
func (h *Headers) Remove(id ID) bool {
	i := int(h.first[id]) - 1
	if i < 0 {
		return false
	}
	return h.removeFrom(i, func(f *Field) bool { return f.id == id })
}

// RemoveName removes all fields with that lower-case name.
func (h *Headers) RemoveName(name string) bool {
	i := h.index(name)
	if i < 0 {
		return false
	}
	return h.removeFrom(i, func(f *Field) bool { return f.Name == name })
}

// RemoveIf removes all fields for which f says so, and reports whether there were
// any.
func (h *Headers) RemoveIf(f func(*Field) bool) bool { return h.removeFrom(0, f) }

func (h *Headers) removeFrom(start int, f func(*Field) bool) bool {
	to := start
	for from := start; from < len(h.fields); from++ {
		field := &h.fields[from]
		if f(field) {
			h.size -= len(field.Name) + len(field.Value)
			continue
		}
		if to != from {
			h.fields[to] = *field
		}
		to++
	}
	if to == len(h.fields) {
		return false
	}
	clear(h.fields[to:])
	h.fields = h.fields[:to]
	clear(h.first[:])
	for i := len(h.fields) - 1; i >= 0; i-- {
		h.first[h.fields[i].id] = uint16(i + 1)
	}
	h.first[Unknown] = 0
	return true
}

// CopyFrom makes h a copy of src; the strings and the formatter are shared.
func (h *Headers) CopyFrom(src *Headers) {
	h.fields = append(h.fields[:0], src.fields...)
	h.size, h.first, h.arena, h.formatter = src.size, src.first, nil, src.formatter
}

// Equal reports whether both hold the same fields in the same order.
func (h *Headers) Equal(other *Headers) bool { return slices.Equal(h.fields, other.fields) }

// StatusCode returns the code of :status, 0 if it is missing or no number.
func (h *Headers) StatusCode() int {
	s := h.Get(Status)
	if len(s) != 3 {
		return 0
	}
	code := 0
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0
		}
		code = code*10 + int(c)
	}
	return code
}

// SetStatusCode sets :status. It does not allocate for codes from 100 to 599.
func (h *Headers) SetStatusCode(code int) { h.Set(Status, StatusText(code)) }

// PathWithoutQuery returns the part of :path before "?" and "#".
func (h *Headers) PathWithoutQuery() string {
	path := h.Get(Path)
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	return path
}
