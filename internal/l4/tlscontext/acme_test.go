package tlscontext

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/internal/l4/tlssocket"
)

// obtaining is an ACME that the test fills.
type obtaining struct {
	challenges, ready, later map[string]*tls.Certificate
	obtained                 int
}

func (o *obtaining) Manages(secret string) (managed, onDemand bool) {
	return secret == "kept" || secret == "demanded", secret == "demanded"
}
func (o *obtaining) Challenge(domain string) *tls.Certificate { return o.challenges[domain] }
func (o *obtaining) Ready(name string) *tls.Certificate       { return o.ready[name] }
func (o *obtaining) Obtain(name string, _ <-chan struct{}) (*tls.Certificate, error) {
	o.obtained++
	if c := o.later[name]; c != nil {
		return c, nil
	}
	return nil, errors.New("no")
}

func (id *identity) tls() *tls.Certificate {
	c := id.chain()
	c.Leaf = id.cert
	return &c
}

func naming(secrets ...string) string {
	var list []string
	for _, s := range secrets {
		list = append(list, fmt.Sprintf(`{"name":%q}`, s))
	}
	return `{"common_tls_context":{"tls_certificate_sds_secret_configs":[` + strings.Join(list, ",") + `],"alpn_protocols":["h2","http/1.1"]}`
}

func asking(name string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: name, NextProtos: []string{challengeProtocol}}
}

// newACMERig has the secrets kept and demanded of ACME, and plain.
func newACMERig(t *testing.T) (*rig, *obtaining, secrets) {
	r := newRig(t)
	o := &obtaining{challenges: map[string]*tls.Certificate{}, ready: map[string]*tls.Certificate{}, later: map[string]*tls.Certificate{}}
	r.contexts.UseACME(o)
	all := secrets{"kept": {name: "kept"}, "demanded": {name: "demanded"}, "plain": {name: "plain"}}
	r.ctx.Secrets = all
	return r, o, all
}

func (r *rig) secret(name string, id *identity) *tlsv3.Secret {
	s := new(tlsv3.Secret)
	r.unmarshal(fmt.Sprintf(`{"name":%q,"tls_certificate":%s}`, name, id.config()), s)
	return s
}

func TestChallengeIsAnswered(t *testing.T) {
	r, o, all := newACMERig(t)
	// Clients must show a certificate: what asks for the answer need not, and gets no further.
	ca := issue(t, nil, wish{name: "ca", ca: true})
	mutual := naming("kept")
	mutual = mutual[:len(mutual)-1] + fmt.Sprintf(`,"validation_context":{"trusted_ca":%s}},"require_client_certificate":true}`, inline(ca.pem()))
	o.challenges["a.test"] = issue(t, nil, wish{name: "answer", dns: []string{"a.test"}}).tls()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, missing := range []bool{true, false} {
			s := r.mustServer(mutual)
			if !missing {
				all["kept"].secret = r.secret("kept", issue(t, ca, wish{name: "kept", dns: []string{"a.test"}}))
				s = r.mustServer(mutual)
			}
			if !s.Secure() {
				t.Error("not secure although the secret may come")
			}
			config := asking("a.test")
			config.MaxVersion = version
			near, far := meet(s, config)
			if far.state == nil || far.state.NegotiatedProtocol != challengeProtocol || far.state.PeerCertificates[0].Subject.CommonName != "answer" {
				t.Errorf("TLS %x, missing %v: %v, %v", version, missing, near.err, far.err)
			}
			if !errors.Is(near.err, errAnswered) {
				t.Errorf("the connection goes on: %v", near.err)
			}
			all["kept"].secret = nil
		}
	}
	r.count("ssl.connection_error", 0)
}

func TestWhatIsNoChallenge(t *testing.T) {
	r, o, all := newACMERig(t)
	o.challenges["a.test"] = issue(t, nil, wish{name: "answer"}).tls()
	all["plain"].secret = r.secret("plain", issue(t, nil, wish{name: "plain"}))
	two := asking("a.test")
	two.NextProtos = append(two.NextProtos, "h2")
	both := r.mustServer(naming("plain") + "}")
	all["kept"].secret = r.secret("kept", issue(t, nil, wish{name: "kept"}))
	kept := r.mustServer(naming("kept") + "}")
	for _, tc := range []struct {
		name   string
		server *server
		client *tls.Config
		want   string
	}{
		{"no secret of ACME", both, asking("a.test"), "plain"},
		{"another protocol besides", kept, two, "kept"},
		{"another domain", kept, asking("b.test"), "kept"},
	} {
		near, far := meet(tc.server, tc.client)
		if near.err != nil || far.err != nil || far.state.PeerCertificates[0].Subject.CommonName != tc.want {
			t.Errorf("%s: %v, %v", tc.name, near.err, far.err)
		}
	}
}

func TestMissingSecretOfACME(t *testing.T) {
	r, _, all := newACMERig(t)
	s := r.mustServer(naming("kept") + "}")
	client := &tls.Config{InsecureSkipVerify: true, ServerName: "a.test"}
	if near, _ := meet(s, client); !errors.Is(near.err, tlssocket.ErrNotReady) {
		t.Errorf("got %v", near.err)
	}
	r.count("server_ssl_socket_factory.downstream_context_secrets_not_ready", 1)
	r.count("ssl.connection_error", 0)
	if err := all["kept"].change(r.secret("kept", issue(t, nil, wish{name: "kept"}))); err != nil {
		t.Fatal(err)
	}
	if near, far := meet(s, client); near.err != nil || far.err != nil {
		t.Errorf("%v, %v", near.err, far.err)
	}
}

func TestOnDemand(t *testing.T) {
	r, o, all := newACMERig(t)
	all["plain"].secret = r.secret("plain", issue(t, nil, wish{name: "plain", dns: []string{"plain.test"}}))
	o.ready["ready.test"] = issue(t, nil, wish{name: "ready"}).tls()
	o.later["later.test"] = issue(t, nil, wish{name: "later", rsa: true}).tls()
	alone, mixed := r.mustServer(naming("demanded")+"}"), r.mustServer(naming("plain", "demanded")+"}")
	for _, tc := range []struct {
		name     string
		server   *server
		asks     string
		want     string // "" for an error
		obtained int
	}{
		{"there already", alone, "ready.test", "ready", 0},
		{"obtained", alone, "later.test", "later", 1},
		{"not to be had", alone, "other.test", "", 1},
		{"without a name", alone, "", "", 1},
		{"one that is configured", mixed, "plain.test", "plain", 0},
		{"obtained besides", mixed, "later.test", "later", 1},
		{"not to be had, but there is another", mixed, "other.test", "plain", 1},
	} {
		o.obtained = 0
		near, far := meet(tc.server, &tls.Config{InsecureSkipVerify: true, ServerName: tc.asks, NextProtos: []string{"h2"}})
		if o.obtained != tc.obtained {
			t.Errorf("%s: obtained %d times", tc.name, o.obtained)
		}
		if tc.want == "" {
			if !errors.Is(near.err, errNoCertificate) || !strings.Contains(tlssocket.Failure(near.err), "NO_CERTIFICATE_SET") {
				t.Errorf("%s: got %v", tc.name, near.err)
			}
			continue
		}
		if near.err != nil || far.err != nil {
			t.Errorf("%s: %v, %v", tc.name, near.err, far.err)
			continue
		}
		if got := far.state.PeerCertificates[0].Subject.CommonName; got != tc.want || near.session.LocalCertificate.Subject.CommonName != tc.want || near.session.ALPN != "h2" {
			t.Errorf("%s: got %s, %+v", tc.name, got, near.session)
		}
	}
}
