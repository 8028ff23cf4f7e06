package hpack

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

func TestSizes(t *testing.T) {
	if d, e := unsafe.Sizeof(Decoder{}), unsafe.Sizeof(Encoder{}); d > 96 || e > 80 {
		t.Errorf("a Decoder has %d bytes, an Encoder %d", d, e)
	}
}

func TestStaticTable(t *testing.T) {
	for i := 1; i <= staticLen; i++ {
		f := staticFields[i]
		if index, both := findStatic(f.ID, f.Name, f.Value); index != i || !both {
			t.Errorf("%s: %s is found at %d, not %d", f.Name, f.Value, index, i)
		}
		index, both := findStatic(f.ID, f.Name, "other")
		if both || staticFields[index].Name != f.Name || staticFields[index-1].Name == f.Name {
			t.Errorf("%s is found at %d, %v", f.Name, index, both)
		}
	}
	for _, name := range []string{"x", "", "accept-encodinG", "x-request-id"} {
		if index, _ := findStatic(httpmsg.Lookup(name), name, ""); index != 0 {
			t.Errorf("%q is found at %d", name, index)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	tests := []struct {
		name, block string
		want        error
	}{
		{"index 0", "80", ErrIndex},
		{"index of no entry", "be", ErrIndex},
		{"huge index", "ff ff ff ff ff 0f", ErrInteger},
		{"largest index", "ff 80 ff ff ff 0f", ErrIndex},
		{"name of no entry", "7e 01 61", ErrIndex},
		{"name of no entry, not indexed", "0f 2f 01 61", ErrIndex},
		{"integer of six bytes", "ff 80 80 80 80 80 00", ErrInteger},
		{"integer of 33 bits", "ff 80 80 80 80 10", ErrInteger},
		{"truncated index", "ff 80", ErrTruncated},
		{"truncated index at once", "ff", ErrTruncated},
		{"no name", "40", ErrTruncated},
		{"no name, not indexed", "00", ErrTruncated},
		{"short name", "40 02 61", ErrTruncated},
		{"no value", "41", ErrTruncated},
		{"no value after a name", "40 01 61", ErrTruncated},
		{"short value", "00 01 61 03 61 62", ErrTruncated},
		{"huge length", "00 01 61 7f ff ff ff ff 0f", ErrInteger},
		{"largest length", "00 01 61 7f 80 ff ff ff 0f", ErrTruncated},
		{"EOS", "00 01 61 84 ff ff ff ff", ErrHuffman},
		{"EOS in the middle", "40 01 61 85 ff ff ff fc 1f", ErrHuffman},
		{"padding of 8 bits", "00 01 61 82 1f ff", ErrHuffman},
		{"only padding", "00 01 61 81 ff", ErrHuffman},
		{"padding of zeros", "00 01 61 81 18", ErrHuffman},
		{"half of a long code", "00 01 61 82 ff fe", ErrHuffman},
		{"size update above the setting", "3f e2 1f", ErrSizeUpdate},
		{"huge size update", "3f ff ff ff ff 0f", ErrInteger},
		{"size update behind a field", "82 20", ErrSizeUpdate},
		{"truncated size update", "3f", ErrTruncated},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var d Decoder
			d.Init(4096)
			_, err := decodeAll(&d, unhex(t, test.block))
			if err != test.want {
				t.Errorf("error %v, want %v", err, test.want)
			}
			var class *Error
			if !errors.As(err, &class) {
				t.Errorf("%T", err)
			}
		})
	}
}

