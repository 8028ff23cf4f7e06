package streaminfo

import (
	"encoding/asn1"
	"encoding/hex"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// attribute is one part of a distinguished name. asn1 stands in its way with strings of
// any kind, so the value stays raw.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type attributeSET []attribute

// distinguishedName renders a Name in DER by RFC 2253, as BoringSSL does: names of
// attributes short, other bytes than printable ASCII as \XX, and what has no name or no
// text as #hex. Of what is no Name it returns "".
func distinguishedName(der []byte) string {
	var sequence []attributeSET
	if rest, err := asn1.Unmarshal(der, &sequence); err != nil || len(rest) > 0 {
		return ""
	}
	var b strings.Builder
	for i := len(sequence) - 1; i >= 0; i-- {
		for j := len(sequence[i]) - 1; j >= 0; j-- {
			if b.Len() > 0 {
				if j == len(sequence[i])-1 {
					b.WriteByte(',')
				} else {
					b.WriteByte('+')
				}
			}
			writeAttribute(&b, sequence[i][j])
		}
	}
	return b.String()
}

func writeAttribute(b *strings.Builder, a attribute) {
	oid := a.Type.String()
	name := attributeName(oid)
	text, ok := asn1Text(a.Value)
	if name == "" {
		name, ok = oid, false
	}
	b.WriteString(name)
	b.WriteByte('=')
	if !ok {
		b.WriteByte('#')
		b.WriteString(strings.ToUpper(hex.EncodeToString(a.Value.FullBytes)))
		return
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case strings.IndexByte(`,+"\<>;`, c) >= 0, c == '#' && i == 0, c == ' ' && (i == 0 || i == len(text)-1):
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			const digits = "0123456789ABCDEF"
			b.WriteByte('\\')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		default:
			b.WriteByte(c)
		}
	}
}

// attributeName returns the short name of an attribute, "" for one without.
func attributeName(oid string) string {
	switch oid {
	case "2.5.4.3":
		return "CN"
	case "2.5.4.4":
		return "SN"
	case "2.5.4.5":
		return "serialNumber"
	case "2.5.4.6":
		return "C"
	case "2.5.4.7":
		return "L"
	case "2.5.4.8":
		return "ST"
	case "2.5.4.9":
		return "street"
	case "2.5.4.10":
		return "O"
	case "2.5.4.11":
		return "OU"
	case "2.5.4.12":
		return "title"
	case "2.5.4.13":
		return "description"
	case "2.5.4.15":
		return "businessCategory"
	case "2.5.4.17":
		return "postalCode"
	case "2.5.4.41":
		return "name"
	case "2.5.4.42":
		return "GN"
	case "2.5.4.43":
		return "initials"
	case "2.5.4.44":
		return "generationQualifier"
	case "2.5.4.45":
		return "x500UniqueIdentifier"
	case "2.5.4.46":
		return "dnQualifier"
	case "2.5.4.65":
		return "pseudonym"
	case "2.5.4.97":
		return "organizationIdentifier"
	case "0.9.2342.19200300.100.1.1":
		return "UID"
	case "0.9.2342.19200300.100.1.25":
		return "DC"
	case "1.2.840.113549.1.9.1":
		return "emailAddress"
	case "1.2.840.113549.1.9.2":
		return "unstructuredName"
	case "1.3.6.1.4.1.311.60.2.1.1":
		return "jurisdictionL"
	case "1.3.6.1.4.1.311.60.2.1.2":
		return "jurisdictionST"
	case "1.3.6.1.4.1.311.60.2.1.3":
		return "jurisdictionC"
	}
	return ""
}

// The universal tags of strings that package asn1 does not name.
const (
	tagVisibleString   = 26
	tagUniversalString = 28
)

// asn1Text returns a string of any ASN.1 type in UTF-8.
func asn1Text(v asn1.RawValue) (text string, ok bool) {
	if v.Class != asn1.ClassUniversal {
		return "", false
	}
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagNumericString, tagVisibleString:
		return string(v.Bytes), true
	case asn1.TagT61String: // Latin-1 in practice
		var b []byte
		for _, c := range v.Bytes {
			b = utf8.AppendRune(b, rune(c))
		}
		return string(b), true
	case asn1.TagBMPString:
		if len(v.Bytes)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(v.Bytes)/2)
		for i := range units {
			units[i] = uint16(v.Bytes[2*i])<<8 | uint16(v.Bytes[2*i+1])
		}
		return string(utf16.Decode(units)), true
	case tagUniversalString:
		var b []byte
		if len(v.Bytes)%4 != 0 {
			return "", false
		}
		for s := v.Bytes; len(s) > 0; s = s[4:] {
			b = utf8.AppendRune(b, rune(uint32(s[0])<<24|uint32(s[1])<<16|uint32(s[2])<<8|uint32(s[3])))
		}
		return string(b), true
	}
	return "", false
}
