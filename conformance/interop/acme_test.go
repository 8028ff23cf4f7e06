package interop

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// An authority is a Pebble, the ACME server for tests of Let's Encrypt, that is started
// when the test wants it. It takes 127.0.0.1 for the address of all names.
type authority struct {
	directory, management string // addresses
	http, tls             string // where it sends its challenges
	lifetime              int    // of certificates, in s
	blocked               string // a domain that it refuses
}

func newAuthority(t *testing.T) *authority {
	return &authority{directory: freePort(t), management: freePort(t), http: freePort(t), tls: freePort(t), lifetime: 7776000, blocked: "blocked.test"}
}

func (a *authority) start(t *testing.T) {
	t.Helper()
	number := func(address string) json.Number {
		_, port, _ := net.SplitHostPort(address)
		return json.Number(port)
	}
	text, err := json.Marshal(object{"pebble": object{
		"listenAddress": a.directory, "managementListenAddress": a.management, "certificate": made.server.certificate, "privateKey": made.server.key,
		"httpPort": number(a.http), "tlsPort": number(a.tls), "retryAfter": object{"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
		"domainBlocklist": []string{a.blocked},
		"profiles":        object{"default": object{"description": "of the test", "validityPeriod": a.lifetime}},
	}})
	config := filepath.Join(t.TempDir(), "pebble.json")
	if err == nil {
		err = os.WriteFile(config, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	// It refuses some nonces, as it does by default, and has each name proved anew.
	run(t, "env", "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0", tool(t, "pebble"), "-config", config, "-dnsserver", startDNS(t), "-strict")
	awaitServer(t, a.directory)
	awaitServer(t, a.management)
}

// roots returns the certificate that it signs with.
func (a *authority) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	own := x509.NewCertPool()
	own.AddCert(made.ca.parsed)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own}, DisableKeepAlives: true}}
	answer, err := client.Get("https://" + a.management + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatalf("%s, %v", text, err)
	}
	return roots
}

// config is the extension of the bootstrap; more replaces what it has.
func (a *authority) config(storage string, more object) object {
	acme := object{
		"@type":         "type.googleapis.com/nuncio.extensions.acme.v1.Acme",
		"directory_url": "https://" + a.directory + "/dir", "contact_email": "admin@site.test", "terms_of_service_agreed": true,
		"trusted_ca_file": made.ca.certificate, "storage_path": storage, "retry_base_interval": "0.5s", "retry_max_interval": "1s",
	}
	for name, value := range more {
		acme[name] = value
	}
	return acme
}

// answering is a chain that says hello, after some HTTP filters.
func answering(filters ...object) object {
	return object{"filters": []object{{"name": "hcm", "typed_config": typed("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", object{
		"stat_prefix": "in",
		"route_config": object{"virtual_hosts": []object{{"name": "all", "domains": []string{"*"}, "routes": []object{{
			"match": object{"prefix": "/"}, "direct_response": object{"status": 200, "body": object{"inline_string": "hello"}},
		}}}}},
		"http_filters": append(filters, object{"name": "router", "typed_config": typed("extensions.filters.http.router.v3.Router", object{})}),
	})}}}
}

// securely has the chain use secrets.
func securely(chain object, secrets ...string) object {
	var list []object
	for _, s := range secrets {
		list = append(list, object{"name": s})
	}
	chain["transport_socket"] = object{"name": "envoy.transport_sockets.tls", "typed_config": typed("extensions.transport_sockets.tls.v3.DownstreamTlsContext",
		object{"common_tls_context": object{"tls_certificate_sds_secret_configs": list}})}
	return chain
}

// startACME runs a proxy, and returns the address of its admin.
func startACME(t *testing.T, acme object, listeners map[string]object) string {
	t.Helper()
	var list []object
	for address, chain := range listeners {
		list = append(list, object{"name": address, "address": port(address), "filter_chains": []object{chain}})
	}
	return serveBootstrap(t, object{
		"admin":                object{"address": port("127.0.0.1:0")},
		"bootstrap_extensions": []object{{"name": "acme", "typed_config": acme}},
		"static_resources":     object{"listeners": list},
	})
}

