package tlscontext

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"time"
)

// revocations is a certificate revocation list. It is immutable.
type revocations struct {
	list    *x509.RevocationList
	revoked map[string]bool // by the bytes of serial numbers
}

func newRevocations(der []byte) (*revocations, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	r := &revocations{list: list, revoked: make(map[string]bool, len(list.RevokedCertificateEntries))}
	for _, e := range list.RevokedCertificateEntries {
		r.revoked[string(e.SerialNumber.Bytes())] = true
	}
	r.list.RevokedCertificateEntries = nil
	return r, nil
}

// parseCRLs reads lists in PEM.
func parseCRLs(text []byte) ([]*revocations, error) {
	var all []*revocations
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "X509 CRL" {
			continue
		}
		r, err := newRevocations(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	if all == nil {
		return nil, errors.New("no CRL")
	}
	return all, nil
}

// checkRevoked looks for the certificates of a chain in the lists: each needs a list of
// its issuer, once there are lists at all.
func (t *trust) checkRevoked(chain []*x509.Certificate, leafOnly bool, now time.Time, timeless bool) error {
	if len(t.crls) == 0 {
		return nil
	}
	if leafOnly {
		chain = chain[:min(len(chain), 2)]
	}
	for depth, c := range chain {
		if leafOnly && depth > 0 {
			break
		}
		issuer := chain[min(depth+1, len(chain)-1)]
		if reason := t.revocation(c, issuer, now, timeless); reason != "" {
			return &chainError{depth, reason}
		}
	}
	return nil
}

// revocation says what is wrong with a certificate, "" for nothing.
func (t *trust) revocation(c, issuer *x509.Certificate, now time.Time, timeless bool) string {
	reason := "unable to get certificate CRL"
	for _, r := range t.crls {
		if !bytes.Equal(r.list.RawIssuer, c.RawIssuer) || !bytes.Equal(issuer.RawSubject, c.RawIssuer) {
			continue
		}
		switch {
		case r.list.CheckSignatureFrom(issuer) != nil:
			reason = "CRL signature failure"
		case !timeless && now.Before(r.list.ThisUpdate):
			reason = "CRL is not yet valid"
		case !timeless && !r.list.NextUpdate.IsZero() && now.After(r.list.NextUpdate):
			reason = "CRL has expired"
		case r.revoked[string(c.SerialNumber.Bytes())]:
			return "certificate revoked"
		default:
			reason = ""
		}
		if reason == "" {
			return ""
		}
	}
	return reason
}
