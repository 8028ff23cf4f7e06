package tlscontext

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/transport"
	"github.com/nuncio-proxy/nuncio/internal/l4/tlssocket"
)

type host string

func (host) Address() address.Address { return address.Address{} }
func (h host) Hostname() string       { return string(h) }

func TestUpstream(t *testing.T) {
	ca := issue(t, nil, wish{name: "ca", ca: true})
	own := issue(t, ca, wish{name: "server", dns: []string{"a.example", "*.b.example"}})
	mine := issue(t, ca, wish{name: "client"})
	signing := issue(t, ca, wish{name: "usage", rsa: true, usage: x509.KeyUsageKeyEncipherment})
	trusted := `"validation_context":{"trusted_ca":` + inline(ca.pem())
	for _, tc := range []struct {
		name, common, more string
		o                  *transport.Options
		host               transport.Host
		cert               *identity // of the server, own if nil
		sni, alpn, detail  string
		valid              bool
	}{
		{"nothing is checked", "", "", nil, nil, nil, "", "", "", false},
		{"trusted, whatever its name", trusted + "}", `,"sni":"x.example"`, nil, nil, nil, "x.example", "", "", true},
		{"name of the host", "", `,"auto_host_sni":true,"sni":"x.example"`, nil, host("h.example"), nil, "h.example", "", "", false},
		{"host without a name", "", `,"auto_host_sni":true,"sni":"x.example"`, nil, host(""), nil, "x.example", "", "", false},
		{"name of the request", "", `,"auto_host_sni":true,"sni":"x.example"`, &transport.Options{ServerName: "r.example"}, host("h.example"), nil, "r.example", "", "", false},
		{"the name asked for", trusted + "}", `,"sni":"z.b.example","auto_sni_san_validation":true`, nil, nil, nil, "z.b.example", "", "", true},
		{"another name than asked for", trusted + "}", `,"sni":"x.example","auto_sni_san_validation":true`, nil, nil, nil, "", "", "SAN matcher, certificate SANs are [a.example, *.b.example]", false},
		{"names of the request", trusted + "}", "", &transport.Options{VerifyNames: []string{"x.example", "a.example"}}, nil, nil, "", "", "", true},
		{"other names than of the request", trusted + "}", "", &transport.Options{VerifyNames: []string{"x.example"}}, nil, nil, "", "",
			"verify SAN list, expected SANs: [x.example], certificate SANs: [a.example, *.b.example]", false},
		{"names of the request and nobody is trusted", "", "", &transport.Options{VerifyNames: []string{"a.example"}}, nil, nil, "", "",
			"unable to get local issuer certificate", false},
		{"protocols", `"alpn_protocols":["http/1.1"]`, "", &transport.Options{ALPNFallback: []string{"h2"}}, nil, nil, "", "http/1.1", "", false},
		{"protocols of the request", `"alpn_protocols":["http/1.1"]`, "", &transport.Options{ALPN: []string{"h2"}}, nil, nil, "", "h2", "", false},
		{"protocols otherwise", "", "", &transport.Options{ALPNFallback: []string{"h2"}}, nil, nil, "", "h2", "", false},
		{"a key that may not sign", "", "", nil, nil, signing, "", "", "KEY_USAGE_BIT_INCORRECT", false},
		{"a certificate of its own", `"tls_certificates":[` + mine.config() + "]", "", nil, nil, nil, "", "", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			c := r.mustClient(fmt.Sprintf(`{"common_tls_context":{%s}%s}`, tc.common, tc.more))
			cert := own
			if tc.cert != nil {
				cert = tc.cert
			}
			near, far := call(c, tc.o, tc.host, &tls.Config{Certificates: []tls.Certificate{cert.chain()}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2", "http/1.1"}})
			if tc.detail != "" {
				if near.err == nil || !strings.Contains(tlssocket.Failure(near.err), tc.detail) {
					t.Errorf("got %v", near.err)
				}
				return
			}
			if near.err != nil || near.session.Version != "TLSv1.2" || near.session.PeerValidated != tc.valid || near.session.ALPN != tc.alpn || far.state.ServerName != tc.sni {
				t.Errorf("got %+v, %v", near.session, near.err)
			}
			if sent := len(far.state.PeerCertificates) > 0; sent != strings.Contains(tc.common, "tls_certificates") || sent != (near.session.Local() != nil) {
				t.Errorf("sent a certificate: %t", sent)
			}
		})
	}
}

func TestSessionsOfAClient(t *testing.T) {
	r := newRig(t)
	own := issue(t, nil, wish{name: "server"})
	s := &tls.Config{Certificates: []tls.Certificate{own.chain()}}
	resumed := func(c *client, name string) bool {
		near, _ := call(c, &transport.Options{ServerName: name}, nil, s)
		if near.err != nil {
			t.Error(near.err)
		}
		return near.session.Resumed
	}
	for _, version := range []string{"TLSv1_2", "TLSv1_3"} {
		params := `"common_tls_context":{"tls_params":{"tls_maximum_protocol_version":"` + version + `"}}`
		for _, tc := range []struct {
			keys string
			want string
		}{
			{"", "a- a+ a+ b- a- a+"}, {`,"max_session_keys":2`, "a- b- a+ b+ a+"}, {`,"max_session_keys":0`, "a- a-"},
		} {
			c := r.mustClient("{" + params + tc.keys + "}")
			var got []string
			for step := range strings.FieldsSeq(tc.want) {
				mark := "-"
				if resumed(c, step[:1]) {
					mark = "+"
				}
				got = append(got, step[:1]+mark)
			}
			if g := strings.Join(got, " "); g != tc.want {
				t.Errorf("%s%s: got %s, want %s", version, tc.keys, g, tc.want)
			}
		}
	}
	var empty *transport.Options
	c := r.mustClient("{}")
	if c.Key(empty) != "" || c.Key(&transport.Options{HTTP11Target: "x"}) != "" ||
		c.Key(&transport.Options{ServerName: "a"}) == c.Key(&transport.Options{VerifyNames: []string{"a"}}) {
		t.Error("keys do not tell connections apart")
	}
}

// A change of what is trusted holds for sessions too.
func TestResumedServerIsValidatedAgain(t *testing.T) {
	r := newRig(t)
	ca := issue(t, nil, wish{name: "ca", ca: true})
	own := issue(t, ca, wish{name: "server", dns: []string{"a.example"}})
	c := r.mustClient(`{"common_tls_context":{"validation_context":{"trusted_ca":` + inline(ca.pem()) + `}}}`)
	s := &tls.Config{Certificates: []tls.Certificate{own.chain()}}
	if near, _ := call(c, nil, nil, s); near.err != nil {
		t.Fatal(near.err)
	}
	near, _ := call(c, &transport.Options{VerifyNames: []string{"b.example"}}, nil, s)
	if near.err == nil {
		t.Error("a resumed session has another name than asked for")
	}
}

func TestKeyLog(t *testing.T) {
	r := newRig(t)
	own := issue(t, nil, wish{name: "server"})
	logs := files{}
	r.ctx.Files = logs
	for i, ranges := range []string{"", `,"remote_address_range":[{"address_prefix":"10.0.0.0","prefix_len":8}]`} {
		s := r.mustServer(fmt.Sprintf(`{"common_tls_context":{"key_log":{"path":"keys%d"%s},"tls_certificates":[%s]}}`, i, ranges, own.config()))
		meet(s, &tls.Config{InsecureSkipVerify: true})
	}
	if !strings.Contains(string(logs["keys0"].text), "CLIENT_HANDSHAKE_TRAFFIC_SECRET ") || len(logs["keys1"].text) != 0 {
		t.Errorf("got %q, %q", logs["keys0"].text, logs["keys1"].text)
	}
}
