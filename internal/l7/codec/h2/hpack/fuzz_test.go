package hpack

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	xhpack "golang.org/x/net/http2/hpack"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A reference is the decoder of golang.org/x/net.
type reference struct {
	d    *xhpack.Decoder
	list []Field
}

func newReference() *reference {
	r := &reference{}
	r.d = xhpack.NewDecoder(DefaultTableSize, func(f xhpack.HeaderField) {
		r.list = append(r.list, Field{ID: httpmsg.Lookup(f.Name), Name: f.Name, Value: f.Value, Sensitive: f.Sensitive})
	})
	r.d.SetAllowedMaxDynamicTableSize(maxEncoderTable)
	return r
}

func (r *reference) decode(block []byte) ([]Field, error) {
	r.list = nil
	_, err := r.d.Write(block)
	return r.list, errors.Join(err, r.d.Close())
}

// FuzzDecoder decodes three blocks of a connection here and by the reference, which
// differs only in how long an integer may be and where it takes size updates.
func FuzzDecoder(f *testing.F) {
	for _, test := range appendixC {
		var blocks [3][]byte
		for i, x := range test.exchanges {
			blocks[i] = unhex(f, x.block)
		}
		f.Add(blocks[0], blocks[1], blocks[2])
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		var d Decoder
		d.Init(maxEncoderTable)
		ref := newReference()
		for _, block := range [][]byte{a, b, c} {
			got, err := decodeAll(&d, block)
			want, refErr := ref.decode(block)
			var class *Error
			switch {
			case err != nil && !errors.As(err, &class):
				t.Fatalf("%T", err)
			case refErr != nil && strings.Contains(refErr.Error(), "MUST occur at the beginning"):
				return
			case errors.Is(err, ErrInteger), errors.Is(err, ErrSizeUpdate):
				return
			case (err == nil) != (refErr == nil):
				t.Fatalf("error %v, but the reference has %v", err, refErr)
			case !slices.Equal(got, want):
				t.Fatalf("got  %+v\nwant %+v", got, want)
			case err != nil:
				return
			}
			checkTable(t, &d.table)
		}
	})
}

func checkTable(t *testing.T, table *table) {
	t.Helper()
	var size uint64
	for i := range table.len {
		e := table.at(i)
		size += entrySize(e.Name, e.Value)
		if e.ID != httpmsg.Lookup(e.Name) {
			t.Fatalf("%q has ID %d", e.Name, e.ID)
		}
	}
	if size != uint64(table.size) || table.size > table.max || int(table.len) > len(table.ring) {
		t.Fatalf("table of %d bytes says %d, of at most %d", size, table.size, table.max)
	}
}

var fuzzNames = []string{":method", ":path", ":status", "cookie", "authorization", "date", "accept-encoding", "x-a", "x-b", "x-request-id", ""}

// FuzzEncoder encodes blocks made of script, and decodes them here and by the
// reference.
func FuzzEncoder(f *testing.F) {
	f.Add([]byte("\x00\x03GET\x07\x05value\xf0\x07\x05value\xf1\x01\x08\x05value\x07\x00"))
	f.Add([]byte("\x07\x20" + strings.Repeat("v", 32) + "\xf1\x00\xf1\x40\x07\x20" + strings.Repeat("v", 32) + "\xf0\x03\x02ab"))
	f.Fuzz(func(t *testing.T, script []byte) {
		var e Encoder
		e.Init()
		var d Decoder
		d.Init(maxEncoderTable)
		ref := newReference()
		for len(script) > 0 {
			var list []Field
			list, script = nextBlock(&e, script)
			block := encode(&e, list)
			if got, err := decodeAll(&d, block); err != nil || !sameFields(got, list) {
				t.Fatalf("%x\ngot  %+v, %v\nwant %+v", block, got, err, list)
			}
			if got, err := ref.decode(block); err != nil || !sameFields(got, list) {
				t.Fatalf("%x\nthe reference got  %+v, %v\nwant %+v", block, got, err, list)
			}
			checkTable(t, &e.table)
			if ours, theirs := tableLines(&e.table), tableLines(&d.table); !slices.Equal(ours, theirs) || e.table.max != d.table.max {
				t.Fatalf("tables differ: %q\n%q", ours, theirs)
			}
		}
	})
}

// nextBlock reads (name, length, value) triples up to a byte of 0xf0 or above, which
// ends the block; behind 0xf1 the size of the table follows, in units of 64 bytes.
func nextBlock(e *Encoder, script []byte) (list []Field, rest []byte) {
	for len(script) >= 2 && script[0] < 0xf0 {
		n := min(int(script[1])*int(script[0]/16+1), len(script)-2)
		name := fuzzNames[int(script[0])%len(fuzzNames)]
		list = append(list, Field{ID: httpmsg.Lookup(name), Name: name, Value: string(script[2 : 2+n]), Sensitive: script[0]&0x80 != 0})
		script = script[2+n:]
	}
	for len(script) >= 2 && script[0] == 0xf1 {
		e.SetMaxTableSize(uint32(script[1]) * 64)
		script = script[2:]
	}
	return list, script[min(1, len(script)):]
}

// sameFields compares but for Sensitive, which the encoder sets for credentials too.
func sameFields(got, want []Field) bool {
	return slices.EqualFunc(got, want, func(a, b Field) bool {
		return a.ID == b.ID && a.Name == b.Name && a.Value == b.Value && (a.Sensitive || !b.Sensitive)
	})
}

// FuzzHuffman compares with the reference, both ways.
func FuzzHuffman(f *testing.F) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	f.Add(all)
	f.Add(unhex(f, "f1e3 c2e5 f23a 6ba0 ab90 f4ff"))
	f.Add(unhex(f, "ffff ffff"))
	f.Fuzz(func(t *testing.T, p []byte) {
		coded := appendHuffman(nil, string(p))
		if want := xhpack.AppendHuffmanString(nil, string(p)); !bytes.Equal(coded, want) || huffmanLen(string(p)) != len(want) {
			t.Fatalf("%x means %x, not %x", p, want, coded)
		}
		if back, err := decodeHuffman(nil, coded); err != nil || !bytes.Equal(back, p) {
			t.Fatalf("%x comes back as %x, %v", p, back, err)
		}
		got, err := decodeHuffman(nil, p)
		want, refErr := xhpack.HuffmanDecodeToString(p)
		if (err == nil) != (refErr == nil) || err == nil && string(got) != want {
			t.Fatalf("%x means %q, %v, not %q, %v", p, want, refErr, got, err)
		}
	})
}
