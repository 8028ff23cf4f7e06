package tlscontext

import (
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/internal/l4/tlssocket"
)

func TestCertificateOfAName(t *testing.T) {
	r := newRig(t)
	ca := issue(t, nil, wish{name: "ca", ca: true})
	first := issue(t, ca, wish{name: "first", dns: []string{"first.example", "both.example"}})
	wild := issue(t, ca, wish{name: "wild", dns: []string{"*.wild.example"}})
	named := issue(t, ca, wish{name: "Named.Example"})
	rsa := issue(t, ca, wish{name: "rsa", dns: []string{"rsa.example", "both.example"}, rsa: true})
	list := fmt.Sprintf(`{"common_tls_context":{"tls_certificates":[%s,%s,%s,%s]}`, first.config(), wild.config(), named.config(), rsa.config())
	plain, full := r.mustServer(list+"}"), r.mustServer(list+`,"full_scan_certs_on_sni_mismatch":true}`)
	for _, tc := range []struct {
		name, server string
		rsaOnly      bool
		full         bool
		want         string
	}{
		{"exact", "first.example", false, false, "first"},
		{"whatever its case", "FIRST.Example", false, false, "first"},
		{"wildcard", "a.wild.example", false, false, "wild"},
		{"wildcard of one label", "a.b.wild.example", false, false, "first"},
		{"the parent is no wildcard", "wild.example", false, false, "first"},
		{"common name", "named.example", false, false, "Named.Example"},
		{"RSA", "rsa.example", false, false, "rsa"},
		{"both, elliptic first", "both.example", false, false, "first"},
		{"both, without elliptic curves", "both.example", true, false, "rsa"},
		{"unknown", "unknown.example", false, false, "first"},
		{"unknown, all are tried", "unknown.example", true, true, "rsa"},
		{"no name", "", true, false, "rsa"},
	} {
		s := plain
		if tc.full {
			s = full
		}
		client := &tls.Config{InsecureSkipVerify: true, ServerName: tc.server, MaxVersion: tls.VersionTLS12}
		if tc.rsaOnly {
			client.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		}
		near, far := meet(s, client)
		if near.err != nil || far.err != nil {
			t.Errorf("%s: %v, %v", tc.name, near.err, far.err)
			continue
		}
		if got := far.state.PeerCertificates[0].Subject.CommonName; got != tc.want || near.session.LocalCertificate.Subject.CommonName != tc.want {
			t.Errorf("%s: got %s", tc.name, got)
		}
	}
}

func TestVersionsCiphersGroups(t *testing.T) {
	r := newRig(t)
	ca := issue(t, nil, wish{name: "ca", ca: true})
	ec, rsa := issue(t, ca, wish{name: "ec"}), issue(t, ca, wish{name: "rsa", rsa: true})
	for _, tc := range []*struct {
		name, params, more string
		cert               *identity
		client             tls.Config
		version, cipher    string
		group              string
		err                string
	}{
		{"defaults", "{}", "", ec, tls.Config{}, "TLSv1.3", "", "X25519MLKEM768", ""},
		{"TLS 1.2", "{}", "", ec, tls.Config{MaxVersion: tls.VersionTLS12}, "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "X25519", ""},
		{"TLS 1.1", "{}", "", ec, tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "", "", "", "UNSUPPORTED_PROTOCOL"},
		{"TLS 1.1 wanted", `{"tls_minimum_protocol_version":"TLSv1_1","cipher_suites":["ECDHE-ECDSA-AES128-SHA"]}`, "", ec,
			tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "TLSv1.1", "ECDHE-ECDSA-AES128-SHA", "X25519", ""},
		{"the server's order", `{"cipher_suites":["ECDHE-RSA-AES256-GCM-SHA384","ECDHE-RSA-AES128-GCM-SHA256"]}`, "", rsa,
			tls.Config{MaxVersion: tls.VersionTLS12}, "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", "X25519", ""},
		{"the client's among equals", `{"cipher_suites":["[ECDHE-RSA-AES256-GCM-SHA384|ECDHE-RSA-CHACHA20-POLY1305]:ECDHE-RSA-AES128-GCM-SHA256"]}`, "", rsa,
			tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}},
			"TLSv1.2", "ECDHE-RSA-CHACHA20-POLY1305", "X25519", ""},
		{"the client's order", `{"cipher_suites":["ECDHE-RSA-AES256-GCM-SHA384","ECDHE-RSA-AES128-GCM-SHA256"]}`, `,"prefer_client_ciphers":true`, rsa,
			tls.Config{MaxVersion: tls.VersionTLS12}, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "X25519", ""},
		{"no cipher in common", "{}", "", rsa, tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, "", "", "", "NO_SHARED_CIPHER"},
		{"groups", `{"ecdh_curves":["P-384"]}`, "", ec, tls.Config{}, "TLSv1.3", "", "P-384", ""},
		{"up to 1.2", `{"tls_maximum_protocol_version":"TLSv1_2"}`, "", ec, tls.Config{}, "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "X25519", ""},
	} {
		s := r.mustServer(fmt.Sprintf(`{"common_tls_context":{"tls_params":%s,"tls_certificates":[%s]}%s}`, tc.params, tc.cert.config(), tc.more))
		tc.client.InsecureSkipVerify = true
		near, _ := meet(s, &tc.client)
		switch {
		case tc.err != "":
			if near.err == nil || !strings.Contains(tlssocket.Failure(near.err), tc.err) {
				t.Errorf("%s: got %v", tc.name, near.err)
			}
		case near.err != nil:
			t.Errorf("%s: %v", tc.name, near.err)
		case near.session.Version != tc.version || tc.cipher != "" && near.session.CipherSuite != tc.cipher || near.session.Group != tc.group:
			t.Errorf("%s: got %s, %s, %s", tc.name, near.session.Version, near.session.CipherSuite, near.session.Group)
		}
	}
	r.count("ssl.versions.TLSv1.3", 2)
	r.count("ssl.ciphers.ECDHE-RSA-AES256-GCM-SHA384", 1)
	r.count("ssl.curves.P-384", 1)
	r.count("ssl.handshake", 8)
	r.count("ssl.no_certificate", 8)
	r.count("ssl.connection_error", 2)
}

