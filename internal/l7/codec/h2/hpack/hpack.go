// Package hpack is the header compression of HTTP/2 (RFC 7541).
//
// A Decoder and an Encoder belong to one connection, and are called on its worker
// only. Both are small until fields are put into their dynamic tables.
package hpack

import (
	"errors"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A Field is one header field.
type Field struct {
	// Name and Value are never changed and may be kept by anyone. Nothing is known of
	// their bytes: they are to be validated.
	Name, Value string
	// ID is httpmsg.Lookup(Name).
	ID httpmsg.ID
	// Sensitive says that the field must stay uncompressed on every hop: it came as a
	// literal that is never indexed.
	Sensitive bool
}

// An Error is a COMPRESSION_ERROR: the tables of both sides differ from now on, and
// the connection is to be closed. Its values are the Err variables here.
type Error struct{ text string }

// Error says what was wrong with the header block.
func (e *Error) Error() string { return "hpack: " + e.text }

// What can be wrong with a header block.
var (
	ErrIndex      = &Error{"index of no table entry"}
	ErrInteger    = &Error{"integer is too large"}
	ErrTruncated  = &Error{"header block is truncated"}
	ErrHuffman    = &Error{"invalid Huffman code or padding"}
	ErrSizeUpdate = &Error{"table size update is too large, misplaced or missing"}
)

// ErrStop is what the function given to Decode returns to end it at once. The
// connection cannot be used any longer.
var ErrStop = errors.New("hpack: stop")

// DefaultTableSize is the size of a dynamic table before any setting.
const DefaultTableSize = 4096

// entryOverhead is what an entry counts besides its bytes (RFC 7541, section 4.1).
const entryOverhead = 32

// A table is a dynamic table: a ring of entries that grows as needed. Its size, and
// so the number of entries, is bounded by max.
type table struct {
	ring      []entry // its length is a power of two, or 0
	next, len uint32  // the entries ever added, entry n being in slot n of the ring; those there now
	size, max uint32  // in the bytes of section 4.1
}

// An entry owns its strings, so that it does not keep a header block alive. What an
// Encoder searches by is 0 in a Decoder.
type entry struct {
	Field
	tag   uint16 // hash of the value
	older uint16 // low bits of the number of the previous entry in the same bucket
}

func entrySize(name, value string) uint64 {
	return uint64(len(name)) + uint64(len(value)) + entryOverhead
}

// at returns the i-th newest entry, 0 being the newest; i < t.len.
func (t *table) at(i uint32) *entry {
	return &t.ring[(t.next-1-i)&uint32(len(t.ring)-1)]
}

// add makes room for e and puts it in; one that is larger than the table empties it.
func (t *table) add(e entry) {
	size := entrySize(e.Name, e.Value)
	if size > uint64(t.max) {
		t.evict(0)
		return
	}
	t.evict(t.max - uint32(size))
	if t.len == uint32(len(t.ring)) {
		t.grow()
	}
	t.ring[t.next&uint32(len(t.ring)-1)] = e
	t.next++
	t.len++
	t.size += uint32(size)
}

func (t *table) grow() {
	ring := make([]entry, max(8, 2*t.len))
	for n := t.next - t.len; n != t.next; n++ {
		ring[n&uint32(len(ring)-1)] = t.ring[n&uint32(len(t.ring)-1)]
	}
	t.ring = ring
}

// evict removes the oldest entries until size is at most limit.
func (t *table) evict(limit uint32) {
	for t.size > limit {
		e := t.at(t.len - 1)
		t.size -= uint32(entrySize(e.Name, e.Value))
		*e = entry{}
		t.len--
	}
}

// setMax changes the bound of the size.
func (t *table) setMax(limit uint32) {
	t.max = limit
	t.evict(limit)
}
