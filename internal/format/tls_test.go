package format

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

func certificates(t *testing.T, names ...string) []*x509.Certificate {
	t.Helper()
	var all []*x509.Certificate
	for _, name := range names {
		text, err := os.ReadFile("testdata/" + name + ".pem")
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// What Envoy 1.40 logged of a client with a certificate, and of an upstream likewise.
func TestTLS(t *testing.T) {
	client, server := certificates(t, "client", "int", "ca"), certificates(t, "server", "ca")
	down := &streaminfo.TLS{
		Version: "TLSv1.3", CipherSuite: "TLS_AES_256_GCM_SHA384", Group: "X25519",
		LocalCertificate: server[0], PeerCertificates: client[:2], PeerValidated: true, ValidatedChain: client,
	}
	up := &streaminfo.TLS{Version: "TLSv1.2", SessionID: "ab", ServerName: "server.example", LocalCertificate: client[0], PeerCertificates: server[:1]}
	e := &format.Entry{Stream: &streaminfo.Stream{Downstream: &streaminfo.Connection{TLS: down}, Upstream: streaminfo.Upstream{TLS: up}}}
	plain := &format.Entry{Stream: new(streaminfo.Stream)}
	const (
		chain256 = "cac3f6e14f103407007e847439c6458a94bf7431cb59a80907ce745977aafb63,4b49ea6d82d35b9888801b0db51ad9c588d8efd8e03673bb34b5b81ddab81341"
		chain1   = "d99ae7c3e032b954738b06e857c3c2b5096b6663,8d3ac78d24e8e6cb3a13b8745a2e865fe12f87ea"
		serials  = "6f4183d137528e48101580841b24991b0687798d,2572a15461504cd89ea6da412a4337892e389b5a"
	)
	for operator, want := range map[string]string{
		"DOWNSTREAM_TLS_VERSION": "TLSv1.3", "UPSTREAM_TLS_VERSION": "TLSv1.2", "DOWNSTREAM_TLS_CIPHER": "TLS_AES_256_GCM_SHA384",
		"DOWNSTREAM_TLS_GROUP": "X25519", "DOWNSTREAM_HANDSHAKE_DURATION": "0", "DOWNSTREAM_TLS_SESSION_ID": "-", "UPSTREAM_TLS_SESSION_ID": "ab", "UPSTREAM_SERVER_NAME": "server.example",
		"UPSTREAM_PEER_URI_SAN": "spiffe://acme/server", "UPSTREAM_LOCAL_URI_SAN": "spiffe://acme/client,http://two",
		"UPSTREAM_PEER_DNS_SAN": "server.example,*.wild.example", "UPSTREAM_PEER_IP_SAN": "127.0.0.1,::1",
		"DOWNSTREAM_PEER_EMAIL_SAN": "c@d.e", "DOWNSTREAM_LOCAL_EMAIL_SAN": "a@b.c", "DOWNSTREAM_PEER_OTHERNAME_SAN": "upn@x", "DOWNSTREAM_LOCAL_OTHERNAME_SAN": "-",
		"DOWNSTREAM_PEER_IP_SAN":  "10.1.2.3,2001:db8::1",
		"DOWNSTREAM_PEER_SUBJECT": `CN=\C3\9Cnicode  client#\<\>,O=Acme\, \"x\"\; Inc./y,C=US`, "DOWNSTREAM_PEER_ISSUER": "CN=Int CA,O=Acme",
		"DOWNSTREAM_LOCAL_SUBJECT": `CN=server,OU=B+OU=A,O=Acme\, Inc.,L=San Francisco,ST=CA,C=US`, "UPSTREAM_PEER_ISSUER": `CN=Test CA,O=Acme\, Inc.,C=DE`,
		"DOWNSTREAM_PEER_FINGERPRINT_256": chain256[:64], "DOWNSTREAM_PEER_FINGERPRINT_1": chain1[:40], "DOWNSTREAM_PEER_SERIAL": serials[:40],
		"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256": chain256, "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1": chain1, "DOWNSTREAM_PEER_CHAIN_SERIALS": serials,
		"DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256": chain256[65:], "DOWNSTREAM_PEER_ISSUER_SERIAL": serials[41:],
		"DOWNSTREAM_PEER_CERT_V_START": "2026-11-23T20:17:18.000Z", "UPSTREAM_PEER_CERT_V_END": "2028-04-06T20:17:18.000Z", "DOWNSTREAM_PEER_CERT_V_END(%Y)": "2027",
	} {
		f, err := testCompiler().Compile("%" + operator + "%")
		if err != nil {
			t.Errorf("%s: %v", operator, err)
			continue
		}
		if got := string(f.Append(nil, e)); got != want {
			t.Errorf("%s: got %s, want %s", operator, got, want)
		}
		if got := string(f.Append(nil, plain)); got != "-" {
			t.Errorf("%s without TLS: got %s", operator, got)
		}
	}
}