func TestParamsOfACertificate(t *testing.T) {
	r := newRig(t)
	a, b := issue(t, nil, wish{name: "a", dns: []string{"a.example"}}), issue(t, nil, wish{name: "b", dns: []string{"b.example"}})
	old := strings.TrimSuffix(b.config(), "}") + `,"tls_params":{"tls_maximum_protocol_version":"TLSv1_2"}}`
	s := r.mustServer(fmt.Sprintf(`{"common_tls_context":{"tls_certificates":[%s,%s]}}`, a.config(), old))
	for name, want := range map[string]string{"a.example": "TLSv1.3", "b.example": "TLSv1.2"} {
		near, _ := meet(s, &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if near.err != nil || near.session.Version != want {
			t.Errorf("%s: got %s, %v", name, near.session.Version, near.err)
		}
	}
}

func TestALPN(t *testing.T) {
	r := newRig(t)
	id := issue(t, nil, wish{name: "a"})
	s := r.mustServer(fmt.Sprintf(`{"common_tls_context":{"alpn_protocols":["h2,http/1.1"],"tls_certificates":[%s]}}`, id.config()))
	for _, tc := range []struct {
		offered []string
		want    string
	}{
		{[]string{"http/1.1", "h2"}, "h2"}, {[]string{"http/1.1"}, "http/1.1"}, {[]string{"foo"}, ""}, {nil, ""},
	} {
		near, far := meet(s, &tls.Config{InsecureSkipVerify: true, NextProtos: tc.offered})
		if near.err != nil || far.err != nil || near.session.ALPN != tc.want {
			t.Errorf("%v: got %q, %v, %v", tc.offered, near.session.ALPN, near.err, far.err)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	ca, other := issue(t, nil, wish{name: "ca", ca: true}), issue(t, nil, wish{name: "other", ca: true})
	mid := issue(t, ca, wish{name: "mid", ca: true})
	own := issue(t, nil, wish{name: "server"})
	good := issue(t, mid, wish{name: "good", dns: []string{"good.example", "*.w.example"}, uri: "spiffe://acme/good"})
	stranger := issue(t, other, wish{name: "stranger", dns: []string{"good.example"}})
	expired := issue(t, ca, wish{name: "expired", dns: []string{"good.example"}, expired: true})
	serverOnly := issue(t, ca, wish{name: "server only", extUse: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	selfSigned := issue(t, nil, wish{name: "self"})
	trusted := `"trusted_ca":` + inline(ca.pem())
	both := `"trusted_ca":` + inline(other.pem()+ca.pem())
	sum := fmt.Sprintf("%x", x509Sum(good.cert.Raw))
	at := "X509_verify_cert: certificate verification error at depth "
	for _, tc := range []struct {
		name, validation string
		require          bool
		cert             *tls.Certificate
		valid            bool
		detail           string // "" for success
		stat             string
	}{
		{"good", trusted, true, ptr(good.chain(mid)), true, "", ""},
		{"two trusted ones", both, true, ptr(good.chain(mid)), true, "", ""},
		{"a trusted one in between", `"trusted_ca":` + inline(mid.pem()), true, ptr(good.chain()), true, "", ""},
		{"itself trusted", `"trusted_ca":` + inline(good.pem()), true, ptr(good.chain()), true, "", ""},
		{"none, not required", trusted, false, nil, false, "", ""},
		{"none, required", trusted, true, nil, false, "PEER_DID_NOT_RETURN_A_CERTIFICATE", "fail_verify_no_cert"},
		{"none, and nothing to validate it with", "", true, nil, false, "", ""},
		{"none, names are wanted", trusted + `,"match_typed_subject_alt_names":[{"san_type":"DNS","matcher":{"exact":"x"}}]`, false, nil, false, "PEER_DID_NOT_RETURN_A_CERTIFICATE", "fail_verify_no_cert"},
		{"incomplete", trusted, true, ptr(good.chain()), false, at + "0: unable to get local issuer certificate", "fail_verify_error"},
		{"of a stranger", trusted, false, ptr(stranger.chain()), false, at + "0: unable to get local issuer certificate", "fail_verify_error"},
		{"of a stranger with its chain", trusted, false, ptr(stranger.chain(other)), false, at + "1: self signed certificate in certificate chain", "fail_verify_error"},
		{"self signed", trusted, false, ptr(selfSigned.chain()), false, at + "0: self signed certificate", "fail_verify_error"},
		{"expired", trusted, false, ptr(expired.chain()), false, at + "0: certificate has expired", "fail_verify_error"},
		{"expired, allowed", trusted + `,"allow_expired_certificate":true`, false, ptr(expired.chain()), true, "", ""},
		{"a stranger is accepted", trusted + `,"trust_chain_verification":"ACCEPT_UNTRUSTED"`, true, ptr(stranger.chain()), false, "", "fail_verify_error"},
		{"for servers", trusted, true, ptr(serverOnly.chain()), false, at + "0: unsupported certificate purpose", "fail_verify_error"},
		{"too deep", trusted + `,"max_verify_depth":1`, true, ptr(good.chain(mid)), false, at + "1: certificate chain too long", "fail_verify_error"},
		{"not too deep", trusted + `,"max_verify_depth":2`, true, ptr(good.chain(mid)), true, "", ""},
		{"name", trusted + `,"match_typed_subject_alt_names":[{"san_type":"URI","matcher":{"prefix":"spiffe://acme/"}}]`, true, ptr(good.chain(mid)), true, "", ""},
		{"wildcard", trusted + `,"match_typed_subject_alt_names":[{"san_type":"DNS","matcher":{"exact":"a.w.example"}}]`, true, ptr(good.chain(mid)), true, "", ""},
		{"wildcard, too deep", trusted + `,"match_typed_subject_alt_names":[{"san_type":"DNS","matcher":{"exact":"a.b.w.example"}}]`, true, ptr(good.chain(mid)), false,
			"SAN matcher, certificate SANs are [good.example, *.w.example, spiffe://acme/good]", "fail_verify_san"},
		{"name of another kind", trusted + `,"match_typed_subject_alt_names":[{"san_type":"DNS","matcher":{"prefix":"spiffe"}}]`, true, ptr(good.chain(mid)), false, "SAN matcher", "fail_verify_san"},
		{"deprecated names", trusted + `,"match_subject_alt_names":[{"exact":"spiffe://acme/good"}]`, true, ptr(good.chain(mid)), true, "", ""},
		{"hash", `"verify_certificate_hash":["` + sum + `"]`, true, ptr(good.chain()), true, "", ""},
		{"other hash", `"verify_certificate_hash":["` + sum + `"]`, true, ptr(stranger.chain()), false, "cert hash and spki", "fail_verify_cert_hash"},
		{"CRL of one issuer only", trusted + `,"crl":` + inline(mid.crl(t)), true, ptr(good.chain(mid)), false, at + "1: unable to get certificate CRL", "fail_verify_error"},
		{"CRL of the leaf's issuer is enough", trusted + `,"only_verify_leaf_cert_crl":true,"crl":` + inline(mid.crl(t)), true, ptr(good.chain(mid)), true, "", ""},
		{"CRLs of all", trusted + `,"crl":` + inline(mid.crl(t)+ca.crl(t)), true, ptr(good.chain(mid)), true, "", ""},
		{"revoked", trusted + `,"crl":` + inline(mid.crl(t, good)+ca.crl(t)), true, ptr(good.chain(mid)), false, at + "0: certificate revoked", "fail_verify_error"},
		{"its issuer is revoked", trusted + `,"crl":` + inline(mid.crl(t)+ca.crl(t, mid)), true, ptr(good.chain(mid)), false, at + "1: certificate revoked", "fail_verify_error"},
		{"CRL in the bundle", `"trusted_ca":` + inline(ca.pem()+ca.crl(t, mid)+mid.crl(t)), true, ptr(good.chain(mid)), false, at + "1: certificate revoked", "fail_verify_error"},
		{"SPIFFE", spiffeConfig("acme", ca), true, ptr(good.chain(mid)), true, "", ""},
		{"SPIFFE of another domain", spiffeConfig("other", ca), true, ptr(good.chain(mid)), false, "no trust bundle store", "fail_verify_error"},
		{"SPIFFE signed by another", spiffeConfig("acme", other), true, ptr(good.chain(mid)), false, at + "1: unable to get local issuer certificate", "fail_verify_error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, max := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				r := newRig(t)
				s := r.mustServer(fmt.Sprintf(`{"require_client_certificate":%t,"common_tls_context":{"tls_certificates":[%s],"validation_context":{%s}}}`, tc.require, own.config(), tc.validation))
				client := &tls.Config{InsecureSkipVerify: true, MaxVersion: max}
				if tc.cert != nil {
					client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return tc.cert, nil }
				}
				near, far := meet(s, client)
				if (near.err == nil) != (tc.detail == "") || near.err != nil && !strings.Contains(tlssocket.Failure(near.err), tc.detail) {
					t.Errorf("got %v", near.err)
				}
				if (far.err == nil) != (tc.detail == "") {
					t.Errorf("the client got %v", far.err)
				}
				if near.err == nil && near.session.PeerValidated != tc.valid {
					t.Errorf("validated: %t", near.session.PeerValidated)
				}
				for _, stat := range []string{"fail_verify_no_cert", "fail_verify_error", "fail_verify_san", "fail_verify_cert_hash", "connection_error"} {
					want := uint64(0)
					if stat == tc.stat {
						want = 1
					}
					r.count("ssl."+stat, want)
				}
			}
		})
	}
}

func spiffeConfig(domain string, ca *identity) string {
	return fmt.Sprintf(`"custom_validator_config":{"name":"envoy.tls.cert_validator.spiffe","typed_config":{"@type":"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig","trust_domains":[{"name":%q,"trust_bundle":%s}]}}`, domain, inline(ca.pem()))
}

func TestIssuerOfAPeer(t *testing.T) {
	r := newRig(t)
	ca := issue(t, nil, wish{name: "ca", ca: true})
	mid := issue(t, ca, wish{name: "mid", ca: true})
	good := issue(t, mid, wish{name: "good"})
	s := r.mustServer(fmt.Sprintf(`{"common_tls_context":{"tls_certificates":[%s],"validation_context":{"trusted_ca":%s}}}`, good.config(), inline(ca.pem())))
	near, _ := meet(s, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{good.chain(mid)}})
	if near.err != nil || near.session.PeerIssuer().Subject.CommonName != "mid" || len(near.session.PeerCertificates) != 2 {
		t.Errorf("got %v, %v", near.session, near.err)
	}
}

// Sessions go on under the same conditions only.
func TestResumption(t *testing.T) {
	ca, other := issue(t, nil, wish{name: "ca", ca: true}), issue(t, nil, wish{name: "other", ca: true})
	own := issue(t, nil, wish{name: "server", dns: []string{"server.example"}})
	good := issue(t, other, wish{name: "good"})
	key := func(b byte) string { return inline(strings.Repeat(string(rune(b)), 80)) }
	config := func(keys, cas, more string) string {
		return fmt.Sprintf(`{"session_ticket_keys":{"keys":[%s]},"common_tls_context":{"tls_certificates":[%s],"validation_context":{"trusted_ca":%s}}%s}`, keys, own.config(), inline(cas), more)
	}
	bundle := ca.pem() + other.pem()
	first := config(key('a'), bundle, "")
	for _, tc := range []struct {
		name, then string
		resumed    bool
		fails      bool
	}{
		{"another instance with the key", first, true, false},
		{"the key is no longer the first", config(key('b')+","+key('a'), bundle, ""), true, false},
		{"another key", config(key('b'), bundle, ""), false, false},
		{"a CA was taken away", config(key('a'), ca.pem(), ""), false, true},
		{"a CA was added", config(key('a'), bundle+own.pem(), ""), false, false},
		{"without tickets", strings.Replace(config(key('a'), bundle, ""), `"session_ticket_keys":{"keys":[`+key('a')+`]}`, `"disable_stateless_session_resumption":true`, 1), false, false},
	} {
		for _, max := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			r := newRig(t)
			client := &tls.Config{InsecureSkipVerify: true, ServerName: "server.example", MaxVersion: max,
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return ptr(good.chain()), nil },
				ClientSessionCache:   tls.NewLRUClientSessionCache(1)}
			if near, far := meet(r.mustServer(first), client); near.err != nil || far.err != nil || near.session.Resumed {
				t.Fatalf("%s: %v, %v", tc.name, near.err, far.err)
			}
			near, _ := meet(r.mustServer(tc.then), client)
			if (near.err != nil) != tc.fails || near.session.Resumed != tc.resumed {
				t.Errorf("%s: resumed %t, %v", tc.name, near.session.Resumed, near.err)
			}
			if near.err == nil && !near.session.PeerValidated {
				t.Errorf("%s: not validated again", tc.name)
			}
		}
	}
	r := newRig(t)
	r.ctx.ServerNames = []string{"a.example"}
	client := &tls.Config{InsecureSkipVerify: true, ServerName: "server.example", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	meet(r.mustServer(first), client)
	r.ctx.ServerNames = []string{"b.example"}
	if near, _ := meet(r.mustServer(first), client); near.session.Resumed {
		t.Error("resumed in the filter chain of other names")
	}
}

