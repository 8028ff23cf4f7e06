package streaminfo

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"
)

// Fingerprint256 returns the SHA-256 of a certificate in hexadecimal.
func Fingerprint256(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// Fingerprint1 returns the SHA-1 of a certificate in hexadecimal.
func Fingerprint1(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw)
	return hex.EncodeToString(sum[:])
}

// Serial returns the serial number of a certificate in hexadecimal, whole bytes.
func Serial(c *x509.Certificate) string {
	if c.SerialNumber.Sign() == 0 {
		return "0"
	}
	text := hex.EncodeToString(c.SerialNumber.Bytes())
	if c.SerialNumber.Sign() < 0 {
		return "-" + text
	}
	return text
}

// PEM returns a certificate in PEM.
func PEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// URLEncodedPEM returns a certificate in PEM, with what is special in URLs
// percent-encoded, as it stands in x-forwarded-client-cert.
func URLEncodedPEM(c *x509.Certificate) string {
	text := PEM(c)
	var b strings.Builder
	b.Grow(len(text) + len(text)/8)
	for i := range len(text) {
		switch text[i] {
		case ' ':
			b.WriteString("%20")
		case '\n':
			b.WriteString("%0A")
		case '+':
			b.WriteString("%2B")
		case '/':
			b.WriteString("%2F")
		case '=':
			b.WriteString("%3D")
		default: // letters, digits and dashes
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

// Subject returns whom a certificate belongs to, and Issuer who signed it, in the form
// of RFC 2253: the last attribute first, as CN=client,O=Acme.
func Subject(c *x509.Certificate) string { return distinguishedName(c.RawSubject) }

// Issuer is as Subject.
func Issuer(c *x509.Certificate) string { return distinguishedName(c.RawIssuer) }
