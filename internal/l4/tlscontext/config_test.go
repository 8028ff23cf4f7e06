package tlscontext

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/youmark/pkcs8"
	"golang.org/x/crypto/ocsp"
	"software.sslmate.com/src/go-pkcs12"
)

func TestRefused(t *testing.T) {
	r := newRig(t)
	ca := issue(t, nil, wish{name: "ca", ca: true})
	a, b, rsa := issue(t, ca, wish{name: "a"}), issue(t, ca, wish{name: "b"}), issue(t, ca, wish{name: "r", rsa: true})
	with := func(common string) string {
		return fmt.Sprintf(`{"common_tls_context":{"tls_certificates":[%s],%s}}`, a.config(), common)
	}
	validation := func(v string) string { return with(`"validation_context":{` + v + "}") }
	cert := func(c string) string { return `{"common_tls_context":{"tls_certificates":[{` + c + "}]}}" }
	for _, tc := range []struct{ name, config, want string }{
		{"no certificate", `{"common_tls_context":{}}`, "No TLS certificates found for server context"},
		{"key of another", cert(`"certificate_chain":` + inline(a.pem()) + `,"private_key":` + inline(b.keyPEM())), "Failed to load private key from <inline>, Cause: error:0b000074:X.509 certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH"},
		{"key of another type", cert(`"certificate_chain":` + inline(a.pem()) + `,"private_key":` + inline(rsa.keyPEM())), "OPENSSL_internal:KEY_TYPE_MISMATCH"},
		{"no key", cert(`"certificate_chain":` + inline(a.pem())), "Failed to load incomplete private key from path: "},
		{"no chain", cert(`"private_key":` + inline(a.keyPEM())), "Failed to load incomplete certificate from : certificate chain not set"},
		{"broken chain", cert(`"certificate_chain":` + inline("x") + `,"private_key":` + inline(a.keyPEM())), "Failed to load certificate chain from <inline>"},
		{"broken key", cert(`"certificate_chain":` + inline(a.pem()) + `,"private_key":` + inline("x")), "NO_START_LINE"},
		{"missing file", cert(`"certificate_chain":{"filename":"/nowhere/a.pem"},"private_key":` + inline(a.keyPEM())), "/nowhere/a.pem"},
		{"both forms", cert(`"pkcs12":` + inline("x") + `,"private_key":` + inline(a.keyPEM())), "can't have both pkcs12 and private_key"},
		{"provider", cert(`"private_key_provider":{"provider_name":"x"}`), "field private_key_provider is not implemented"},
		{"cipher", with(`"tls_params":{"cipher_suites":["ECDHE-RSA-AES128-GCM-SHA256","ECDHE-PSK-AES128-CBC-SHA"]}`), "Failed to initialize cipher suites ECDHE-RSA-AES128-GCM-SHA256:ECDHE-PSK-AES128-CBC-SHA. The following ciphers were rejected when tried individually: ECDHE-PSK-AES128-CBC-SHA"},
		{"curve", with(`"tls_params":{"ecdh_curves":["P-224"]}`), "Failed to initialize ECDH curves P-224"},
		{"signatures", with(`"tls_params":{"signature_algorithms":["ed25519"]}`), "field signature_algorithms is not implemented"},
		{"policies", with(`"tls_params":{"compliance_policies":["FIPS_202205"]}`), "field compliance_policies is not implemented"},
		{"selector", with(`"custom_tls_certificate_selector":{"name":"x"}`), "field custom_tls_certificate_selector is not implemented"},
		{"empty CA", validation(`"trusted_ca":` + inline("")), "Failed to load trusted CA certificates from <inline>"},
		{"names without CA", validation(`"match_typed_subject_alt_names":[{"san_type":"DNS","matcher":{"exact":"x"}}]`), "SAN-based verification of peer certificates without trusted CA is insecure and not allowed"},
		{"CRL without CA", validation(`"crl":` + inline(ca.crl(t))), "Failed to load CRL from <inline> without trusted CA"},
		{"expiry without CA", validation(`"allow_expired_certificate":true`), "Certificate validity period is always ignored without trusted CA"},
		{"hash", validation(`"verify_certificate_hash":["abc"]`), "Invalid hex-encoded SHA-256 abc"},
		{"SPKI", validation(`"verify_certificate_spki":["abc"]`), "Invalid base64-encoded SHA-256 abc"},
		{"name of no kind", validation(`"trusted_ca":` + inline(ca.pem()) + `,"match_typed_subject_alt_names":[{"matcher":{"exact":"x"}}]`), "san_type: must be one of"},
		{"timestamps", validation(`"require_signed_certificate_timestamp":true`), "field require_signed_certificate_timestamp is not implemented"},
		{"ticket key", fmt.Sprintf(`{"session_ticket_keys":{"keys":[%s]},"common_tls_context":{"tls_certificates":[%s]}}`, inline("short"), a.config()), "Incorrect TLS session ticket key length. Length 5, expected length 80."},
		{"SNI", fmt.Sprintf(`{"require_sni":true,"common_tls_context":{"tls_certificates":[%s]}}`, a.config()), "field require_sni is not implemented"},
		{"staple wanted", fmt.Sprintf(`{"ocsp_staple_policy":"MUST_STAPLE","common_tls_context":{"tls_certificates":[%s]}}`, a.config()), "Required OCSP response is missing from TLS context"},
		{"staple as text", cert(strings.TrimSuffix(strings.TrimPrefix(a.config(), "{"), "}") + `,"ocsp_staple":` + inline("x")), "OCSP staple cannot be provided via inline_string"},
	} {
		s, errs := r.server(tc.config)
		if s != nil || !strings.Contains(errs.Error(), tc.want) {
			t.Errorf("%s: got %v", tc.name, errs)
		}
	}
	for _, tc := range []struct{ name, config, want string }{
		{"two certificates", fmt.Sprintf(`{"common_tls_context":{"tls_certificates":[%s,%s]}}`, a.config(), b.config()), "Multiple TLS certificates are not supported for client contexts"},
		{"renegotiation", `{"allow_renegotiation":true}`, "field allow_renegotiation is not implemented"},
		{"name without validation", `{"auto_sni_san_validation":true}`, "'auto_sni_san_validation' was configured without a validation context"},
		{"name without CA", `{"auto_sni_san_validation":true,"common_tls_context":{"validation_context":{}}}`, "'auto_sni_san_validation' was configured without configuring a trusted CA"},
	} {
		c, errs := r.client(tc.config)
		if c != nil || !strings.Contains(errs.Error(), tc.want) {
			t.Errorf("%s: got %v", tc.name, errs)
		}
	}
}