func TestSecretsThatChange(t *testing.T) {
	r := newRig(t)
	ca := issue(t, nil, wish{name: "ca", ca: true})
	one, two := issue(t, ca, wish{name: "one"}), issue(t, ca, wish{name: "two", curve: elliptic.P384()})
	certificate := func(cert, key *identity) *tlsv3.Secret {
		s := new(tlsv3.Secret)
		r.unmarshal(fmt.Sprintf(`{"name":"c","tls_certificate":{"certificate_chain":%s,"private_key":%s}}`, inline(cert.pem()), inline(key.keyPEM())), s)
		return s
	}
	c := &source{name: "c"}
	r.ctx.Secrets = secrets{"c": c}
	s := r.mustServer(`{"common_tls_context":{"tls_certificate_sds_secret_configs":[{"name":"c","sds_config":{"path":"x"}}]}}`)
	if s.Config(nil, nil) != nil {
		t.Error("ready without a certificate")
	}
	r.count("server_ssl_socket_factory.downstream_context_secrets_not_ready", 1)
	name := func() string {
		near, _ := meet(s, &tls.Config{InsecureSkipVerify: true})
		if near.err != nil {
			return near.err.Error()
		}
		return near.session.LocalCertificate.Subject.CommonName
	}
	if err := c.change(certificate(one, one)); err != nil || name() != "one" {
		t.Errorf("got %s, %v", name(), err)
	}
	if err := c.change(certificate(two, one)); err == nil || !strings.Contains(err.Error(), "Failed to load private key from <inline>, Cause: error:0b000074:X.509 certificate routines:OPENSSL_internal:KEY_VALUES_MISMATCH") {
		t.Errorf("a key of another certificate: %v", err)
	}
	if err := c.change(&tlsv3.Secret{Name: "c"}); err == nil {
		t.Error("a secret of another kind was taken")
	}
	if name() != "one" {
		t.Errorf("got %s", name())
	}
	if err := c.change(certificate(two, two)); err != nil || name() != "two" {
		t.Errorf("got %s, %v", name(), err)
	}
	r.count("server_ssl_socket_factory.ssl_context_update_by_sds", 2)
	if got := r.metrics.Gauge("ssl.certificate.c.expiration_unix_time_seconds").Value(); got != uint64(two.cert.NotAfter.Unix()) {
		t.Errorf("expires at %d", got)
	}
	list := r.contexts.Certificates().GetCertificates()
	if len(list) != 1 || list[0].GetCertChain()[0].GetPath() != "<inline>" || r.contexts.DaysUntilFirstExpiry() != 2 {
		t.Errorf("got %v, %d days", list, r.contexts.DaysUntilFirstExpiry())
	}
	for _, f := range r.closed {
		f()
	}
	if len(c.watchers) != 0 || len(r.contexts.Certificates().GetCertificates()) != 0 {
		t.Error("watches on after the end")
	}
}

func TestVerifyErrorsAreOurs(t *testing.T) {
	var verify *tlssocket.VerifyError
	if err := failed("x"); !errors.As(err, &verify) || verify.Detail != "verify cert failed: x" {
		t.Errorf("got %v", err)
	}
}

func x509Sum(b []byte) [32]byte { return sha256.Sum256(b) }

func ptr[T any](v T) *T { return &v }
