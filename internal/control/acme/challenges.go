package acme

import (
	"crypto"
	"crypto/tls"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/acme"
)

// The types of challenges, and directories of the storage.
const (
	tlsALPN01 = "tls-alpn-01"
	http01    = "http-01"
)

// challenges are the answers that the authority will ask for. They are in the storage, so
// that it may ask any of the servers that share it. Any goroutine.
type challenges struct{ store store }

func challengeFile(kind, name string) string { return "challenges/" + kind + "/" + name }

// publish makes the answer to a challenge known, until withdraw is called.
func (c challenges) publish(client *acme.Client, challenge *acme.Challenge, domain string) (withdraw func(), err error) {
	var name string
	var text []byte
	switch challenge.Type {
	case http01:
		if !validToken(challenge.Token) {
			return nil, fmt.Errorf("the token %q of the authority is not valid", challenge.Token)
		}
		var answer string
		answer, err = client.HTTP01ChallengeResponse(challenge.Token)
		name, text = challengeFile(http01, challenge.Token), []byte(answer)
	default:
		if !validName(domain) {
			return nil, fmt.Errorf("%q is no domain name", domain)
		}
		name = challengeFile(tlsALPN01, domain)
		text, err = alpnAnswer(client, challenge.Token, domain)
	}
	if err == nil {
		err = c.store.write(name, text)
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = c.store.remove(name) }, nil // if not now, then by sweep
}

func alpnAnswer(client *acme.Client, token, domain string) ([]byte, error) {
	cert, err := client.TLSALPN01ChallengeCert(token, domain)
	if err != nil {
		return nil, err
	}
	signer, ok := cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", cert.PrivateKey)
	}
	text, err := marshalKey(signer)
	if err != nil {
		return nil, err
	}
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})...), nil
}

// certificate returns the certificate that answers a TLS-ALPN-01 challenge for a domain,
// nil without a challenge.
func (c challenges) certificate(domain string) *tls.Certificate {
	if !validName(domain) {
		return nil
	}
	text, err := c.store.read(challengeFile(tlsALPN01, domain))
	if err != nil {
		return nil
	}
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil
	}
	return &cert
}

// keyAuthorization returns what answers an HTTP-01 challenge with a token, "" without a
// challenge.
func (c challenges) keyAuthorization(token string) string {
	text, err := c.store.read(challengeFile(http01, token))
	if err != nil {
		return ""
	}
	return string(text)
}

// validToken reports whether a token is what an authority may send: it is the name of a
// file.
func validToken(token string) bool {
	if token == "" || len(token) > 128 {
		return false
	}
	for _, c := range []byte(token) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}
