package proxyheader

import (
	"encoding/binary"
	"math"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// maxTLVs is the room for TLVs, beside the addresses, in a header's length.
const maxTLVs = math.MaxUint16 - 36

// AppendTLVs appends TLVs as a header has them. It reports whether all had room; what had
// not is left out.
func AppendTLVs(b []byte, tlvs []streaminfo.TLV) (_ []byte, fit bool) {
	begin := len(b)
	fit = true
	for _, t := range tlvs {
		if len(b)-begin+3+len(t.Value) > maxTLVs {
			fit = false
			continue
		}
		b = append(b, t.Type)
		b = binary.BigEndian.AppendUint16(b, uint16(len(t.Value)))
		b = append(b, t.Value...)
	}
	return b, fit
}

// Before returns the TLVs of first, and those of second that are of another type. A type may
// come several times in each.
func Before(first, second []streaminfo.TLV) []streaminfo.TLV {
	var seen [256]bool
	for _, t := range first {
		seen[t.Type] = true
	}
	all := first[:len(first):len(first)]
	for _, t := range second {
		if !seen[t.Type] {
			all = append(all, t)
		}
	}
	return all
}

// A TLV is configured: its value is text, or made for each header.
type TLV struct {
	kind   byte
	value  []byte
	format format.Format // nil: value
}

// ReadTLVs reads the messages at path. Errors go to errs. Main goroutine.
func ReadTLVs(msgs []*corev3.TlvEntry, formats format.Compiler, path conf.Path, errs *conf.Errors) (tlvs []TLV) {
	for i, m := range msgs {
		at := path.Index(i)
		if m.GetType() > math.MaxUint8 {
			errs.Add(at.Field("type"), "must be less than 256")
		}
		t := TLV{kind: byte(m.GetType()), value: m.GetValue()}
		switch {
		case m.GetFormatString() == nil && len(t.value) == 0:
			errs.Add(at, "one of value and format_string must be set")
		case m.GetFormatString() == nil:
		case len(t.value) > 0:
			errs.Add(at, "only one of value and format_string may be set")
		default:
			t.format = formats.FromProto(m.GetFormatString(), at.Field("format_string"), errs)
		}
		tlvs = append(tlvs, t)
	}
	return tlvs
}

// Values makes the TLVs of a header for what e describes.
func Values(tlvs []TLV, e *format.Entry) []streaminfo.TLV {
	values := make([]streaminfo.TLV, 0, len(tlvs))
	for i := range tlvs {
		t := &tlvs[i]
		value := t.value
		if t.format != nil {
			value = t.format.Append(nil, e)
		}
		values = append(values, streaminfo.TLV{Type: t.kind, Value: value})
	}
	return values
}
