package grpcaccesslog

import (
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nuncio-proxy/nuncio/api/address"
)

// An Encoder appends the fields of a message in the wire format: an entry is written
// where it is sent from, without a message object in between. As in proto3, a field with
// the value zero is left out.
type Encoder struct{ b []byte }

// Number adds a field of a varint type, enum included.
func (e *Encoder) Number(field protowire.Number, v uint64) {
	if v != 0 {
		e.b = protowire.AppendTag(e.b, field, protowire.VarintType)
		e.b = protowire.AppendVarint(e.b, v)
	}
}

// Bool adds a field of type bool.
func (e *Encoder) Bool(field protowire.Number, v bool) {
	if v {
		e.Number(field, 1)
	}
}

// Text adds a string. What is no UTF-8 in it becomes "!", as in Envoy.
func (e *Encoder) Text(field protowire.Number, s string) {
	if s == "" {
		return
	}
	if !utf8.ValidString(s) {
		s = sanitize(s)
	}
	e.b = protowire.AppendTag(e.b, field, protowire.BytesType)
	e.b = protowire.AppendString(e.b, s)
}

// sanitize replaces each byte that is part of no character.
func sanitize(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b.WriteByte('!')
		} else {
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// Bytes adds a message that is encoded already, also an empty one.
func (e *Encoder) Bytes(field protowire.Number, p []byte) {
	e.b = protowire.AppendTag(e.b, field, protowire.BytesType)
	e.b = protowire.AppendBytes(e.b, p)
}

// Begin starts a message whose fields follow, and returns where; End with that ends it.
func (e *Encoder) Begin(field protowire.Number) (start int) {
	e.b = protowire.AppendTag(e.b, field, protowire.BytesType)
	e.b = append(e.b, 0) // the length, which is one byte of most messages
	return len(e.b)
}

// End completes a message.
func (e *Encoder) End(start int) {
	size := len(e.b) - start
	if size < 1<<7 {
		e.b[start-1] = byte(size)
		return
	}
	more := protowire.SizeVarint(uint64(size)) - 1
	e.b = append(e.b, "\x00\x00\x00\x00\x00\x00\x00\x00\x00"[:more]...)
	copy(e.b[start+more:], e.b[start:start+size])
	protowire.AppendVarint(e.b[:start-1], uint64(size))
}

// Entry adds an entry of a map of strings.
func (e *Encoder) Entry(field protowire.Number, key, value string) {
	start := e.Begin(field)
	e.Text(1, key)
	e.Text(2, value)
	e.End(start)
}

// seconds adds the fields of a Timestamp or Duration.
func (e *Encoder) seconds(field protowire.Number, seconds int64, nanos int32) {
	start := e.Begin(field)
	e.Number(1, uint64(seconds))
	e.Number(2, uint64(int64(nanos)))
	e.End(start)
}

// Time adds a Timestamp.
func (e *Encoder) Time(field protowire.Number, t time.Time) {
	e.seconds(field, t.Unix(), int32(t.Nanosecond()))
}

// Since adds the Duration from start to t, unless t is zero: it did not come to that.
func (e *Encoder) Since(field protowire.Number, start, t time.Time) {
	if !t.IsZero() {
		d := t.Sub(start)
		e.seconds(field, int64(d/time.Second), int32(d%time.Second))
	}
}

// Address adds an Address of envoy.config.core.v3, unless a is none.
func (e *Encoder) Address(field protowire.Number, a address.Address) {
	if !a.IsValid() {
		return
	}
	outer := e.Begin(field)
	if a.IsUnix() {
		pipe := e.Begin(2)
		e.Text(1, a.Path())
		e.End(pipe)
	} else {
		socket := e.Begin(1)
		e.Text(2, a.WithoutPort())
		e.Number(3, uint64(a.Port()))
		e.End(socket)
	}
	e.End(outer)
}