func TestDecodeAccepts(t *testing.T) {
	tests := []struct {
		name, block string
		want        []Field
	}{
		{"empty block", "", nil},
		{"empty strings", "40 00 00 be 00 80 80 7e 00 0f 2f 01 61", []Field{{}, {}, {}, {}, {Value: "a"}}},
		{"size updates", "20 3f e1 1f 20 82", fields(":method: GET")},
		{"padding of 3 and 7 bits", "00 01 61 81 1f 00 01 61 83 1c 71 ff", fields("a: a", "a: abb")},
		{"five bytes of an integer", "0f 80 80 80 80 00 01 61", fields("accept-charset: a")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var d Decoder
			d.Init(4096)
			if got, err := decodeAll(&d, unhex(t, test.block)); err != nil || !slices.Equal(got, test.want) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// TestEmitErrors wants the rest of a block to be decoded, but not emitted.
func TestEmitErrors(t *testing.T) {
	refused := errors.New("refused")
	block := unhex(t, "82 40 01 61 01 62 84")
	for _, test := range []struct {
		result error
		table  uint32
	}{{refused, 1}, {ErrStop, 0}} {
		var d Decoder
		d.Init(4096)
		calls := 0
		err := d.Decode(block, func(*Field) error { calls++; return test.result })
		if !errors.Is(err, test.result) || calls != 1 || d.table.len != test.table {
			t.Errorf("%v after %d calls, with %d entries", err, calls, d.table.len)
		}
	}
	var d Decoder
	d.Init(4096)
	if err := d.Decode([]byte{0x82, 0x80}, func(*Field) error { return refused }); !errors.Is(err, ErrIndex) {
		t.Errorf("a broken block is hidden by %v", err)
	}
}

func TestSettings(t *testing.T) {
	add, toZero, to8192 := unhex(t, "40 01 61 01 62"), []byte{0x20}, unhex(t, "3f e1 3f")
	var d Decoder
	d.Init(0)
	if _, err := decodeAll(&d, add); err != nil || d.table.len != 1 {
		t.Errorf("before the acknowledgement: %v", err)
	}
	d.SettingsAcked()
	late := d
	if _, err := decodeAll(&late, []byte{0x82}); !errors.Is(err, ErrSizeUpdate) {
		t.Errorf("without the update: %v", err)
	}
	if got, err := decodeAll(&d, append(toZero, add...)); err != nil || len(got) != 1 || d.table.len != 0 {
		t.Errorf("with the update: %v", err)
	}
	if _, err := decodeAll(&d, add); err != nil {
		t.Errorf("one block later: %v", err)
	}

	d.Init(8192)
	d.SettingsAcked()
	if _, err := decodeAll(&d, add); err != nil || d.table.max != 4096 {
		t.Errorf("a larger table needs no update: %v", err)
	}
	if _, err := decodeAll(&d, to8192); err != nil || d.table.max != 8192 {
		t.Errorf("a larger table: %v", err)
	}
}

// TestNoPinning wants an entry not to keep the memory of another entry or of a block.
func TestNoPinning(t *testing.T) {
	var d Decoder
	d.Init(4096)
	// "n" with a long value, then "n" again by its index, with a short one.
	block := append(unhex(t, "40 01 6e 7f 81 10"), strings.Repeat("v", 2176)...)
	if _, err := decodeAll(&d, append(block, unhex(t, "7e 01 77")...)); err != nil {
		t.Fatal(err)
	}
	old, young := d.table.at(1), d.table.at(0)
	if young.Name != old.Name || unsafe.StringData(young.Name) == unsafe.StringData(old.Name) {
		t.Errorf("%q and %q share memory", young.Name, old.Name)
	}
	if unsafe.StringData(young.Value) != (*byte)(unsafe.Add(unsafe.Pointer(unsafe.StringData(young.Name)), 1)) {
		t.Errorf("name and value are not in one piece")
	}
}

func TestTableBounds(t *testing.T) {
	var d Decoder
	d.Init(4096)
	for i := range 1000 { // entries without name and value are the smallest
		if _, err := decodeAll(&d, []byte{0x40, 0, 0}); err != nil {
			t.Fatal(err)
		}
		if want := min(i+1, 128); int(d.table.len) != want || len(d.table.ring) > 128 {
			t.Fatalf("%d entries in a ring of %d after %d", d.table.len, len(d.table.ring), i+1)
		}
	}
	if _, err := decodeAll(&d, append(unhex(t, "41 7f 81 20"), make([]byte, 4224)...)); err != nil || d.table.len != 0 {
		t.Errorf("an entry larger than the table leaves %d, %v", d.table.len, err)
	}
}

func TestEncoderIndexing(t *testing.T) {
	tests := []struct {
		line       string
		first, rep byte // the bits that say how, for the first time and the second
	}{
		{":method: GET", 0x80, 0x80},
		{":method: PURGE", 0x40, 0x80},
		{":path: /", 0x80, 0x80},
		{":path: /a", 0, 0},
		{"authorization: Basic 1", 0x10, 0x10},
		{"proxy-authorization: Basic 1", 0x10, 0x10},
		{"cookie: short", 0x10, 0x10},
		{"cookie: long enough to be secure", 0x40, 0x80},
		{"set-cookie: a=b", 0, 0},
		{"content-length: 17", 0, 0},
		{"x-request-id: 1", 0, 0},
		{"etag: 1", 0, 0},
		{"user-agent: me", 0x40, 0x80},
		{"!user-agent: me", 0x10, 0x10},
		{"!:method: GET", 0x10, 0x10},
		{"x-unknown: me", 0x40, 0x80},
		{"x-large: " + strings.Repeat("~", 3100), 0, 0},
		{"accept: ", 0x80, 0x80},
	}
	kind := func(b byte) byte {
		for _, bit := range []byte{0x80, 0x40, 0x20, 0x10} {
			if b&bit != 0 {
				return bit
			}
		}
		return 0
	}
	for _, test := range tests {
		var e Encoder
		e.Init()
		list := fields(test.line)
		first, second := encode(&e, list), encode(&e, list)
		if kind(first[0]) != test.first || kind(second[0]) != test.rep {
			t.Errorf("%s: %x, then %x", test.line, first, second)
		}
	}
}

func TestEncoderSizeUpdates(t *testing.T) {
	add := fields("a: b")
	tests := []struct {
		name  string
		sizes []uint32
		want  string
		kept  bool
	}{
		{"same", []uint32{4096}, "", true},
		{"smaller", []uint32{100}, "3f 45", true},
		{"zero", []uint32{0}, "20", false},
		{"larger", []uint32{8192}, "3f e1 3f", true},
		{"down and up", []uint32{100, 4096}, "20 3f e1 1f", false},
		{"up and down", []uint32{8192, 100}, "3f 45", true},
		{"three times", []uint32{200, 100, 300}, "20 3f 8d 02", false},
		{"too large", []uint32{1 << 31}, "3f e1 ff 03", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var e Encoder
			e.Init()
			encode(&e, add)
			for _, n := range test.sizes {
				e.SetMaxTableSize(n)
			}
			got := e.Begin(nil)
			if want := unhex(t, test.want); !slices.Equal(got, want) {
				t.Errorf("%x, want %x", got, want)
			}
			if kept := e.table.len == 1; kept != test.kept {
				t.Errorf("kept: %v", kept)
			}
			if again := e.Begin(nil); len(again) != 0 {
				t.Errorf("again %x", again)
			}
		})
	}
}

func TestAllocations(t *testing.T) {
	var d Decoder
	d.Init(4096)
	var e Encoder
	e.Init()
	list := typicalRequest
	encode(&e, list)
	indexed := unhex(t, "82 86 84 be")
	if _, err := decodeAll(&d, unhex(t, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff")); err != nil {
		t.Fatal(err)
	}
	var literals []byte
	for range 50 {
		literals = append(literals, unhex(t, "00 88 25a8 49e9 5ba9 7d7f 89 25a8 49e9 5bb8 e8b4 bf 04 02 2f61")...)
	}
	dst := make([]byte, 0, 4096)
	emit := func(*Field) error { return nil }
	decode := func(block []byte) func() {
		return func() {
			if err := d.Decode(block, emit); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		most float64
		f    func()
	}{
		"only indexed fields": {0, decode(indexed)},
		"literals":            {1, decode(literals)},
		"one entry":           {1, decode(unhex(t, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"))},
		"encode again": {0, func() {
			dst = e.Begin(dst[:0])
			for i := range list {
				dst = e.Append(dst, list[i].ID, list[i].Name, list[i].Value, false)
			}
		}},
	} {
		if n := testing.AllocsPerRun(100, test.f); n > test.most {
			t.Errorf("%s: %v allocations, more than %v", name, n, test.most)
		}
	}
}

var typicalRequest = fields(":method: GET", ":scheme: https", ":authority: www.example.com", ":path: /api/v1/users/4711?expand=groups",
	"user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "accept: text/html,application/xhtml+xml",
	"accept-language: en-US,en;q=0.5", "accept-encoding: gzip, deflate, br, zstd", "referer: https://www.example.com/start",
	"cookie: session=0123456789abcdef0123456789abcdef; theme=dark", "sec-fetch-dest: document", "sec-fetch-mode: navigate",
	"sec-fetch-site: same-origin", "x-request-id: 6a2c3f2e-8a5e-4f5b-9d0c-2f6b1c7a9e11", "x-forwarded-proto: https")

// TestManyEntries lets the numbers of entries wrap around in the encoder's chains.
func TestManyEntries(t *testing.T) {
	var e Encoder
	e.Init()
	var d Decoder
	d.Init(4096)
	for i := range 150_000 {
		list := []Field{{Name: "x-often", Value: strconv.Itoa(i % 7)}, {Name: "x-" + strconv.Itoa(i%5), Value: strconv.Itoa(i)}}
		block := encode(&e, list)
		if got, err := decodeAll(&d, block); err != nil || !slices.Equal(got, list) {
			t.Fatalf("%d: %v, %v, want %v", i, got, err, list)
		}
		number := e.table.next
		if _, err := decodeAll(&d, encode(&e, list)); err != nil || e.table.next != number {
			t.Fatalf("%d: entries that are there are not found", i)
		}
	}
}

// TestHuffman sees who is worth the Huffman code.
func TestHuffman(t *testing.T) {
	block := func(h Huffman, name, value string) string {
		var e Encoder
		e.Init()
		e.SetHuffman(h)
		return string(e.Append(nil, httpmsg.Lookup(name), name, value, false))
	}
	const value = "wwwwwwwwww"
	for _, c := range []struct {
		huffman Huffman
		name    string
		plain   bool
	}{
		{HuffmanIndexed, "x-a", false}, {HuffmanAlways, "x-a", false}, {HuffmanNever, "x-a", true},
		{HuffmanIndexed, "etag", true}, {HuffmanAlways, "etag", false}, {HuffmanNever, "etag", true},
	} {
		if got := strings.Contains(block(c.huffman, c.name, value), value); got != c.plain {
			t.Errorf("%d: %s is plain: %v", c.huffman, c.name, got)
		}
	}
}