// visit makes a request to a name, and returns the certificate that it is shown, if roots
// know it.
func visit(address, name string, roots *x509.CertPool) (*x509.Certificate, error) {
	dialer := net.Dialer{Timeout: startTime}
	c, err := tls.DialWithDialer(&dialer, "tcp", address, &tls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nhost: %s\r\nconnection: close\r\n\r\n", name); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(c)
	if err == nil && !strings.HasSuffix(string(text), "hello") {
		err = fmt.Errorf("got %q", text)
	}
	return c.ConnectionState().PeerCertificates[0], err
}

// counted reports that a statistic is at least some value.
func counted(admin, name string, least int) error {
	text, err := get(admin, "/stats?filter=^"+name+"$")
	var value int
	if err == nil {
		_, err = fmt.Sscanf(text, name+": %d", &value)
	}
	if err == nil && value < least {
		err = fmt.Errorf("%s is %d", name, value)
	}
	return err
}

// TestACME lets nuncio obtain certificates from Pebble.
func TestACME(t *testing.T) {
	needTools(t)
	t.Run("tls-alpn-01", func(t *testing.T) {
		t.Parallel()
		a := newAuthority(t)
		acme := a.config(t.TempDir(), object{"challenges": []string{"TLS_ALPN_01"}, "certificates": []object{
			{"secret_name": "site", "domains": []string{"site.test", "www.site.test"}},
			{"secret_name": "refused", "domains": []string{a.blocked}, "key_type": "RSA_2048"},
		}})
		admin := startACME(t, acme, map[string]object{a.tls: securely(answering(), "site")})
		if _, err := visit(a.tls, "site.test", nil); err == nil {
			t.Error("there is a certificate without an authority")
		}
		await(t, func() error { return counted(admin, "acme.failed", 1) })
		a.start(t) // after its absence was noticed
		roots := a.roots(t)
		await(t, func() error {
			return errors.Join(visitAll(a.tls, roots, "site.test", "www.site.test"), counted(admin, "acme.obtained", 1))
		})
		// Who speaks the protocol of challenges gets no certificate of another kind.
		c, err := tls.Dial("tcp", a.tls, &tls.Config{ServerName: "site.test", InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}})
		if err == nil {
			if c.ConnectionState().NegotiatedProtocol != "" {
				t.Error("a challenge is answered that nobody has made")
			}
			c.Close()
		}
		shown, err := get(admin, "/certs")
		if err != nil || !strings.Contains(shown, "www.site.test") {
			t.Errorf("%v, %s", err, shown)
		}
		if dump, err := get(admin, "/config_dump?resource=static_secrets"); err != nil || strings.Contains(dump, "PRIVATE KEY") {
			t.Errorf("%v, %s", err, dump)
		}
	})
	t.Run("http-01", func(t *testing.T) {
		t.Parallel()
		a, secure := newAuthority(t), freePort(t)
		a.start(t)
		filter := object{"name": "acme", "typed_config": object{"@type": "type.googleapis.com/nuncio.extensions.acme.v1.HttpChallenges"}}
		startACME(t, a.config(t.TempDir(), object{"challenges": []string{"HTTP_01"}, "certificates": []object{{"secret_name": "site", "domains": []string{"site.test"}}}}),
			map[string]object{a.http: answering(filter), secure: securely(answering(), "site")})
		roots := a.roots(t)
		await(t, func() error { return visitAll(secure, roots, "site.test") })
		if text, err := get(a.http, "/.well-known/acme-challenge/unknown"); err != nil || text != "hello" {
			t.Errorf("an unknown token: %s, %v", text, err)
		}
	})
	t.Run("on demand", func(t *testing.T) {
		t.Parallel()
		a := newAuthority(t)
		a.start(t)
		admin := startACME(t, a.config(t.TempDir(), object{"on_demand": object{"secret_name": "any", "allowed_domains": []string{"*.many.test", a.blocked}}}),
			map[string]object{a.tls: securely(answering(), "any")})
		roots := a.roots(t)
		// The handshake waits for the certificate.
		if err := visitAll(a.tls, roots, "a.many.test", "b.many.test", "a.many.test"); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"other.test", a.blocked} {
			if _, err := visit(a.tls, name, roots); err == nil {
				t.Errorf("%s has a certificate", name)
			}
		}
		for name, least := range map[string]int{"acme.obtained": 2, "acme.on_demand_refused": 1, "acme.failed": 1} {
			if err := counted(admin, name, least); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("shared storage", func(t *testing.T) {
		t.Parallel()
		a, second := newAuthority(t), freePort(t)
		a.lifetime = 8
		a.start(t)
		storage := t.TempDir()
		acme := func() object {
			return a.config(storage, object{"renewal_ratio": 0.5, "certificates": []object{{"secret_name": "site", "domains": []string{"site.test"}}}})
		}
		// The authority asks the first, whichever has placed the order.
		admins := []string{startACME(t, acme(), map[string]object{a.tls: securely(answering(), "site")})}
		admins = append(admins, startACME(t, acme(), map[string]object{second: securely(answering(), "site")}))
		roots := a.roots(t)
		seen := map[string]bool{}
		await(t, func() error {
			one, err := visit(a.tls, "site.test", roots)
			if err != nil {
				return err
			}
			other, err := visit(second, "site.test", roots)
			if err != nil {
				return err
			}
			if !one.Equal(other) {
				return errors.New("they have different certificates")
			}
			if seen[one.SerialNumber.String()] = true; len(seen) < 3 {
				return fmt.Errorf("%d certificates were seen", len(seen))
			}
			return nil
		})
		text := ""
		for _, admin := range admins {
			some, err := get(admin, "/stats?filter=^acme.obtained$")
			if err != nil {
				t.Fatal(err)
			}
			text += strings.TrimSpace(some) + "\n"
		}
		if strings.Count(text, ": 1\n") != 1 || strings.Count(text, ": 0\n") != 1 {
			t.Errorf("not obtained once:\n%s", text)
		}
	})
}

func visitAll(address string, roots *x509.CertPool, names ...string) error {
	for _, name := range names {
		if _, err := visit(address, name, roots); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// startDNS runs a DNS server, over TCP, for which all names are at 127.0.0.1.
func startDNS(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerDNS(c)
		}
	}()
	return l.Addr().String()
}

func answerDNS(c net.Conn) {
	defer c.Close()
	if c.SetDeadline(time.Now().Add(startTime)) != nil {
		return
	}
	for {
		var length [2]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		text := make([]byte, binary.BigEndian.Uint16(length[:]))
		var m dnsmessage.Message
		if _, err := io.ReadFull(c, text); err != nil || m.Unpack(text) != nil || len(m.Questions) != 1 {
			return
		}
		m.Response, m.Additionals = true, nil
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		answer, err := m.AppendPack(make([]byte, 2))
		if err != nil {
			return
		}
		binary.BigEndian.PutUint16(answer, uint16(len(answer)-2))
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}