func TestFormsOfKeys(t *testing.T) {
	r := newRig(t)
	ca := issue(t, nil, wish{name: "ca", ca: true})
	a := issue(t, ca, wish{name: "a"})
	encode := func(kind string, der []byte, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	//nolint:staticcheck // what is read, is written
	old, err := x509.EncryptPEMBlock(rand.Reader, "PRIVATE KEY", der, []byte("pw"), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := pkcs8.MarshalPrivateKey(a.key, []byte("pw"), nil)
	bundle, pkcsErr := pkcs12.Modern.Encode(a.key, a.cert, []*x509.Certificate{ca.cert}, "pw")
	if pkcsErr != nil {
		t.Fatal(pkcsErr)
	}
	withKey := func(key string) string {
		return `"certificate_chain":` + inline(a.pem()) + `,"private_key":` + inline(key)
	}
	const password = `,"password":{"inline_string":"pw"}`
	encrypted := encode("ENCRYPTED PRIVATE KEY", sealed, err)
	packed := `"pkcs12":{"inline_bytes":"` + base64.StdEncoding.EncodeToString(bundle) + `"}`
	for _, tc := range []struct {
		name, cert string
		chain      int // 0 for refused
	}{
		{"PKCS 8", withKey(a.keyPEM()), 1},
		{"encrypted", withKey(encrypted) + password, 1},
		{"encrypted, no password", withKey(encrypted), 0},
		{"encrypted in the old way", withKey(string(pem.EncodeToMemory(old))) + password, 1},
		{"encrypted in the old way, another password", withKey(string(pem.EncodeToMemory(old))) + strings.Replace(password, "pw", "px", 1), 0},
		{"PKCS 12", packed + password, 2},
		{"PKCS 12, no password", packed, 0},
	} {
		s, errs := r.server(`{"common_tls_context":{"tls_certificates":[{` + tc.cert + "}]}}")
		if (s == nil) != (tc.chain == 0) {
			t.Errorf("%s: %v", tc.name, errs)
			continue
		}
		if s != nil {
			near, far := meet(s, &tls.Config{InsecureSkipVerify: true})
			if near.err != nil || len(far.state.PeerCertificates) != tc.chain {
				t.Errorf("%s: %v", tc.name, near.err)
			}
		}
	}
}

func TestStapling(t *testing.T) {
	ca := issue(t, nil, wish{name: "ca", ca: true})
	a, b := issue(t, ca, wish{name: "a"}), issue(t, ca, wish{name: "b"})
	staple := func(of *identity, next time.Time) string {
		signer := ca.key
		der, err := ocsp.CreateResponse(ca.cert, ca.cert, ocsp.Response{
			Status: ocsp.Good, SerialNumber: of.cert.SerialNumber, ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: next,
		}, signer)
		if err != nil {
			t.Fatal(err)
		}
		return `,"ocsp_staple":{"inline_bytes":"` + base64.StdEncoding.EncodeToString(der) + `"}}`
	}
	fresh, stale := staple(a, time.Now().Add(time.Hour)), staple(a, time.Now().Add(-time.Hour))
	for _, tc := range []struct {
		name, staple, policy string
		stapled, fails       bool
		stat                 string
	}{
		{"none", "}", "LENIENT_STAPLING", false, false, "omitted"},
		{"fresh", fresh, "LENIENT_STAPLING", true, false, "responses"},
		{"stale", stale, "LENIENT_STAPLING", false, false, "omitted"},
		{"none, strictly", "}", "STRICT_STAPLING", false, false, "omitted"},
		{"stale, strictly", stale, "STRICT_STAPLING", false, true, "failed"},
		{"fresh, wanted", fresh, "MUST_STAPLE", true, false, "responses"},
		{"stale, wanted", stale, "MUST_STAPLE", false, true, "failed"},
	} {
		r := newRig(t)
		s := r.mustServer(fmt.Sprintf(`{"ocsp_staple_policy":%q,"common_tls_context":{"tls_certificates":[%s%s]}}`, tc.policy, strings.TrimSuffix(a.config(), "}"), tc.staple))
		near, far := meet(s, &tls.Config{InsecureSkipVerify: true})
		if (near.err != nil) != tc.fails || !tc.fails && (len(far.state.OCSPResponse) > 0) != tc.stapled {
			t.Errorf("%s: %v", tc.name, near.err)
		}
		r.count("ssl.ocsp_staple_requests", 1)
		r.count("ssl.ocsp_staple_"+tc.stat, 1)
		if left, _ := r.contexts.SecondsUntilFirstOCSPExpiry(); (left > 0) != (tc.staple == fresh) {
			t.Errorf("%s: %d seconds left", tc.name, left)
		}
	}
	r := newRig(t)
	if _, errs := r.server(fmt.Sprintf(`{"common_tls_context":{"tls_certificates":[%s%s]}}`, strings.TrimSuffix(b.config(), "}"), fresh)); !strings.Contains(errs.Error(), "OCSP response does not match its TLS certificate") {
		t.Errorf("the response of another: %v", errs)
	}
}

func TestCombinedValidation(t *testing.T) {
	r := newRig(t)
	ca := issue(t, nil, wish{name: "ca", ca: true})
	good := issue(t, ca, wish{name: "good", dns: []string{"good.example"}})
	s := new(tlsv3.Secret)
	r.unmarshal(`{"name":"v","validation_context":{"trusted_ca":`+inline(ca.pem())+`}}`, s)
	r.ctx.Secrets = secrets{"v": {name: "v", secret: s}}
	server := r.mustServer(fmt.Sprintf(`{"common_tls_context":{"tls_certificates":[%s],"combined_validation_context":{
		"default_validation_context":{"match_typed_subject_alt_names":[{"san_type":"DNS","matcher":{"exact":"other.example"}}]},
		"validation_context_sds_secret_config":{"name":"v"}}}}`, good.config()))
	near, _ := meet(server, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{good.chain()}})
	if near.err == nil || !strings.Contains(near.err.Error(), "SAN matcher") {
		t.Errorf("got %v", near.err)
	}
}

func TestSPIFFEBundles(t *testing.T) {
	ca := issue(t, nil, wish{name: "ca", ca: true})
	encoded := base64.StdEncoding.EncodeToString(ca.cert.Raw)
	for _, tc := range []struct {
		text string
		ok   bool
	}{
		{`{"trust_domains":{"a":{"keys":[{"use":"x509-svid","x5c":["` + encoded + `"]},{"use":"jwt-svid"}]}}}`, true},
		{`{"trust_domains":{"a":{"keys":[{"use":"jwt-svid"}]}}}`, false},
		{`{"trust_domains":{}}`, false},
		{`{"trust_domains":{"a":{"keys":[{"use":"x509-svid","x5c":["!"]}]}}}`, false},
		{`{`, false},
	} {
		s := &spiffe{domains: map[string]*trust{}}
		if err := s.parseBundles([]byte(tc.text), false); (err == nil) != tc.ok || tc.ok && len(s.certs()) != 1 {
			t.Errorf("%s: %v", tc.text, err)
		}
	}
}

func TestDNSNames(t *testing.T) {
	for _, tc := range []struct {
		name, pattern string
		want          bool
	}{
		{"a.example.com", "a.example.com", true}, {"A.example.com", "a.EXAMPLE.com", true}, {"a.example.com", "*.example.com", true},
		{"example.com", "*.example.com", false}, {"a.b.example.com", "*.example.com", false}, {"foo.example.com", "f*o.example.com", true},
		{"fo.example.com", "f*oo.example.com", false}, {"a.com", "*", false}, {"a.example.com", "*.*.com", false},
		{"xn--a.example.com", "xn--*.example.com", false}, {"a.example.com", "**.example.com", false}, {"", "", true},
	} {
		if got := matchDNS(tc.name, tc.pattern); got != tc.want {
			t.Errorf("%s, %s: got %t", tc.name, tc.pattern, got)
		}
	}
}

func TestFieldsFitTheMessages(t *testing.T) {
	var c Contexts
	lists := Fields()
	for _, f := range c.Factories() {
		lists = append(lists, f.Fields()...)
	}
	if len(lists) != 7 {
		t.Errorf("%d lists", len(lists))
	}
}

// FuzzPEM feeds what stands in files: certificates, keys, CRLs.
func FuzzPEM(f *testing.F) {
	ca := issue(f, nil, wish{name: "ca", ca: true})
	f.Add([]byte(ca.pem() + ca.keyPEM() + ca.crl(f, ca)))
	f.Add([]byte("-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if trusted, err := parseTrust(text, true); err == nil {
			v := &validator{roots: trusted, now: time.Now, maxDepth: 1}
			_, _ = v.chainTo(trusted, &peer{certs: trusted.certs[:1], usage: x509.ExtKeyUsageAny})
		}
		if lists, err := parseCRLs(text); err == nil {
			_ = (&trust{crls: lists}).checkRevoked([]*x509.Certificate{ca.cert}, false, time.Now(), false)
		}
		_, _ = parseKey(text, "pw")
		_ = new(certificate).load(text, text, "", "")
	})
}
