package hpack

import (
	"math"
	"slices"
	"unsafe"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// A Decoder reads the header blocks of a connection, in order.
type Decoder struct {
	table    table
	limit    uint32 // of table.max
	setting  uint32 // what limit becomes when our settings are acknowledged
	mustSync bool   // the next block begins with a size update
	current  Field  // one that is in no table
}

// Init prepares d. maxTableSize is the SETTINGS_HEADER_TABLE_SIZE that we announce.
// Until SettingsAcked the peer may go by the default, if that is larger.
func (d *Decoder) Init(maxTableSize uint32) {
	*d = Decoder{setting: maxTableSize, limit: max(maxTableSize, DefaultTableSize)}
	d.table.max = DefaultTableSize
}

// SettingsAcked says that the peer has acknowledged the settings. A table that is
// larger than announced must be made smaller at the beginning of the next block.
func (d *Decoder) SettingsAcked() {
	d.limit = d.setting
	d.mustSync = d.table.max > d.limit
}

// Decode reads a whole header block and calls emit for each field, which emit must
// neither change nor keep; it may keep the strings. Decode keeps no part of block. If
// emit returns an error, the rest is decoded but not emitted, so that the table stays
// right, and the error is returned at the end; ErrStop ends Decode at once. An *Error
// about the block itself takes precedence.
func (d *Decoder) Decode(block []byte, emit func(*Field) error) error {
	_, err := d.DecodeMessage(block, emit)
	return err
}

// DecodeMessage is Decode, and returns the memory behind the strings of the block, for
// those that its message gets later.
func (d *Decoder) DecodeMessage(block []byte, emit func(*Field) error) (room []byte, err error) {
	r := reader{in: block}
	err = d.decode(&r, emit)
	d.current = Field{} // its strings are the message's
	return r.out[len(r.out):], err
}

func (d *Decoder) decode(r *reader, emit func(*Field) error) error {
	var result error
	if err := d.sizeUpdates(r); err != nil {
		return err
	}
	for len(r.in) > 0 {
		f, err := d.field(r)
		if err != nil {
			return err
		}
		if result == nil {
			result = emit(f)
			if result == ErrStop { //nolint:errorlint // the data path, and ErrStop is returned bare
				return result
			}
		}
	}
	return result
}

// sizeUpdates reads the table size updates at the beginning of a block.
func (d *Decoder) sizeUpdates(r *reader) error {
	for len(r.in) > 0 && r.in[0]&0xe0 == 0x20 {
		size, err := r.integer(5)
		if err != nil {
			return err
		}
		if size > d.limit {
			return ErrSizeUpdate
		}
		d.table.setMax(size)
		d.mustSync = false
	}
	if d.mustSync {
		return ErrSizeUpdate
	}
	return nil
}

// field reads one field; r.in is not empty. The field is good until the next one is read.
func (d *Decoder) field(r *reader) (*Field, error) {
	switch first := r.in[0]; {
	case first&0x80 != 0:
		index, err := r.integer(7)
		if err != nil {
			return nil, err
		}
		return d.at(index)
	case first&0x40 != 0:
		return d.added(r)
	case first&0x20 != 0:
		return nil, ErrSizeUpdate
	default:
		return d.literal(r, first&0x10 != 0)
	}
}

// at returns the field with that index in both tables.
func (d *Decoder) at(index uint32) (*Field, error) {
	switch {
	case index == 0:
		return nil, ErrIndex
	case index <= staticLen:
		return &staticFields[index], nil
	case index-staticLen > d.table.len:
		return nil, ErrIndex
	}
	return &d.table.at(index - staticLen - 1).Field, nil
}

// begin begins a literal whose name is that of the field at index, or follows if it is 0.
func (d *Decoder) begin(index uint32) (*Field, error) {
	d.current = Field{}
	if index != 0 {
		named, err := d.at(index)
		if err != nil {
			return nil, err
		}
		d.current.ID, d.current.Name = named.ID, named.Name
	}
	return &d.current, nil
}

// literal reads a literal that is not indexed. Its strings lie in r.out.
func (d *Decoder) literal(r *reader, sensitive bool) (*Field, error) {
	index, err := r.integer(4)
	if err != nil {
		return nil, err
	}
	f, err := d.begin(index)
	if err != nil {
		return nil, err
	}
	if index == 0 {
		if f.Name, err = r.text(); err != nil {
			return nil, err
		}
		f.ID = httpmsg.Lookup(f.Name)
	}
	f.Sensitive = sensitive
	f.Value, err = r.text()
	return f, err
}

// added reads a literal with incremental indexing and adds its entry, which shares
// its strings with the field. A constant name is not copied; one of another entry is,
// or that entry's memory would live as long as this one.
func (d *Decoder) added(r *reader) (*Field, error) {
	index, err := r.integer(6)
	if err != nil {
		return nil, err
	}
	f, err := d.begin(index)
	if err != nil {
		return nil, err
	}
	var scratch [512]byte // enough for most
	b := scratch[:0]
	if index == 0 {
		if b, err = r.literal(b); err != nil {
			return nil, err
		}
	} else if f.ID == httpmsg.Unknown && index > staticLen {
		b = append(b, f.Name...)
	}
	name := len(b)
	if b, err = r.literal(b); err != nil {
		return nil, err
	}
	s := string(b)
	f.Value = s[name:]
	if index == 0 {
		f.ID = httpmsg.Lookup(s[:name])
	}
	switch {
	case f.ID != httpmsg.Unknown:
		f.Name = f.ID.String()
	case index == 0 || index > staticLen:
		f.Name = s[:name]
	}
	d.table.add(entry{Field: *f})
	return f, nil
}

// laterRoom is enough for what the proxy usually adds: a request id.
const laterRoom = 48

// A reader is a position in a header block, and the strings of its literals.
type reader struct {
	in  []byte
	out []byte
}

// integer reads an integer whose first byte, which is there, has it in the low prefix
// bits (section 5.1).
func (r *reader) integer(prefix uint) (uint32, error) {
	limit := uint64(1)<<prefix - 1
	n := uint64(r.in[0]) & limit
	r.in = r.in[1:]
	if n < limit {
		return uint32(n), nil
	}
	for shift := 0; shift <= 28; shift += 7 {
		if len(r.in) == 0 {
			return 0, ErrTruncated
		}
		b := r.in[0]
		r.in = r.in[1:]
		n += uint64(b&0x7f) << shift
		if n > math.MaxUint32 {
			return 0, ErrInteger
		}
		if b&0x80 == 0 {
			return uint32(n), nil
		}
	}
	return 0, ErrInteger
}

// literal appends a string literal (section 5.2) to dst.
func (r *reader) literal(dst []byte) ([]byte, error) {
	if len(r.in) == 0 {
		return dst, ErrTruncated
	}
	coded := r.in[0]&0x80 != 0
	n, err := r.integer(7)
	if err != nil {
		return dst, err
	}
	if uint64(n) > uint64(len(r.in)) {
		return dst, ErrTruncated
	}
	p := r.in[:n]
	r.in = r.in[n:]
	if coded {
		return decodeHuffman(slices.Grow(dst, maxDecoded(len(p))), p)
	}
	return append(dst, p...), nil
}

// text reads a literal into r.out, which is made once for all that may follow: what
// lies in it is never written again.
func (r *reader) text() (string, error) {
	if r.out == nil {
		r.out = make([]byte, 0, maxDecoded(len(r.in))+laterRoom)
	}
	begin := len(r.out)
	var err error
	if r.out, err = r.literal(r.out); err != nil || len(r.out) == begin {
		return "", err
	}
	return unsafe.String(&r.out[begin], len(r.out)-begin), nil
}
