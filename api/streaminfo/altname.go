package streaminfo

import (
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"net/netip"
)

// An AltNameKind says what a subject alternative name names.
type AltNameKind uint8

// The kinds of alternative names that are known. Their numbers are those of X.509's
// GeneralName.
const (
	OtherName AltNameKind = 0
	EmailName AltNameKind = 1
	DNSName   AltNameKind = 2
	URIName   AltNameKind = 6
	IPName    AltNameKind = 7
)

// An AltName is a subject alternative name of a certificate.
type AltName struct {
	Kind AltNameKind
	// OID says what an OtherName is, in dotted form.
	OID string
	// Value is the name as text: the bytes of the certificate for names, which may be any,
	// an IP address as it is written.
	Value string
}

// AltNames returns the subject alternative names of a certificate, in its order, without
// those of other kinds. It parses them each time.
func AltNames(c *x509.Certificate) []AltName {
	var names []AltName
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var sequence []asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &sequence); err != nil || len(rest) > 0 {
			return nil
		}
		for _, v := range sequence {
			if name, ok := altName(v); ok {
				names = append(names, name)
			}
		}
	}
	return names
}

// AltNamesOf returns the values of the alternative names of one kind. c may be nil.
func AltNamesOf(c *x509.Certificate, kind AltNameKind) []string {
	if c == nil {
		return nil
	}
	var values []string
	for _, n := range AltNames(c) {
		if n.Kind == kind {
			values = append(values, n.Value)
		}
	}
	return values
}

func altName(v asn1.RawValue) (n AltName, ok bool) {
	if v.Class != asn1.ClassContextSpecific {
		return n, false
	}
	n.Kind = AltNameKind(v.Tag)
	switch {
	case v.Tag == int(DNSName), v.Tag == int(URIName), v.Tag == int(EmailName):
		n.Value = string(v.Bytes)
	case v.Tag == int(IPName):
		ip, ok := netip.AddrFromSlice(v.Bytes)
		if !ok {
			return n, false
		}
		n.Value = ip.String()
	case v.Tag == int(OtherName):
		var oid asn1.ObjectIdentifier
		rest, err := asn1.Unmarshal(v.Bytes, &oid)
		var wrapped, value asn1.RawValue
		if err == nil {
			_, err = asn1.Unmarshal(rest, &wrapped)
		}
		if err == nil {
			_, err = asn1.Unmarshal(wrapped.Bytes, &value)
		}
		if err != nil {
			return n, false
		}
		n.OID, n.Value = oid.String(), otherName(value)
	default:
		return n, false
	}
	return n, true
}

// otherName returns the value of an OtherName as text: that of numbers, booleans and
// object identifiers is their usual form, that of anything else its bytes.
func otherName(v asn1.RawValue) string {
	if v.Class != asn1.ClassUniversal {
		return ""
	}
	switch v.Tag {
	case asn1.TagNull:
		return ""
	case asn1.TagBoolean:
		if len(v.Bytes) == 1 && v.Bytes[0] != 0 {
			return "true"
		}
		return "false"
	case asn1.TagInteger, asn1.TagEnum:
		n := new(big.Int).SetBytes(v.Bytes)
		if len(v.Bytes) > 0 && v.Bytes[0]&0x80 != 0 { // two's complement
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(v.Bytes))))
		}
		return n.String()
	case asn1.TagOID:
		var oid asn1.ObjectIdentifier
		if _, err := asn1.Unmarshal(v.FullBytes, &oid); err != nil {
			return ""
		}
		return oid.String()
	case asn1.TagBMPString, tagUniversalString:
		text, _ := asn1Text(v)
		return text
	case asn1.TagBitString:
		if len(v.Bytes) == 0 {
			return ""
		}
		return string(v.Bytes[1:]) // behind the number of unused bits
	}
	return string(v.Bytes)
}
