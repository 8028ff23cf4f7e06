package hcm

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

func loadCertificate(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What Envoy 1.40 sent for clients with these certificates.
func TestForwardedClientCert(t *testing.T) {
	const (
		hash     = "Hash=cac3f6e14f103407007e847439c6458a94bf7431cb59a80907ce745977aafb63"
		by       = "By=spiffe://acme/server;" + hash
		names    = `;Subject="CN=\C3\9Cnicode  client#\<\>,O=Acme\, \"x\"\; Inc./y,C=US";URI=spiffe://acme/client;URI=http://two;DNS=client.example;DNS=c2.example;Issuer="CN=Int CA,O=Acme"`
		object   = `{"by":["spiffe://acme/server"],"hash":"cac3f6e14f103407007e847439c6458a94bf7431cb59a80907ce745977aafb63"`
		jsonRest = `,"subject":"CN=\\C3\\9Cnicode  client#\\<\\>,O=Acme\\, \\\"x\\\"\\; Inc./y,C=US","uri":["spiffe://acme/client","http://two"],"dns":["client.example","c2.example"],"issuer":"CN=Int CA,O=Acme"}`
		noNames  = `By=spiffe://acme/server;Hash=b99d15fcebf15a705398f5738ade32780fa73120504f0eeec947b5702ae8e23e;Subject="CN=nosan";URI=;Issuer="CN=Test CA,O=Acme\, Inc.,C=DE"`
	)
	const (
		sanitize = hcmv3.HttpConnectionManager_SANITIZE
		only     = hcmv3.HttpConnectionManager_FORWARD_ONLY
		appended = hcmv3.HttpConnectionManager_APPEND_FORWARD
		set      = hcmv3.HttpConnectionManager_SANITIZE_SET
		always   = hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY
	)
	server, client, mid, nosan := loadCertificate(t, "server"), loadCertificate(t, "client"), loadCertificate(t, "int"), loadCertificate(t, "nosan")
	mutual := &streaminfo.TLS{LocalCertificate: server, PeerCertificates: []*x509.Certificate{client, mid}}
	all := clientCertRule{subject: true, dns: true, uri: true, issuer: true}
	with := func(r clientCertRule, mode hcmv3.HttpConnectionManager_ForwardClientCertDetails, json bool) clientCertRule {
		r.mode, r.json = mode, json
		return r
	}
	for _, tc := range []struct {
		name    string
		rule    clientCertRule
		session *streaminfo.TLS
		before  string
		want    string
	}{
		{"sanitize", clientCertRule{mode: sanitize}, mutual, "x", ""},
		{"forward only", clientCertRule{mode: only}, mutual, "x", "x"},
		{"forward only, no certificate", clientCertRule{mode: only}, &streaminfo.TLS{LocalCertificate: server}, "x", ""},
		{"forward only, no TLS", clientCertRule{mode: only}, nil, "x", ""},
		{"always", clientCertRule{mode: always}, nil, "x", "x"},
		{"set", clientCertRule{mode: set}, mutual, "x", by},
		{"append to nothing", clientCertRule{mode: appended}, mutual, "", by},
		{"append", clientCertRule{mode: appended}, mutual, "Hash=abc;By=x", "Hash=abc;By=x," + by},
		{"all", with(all, set, false), mutual, "", by + names},
		{"no names", with(all, set, false), &streaminfo.TLS{LocalCertificate: server, PeerCertificates: []*x509.Certificate{nosan}}, "", noNames},
		{"JSON", with(all, set, true), mutual, "", "[" + object + jsonRest + "]"},
		{"JSON behind text", with(clientCertRule{}, appended, true), mutual, "Hash=abc", "Hash=abc," + by},
		{"text behind JSON", with(clientCertRule{}, appended, false), mutual, `[{"a":1}]`, `[{"a":1},` + object + "}]"},
		{"an empty list", with(clientCertRule{}, appended, false), mutual, `[]`, "[" + object + "}]"},
		{"no list", with(clientCertRule{}, appended, true), mutual, `[1`, "[1," + by},
	} {
		s := new(stream)
		s.cfg, s.m = &config{clientCert: clientCertRules{rule: tc.rule}}, new(manager)
		s.info.Downstream = &streaminfo.Connection{TLS: tc.session}
		for range 2 { // the second time what was kept
			var h httpmsg.Headers
			if tc.before != "" {
				h.AddID(httpmsg.XForwardedClientCert, tc.before)
			}
			s.forwardClientCert(&h)
			if got := h.Get(httpmsg.XForwardedClientCert); got != tc.want {
				t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
			}
		}
	}
	rule := clientCertRule{cert: true, chain: true}
	text := rule.text(mutual)
	if strings.Count(text, "-----BEGIN%20CERTIFICATE-----%0A") != 3 || !strings.Contains(text, `-----END%20CERTIFICATE-----%0A";Chain="-----BEGIN`) {
		t.Errorf("got %s", text)
	}
	if text := rule.object(mutual); strings.Count(text, `-----BEGIN CERTIFICATE-----\n`) != 3 || !strings.Contains(text, `"chain":["-----BEGIN`) {
		t.Errorf("got %s", text)
	}
}
