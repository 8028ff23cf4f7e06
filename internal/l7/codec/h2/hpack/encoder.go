package hpack

import (
	"encoding/binary"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// maxEncoderTable bounds the table whatever the peer allows. 16 bits are enough for the
// numbers of its entries.
const maxEncoderTable = 1 << 16

// An Encoder writes the header blocks of a connection, in order.
type Encoder struct {
	table    table
	buckets  []uint16 // by bucketOf: low bits of the number of its newest entry
	smallest uint32   // size that was set since the last block, if update
	update   bool     // the size was set since the last block
	huffman  Huffman
}

// Huffman says which literals are written by the Huffman code, if they are shorter by it.
type Huffman uint8

// The choices. Only what is added to the table, and so sent once, is usually worth it.
const (
	HuffmanIndexed Huffman = iota
	HuffmanAlways
	HuffmanNever
)

// Init prepares e, with the default table size.
func (e *Encoder) Init() {
	*e = Encoder{}
	e.table.max = DefaultTableSize
}

// SetHuffman chooses what is written by the Huffman code. Init chooses HuffmanIndexed.
func (e *Encoder) SetHuffman(h Huffman) { e.huffman = h }

// SetMaxTableSize bounds the table by n: the peer's SETTINGS_HEADER_TABLE_SIZE, or
// ours if lower. It may be called between blocks only.
func (e *Encoder) SetMaxTableSize(n uint32) {
	n = min(n, maxEncoderTable)
	if n == e.table.max {
		return
	}
	if !e.update || n < e.smallest {
		e.smallest = n
	}
	e.update = true
	e.table.setMax(n)
}

// Begin is to be called before the first field of each block. It appends the table
// size updates that are due (section 4.2), most often nothing. Where the size went
// down and up again it is 0 in between: the decoder of golang.org/x/net takes a
// second update only if the table is empty.
func (e *Encoder) Begin(dst []byte) []byte {
	if !e.update {
		return dst
	}
	e.update = false
	if e.smallest < e.table.max {
		e.table.evict(0)
		dst = appendInteger(dst, 0x20, 5, 0)
	}
	return appendInteger(dst, 0x20, 5, e.table.max)
}

// Append appends a field to a block. id is httpmsg.Lookup(name); name is lower case.
// A sensitive field is written as a literal that no hop may index. The strings are
// not kept.
func (e *Encoder) Append(dst []byte, id httpmsg.ID, name, value string, sensitive bool) []byte {
	how := indexingOf(id, name, value)
	if sensitive {
		how = never
	}
	index, both := findStatic(id, name, value)
	if both && how != never {
		return appendInteger(dst, 0x80, 7, uint32(index))
	}
	if how == never {
		return appendLiteral(dst, 0x10, 4, uint32(index), name, value, e.huffman == HuffmanAlways)
	}
	size := entrySize(name, value)
	if how == without || size > uint64(e.table.max)/4*3 {
		return appendLiteral(dst, 0, 4, uint32(index), name, value, e.huffman == HuffmanAlways)
	}
	bucket, tag := bucketOf(id, name), hash(value)
	place, both := e.find(bucket, tag, id, name, value)
	if both {
		return appendInteger(dst, 0x80, 7, place)
	}
	if index == 0 {
		index = int(place)
	}
	dst = appendLiteral(dst, 0x40, 6, uint32(index), name, value, e.huffman != HuffmanNever)
	e.add(bucket, tag, id, name, value)
	return dst
}

// find searches the dynamic table for a field. It returns an index (0 for none) and
// whether the value is there as well as the name. The chain of a bucket ends where a
// number is that of no entry, or by chance that of a later one: numbers of evicted
// entries stay in it.
func (e *Encoder) find(bucket, tag uint16, id httpmsg.ID, name, value string) (index uint32, both bool) {
	if len(e.buckets) == 0 {
		return 0, false
	}
	number, last := e.buckets[int(bucket)&(len(e.buckets)-1)], uint16(0)
	for {
		age := uint16(e.table.next) - number // 1 is the newest
		if age <= last || uint32(age) > e.table.len {
			return index, false
		}
		f := e.table.at(uint32(age) - 1)
		if f.ID == id && (id != httpmsg.Unknown || f.Name == name) {
			if f.tag == tag && f.Value == value {
				return staticLen + uint32(age), true
			}
			if index == 0 {
				index = staticLen + uint32(age)
			}
		}
		number, last = f.older, age
	}
}

// add puts a copy of a field into the dynamic table.
func (e *Encoder) add(bucket, tag uint16, id httpmsg.ID, name, value string) {
	f := entry{Field: Field{ID: id}, tag: tag}
	if id != httpmsg.Unknown {
		f.Name, f.Value = id.String(), strings.Clone(value)
	} else {
		both := name + value
		f.Name, f.Value = both[:len(name)], both[len(name):]
	}
	e.table.add(f)
	if len(e.buckets) == len(e.table.ring) {
		e.link(bucket, e.table.next-1)
		return
	}
	e.buckets = make([]uint16, len(e.table.ring))
	for n := e.table.next - e.table.len; n != e.table.next; n++ {
		f := e.table.at(e.table.next - 1 - n)
		e.link(bucketOf(f.ID, f.Name), n)
	}
}

// link puts entry n in front of its bucket.
func (e *Encoder) link(bucket uint16, n uint32) {
	head := &e.buckets[int(bucket)&(len(e.buckets)-1)]
	e.table.at(e.table.next - 1 - n).older = *head
	*head = uint16(n)
}

// bucketOf returns a hash of a name.
func bucketOf(id httpmsg.ID, name string) uint16 {
	if id != httpmsg.Unknown {
		return uint16(id)
	}
	return hash(name)
}

// hash mixes the length and the two ends of s: fields are compared in any case.
func hash(s string) uint16 {
	h := uint64(len(s))
	if n := len(s); n >= 8 {
		h += load(s) + load(s[n-8:])*31
	} else {
		for i := range n {
			h = h*31 + uint64(s[i])
		}
	}
	return uint16(h * 0x9e3779b97f4a7c15 >> 48)
}

// load reads the first 8 bytes of s.
func load(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// indexing is what becomes of a field that is in no table.
type indexing uint8

const (
	incremental indexing = iota // it is added to the table
	without                     // it is not
	never                       // nor may any other hop
)

// indexingOf decides as nghttp2 does: credentials and cookies short enough to be
// guessed are never indexed, and what seldom comes twice does not push other entries
// out. Added here is what a proxy knows to be new in every message.
func indexingOf(id httpmsg.ID, name, value string) indexing {
	switch id {
	case httpmsg.Authorization:
		return never
	case httpmsg.Cookie:
		if len(value) < 20 {
			return never
		}
	case httpmsg.Path, httpmsg.ContentLength, httpmsg.Location, httpmsg.SetCookie,
		httpmsg.XRequestID, httpmsg.XEnvoyUpstreamServiceTime, httpmsg.GRPCTimeout:
		return without
	case httpmsg.Unknown:
		switch name {
		case "proxy-authorization":
			return never
		case "age", "etag", "if-modified-since", "if-none-match", "traceparent":
			return without
		}
	}
	return incremental
}

// appendLiteral appends a field whose name is at index, or spelled out if that is 0.
func appendLiteral(dst []byte, kind byte, prefix uint, index uint32, name, value string, huffman bool) []byte {
	dst = appendInteger(dst, kind, prefix, index)
	if index == 0 {
		dst = appendString(dst, name, huffman)
	}
	return appendString(dst, value, huffman)
}

// appendString appends a string literal, by the Huffman code if huffman is set and that
// is shorter.
func appendString(dst []byte, s string, huffman bool) []byte {
	if huffman {
		if n := huffmanLen(s); n < len(s) {
			return appendHuffman(appendInteger(dst, 0x80, 7, uint32(n)), s)
		}
	}
	return append(appendInteger(dst, 0, 7, uint32(len(s))), s...)
}

// appendInteger appends n with the given prefix, below the bits of kind.
func appendInteger(dst []byte, kind byte, prefix uint, n uint32) []byte {
	limit := uint32(1)<<prefix - 1
	if n < limit {
		return append(dst, kind|byte(n))
	}
	return binary.AppendUvarint(append(dst, kind|byte(limit)), uint64(n-limit))
}
