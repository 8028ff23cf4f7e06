package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

// A ca is an authority that believes signatures, so that tests can have it do what no
// real one does. The real protocol is tested in conformance/interop.
type ca struct {
	*httptest.Server
	t    *testing.T
	file string // with its certificate
	key  *ecdsa.PrivateKey
	cert *x509.Certificate

	// set before it is asked
	now      func() time.Time
	lifetime time.Duration
	validate func(kind, domain, token, keyAuthorization string) error
	external bool // asks for an external account

	mu         sync.Mutex // guards what follows
	thumbprint string
	domains    []string // of the last order
	authorized map[string]string
	problem    func(what string) (status int, kind, detail string) // "" kind: none
	orders     int
	registered int
	chain      []byte
}

func newCA(t *testing.T, now func() time.Time) *ca {
	c := &ca{t: t, now: now, lifetime: 90 * 24 * time.Hour, authorized: map[string]string{}}
	var err error
	if c.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: now().Add(-time.Hour), NotAfter: now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &c.key.PublicKey, c.key)
	if err != nil {
		t.Fatal(err)
	}
	if c.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	c.Server = httptest.NewTLSServer(http.HandlerFunc(c.serve))
	t.Cleanup(c.Close)
	c.file = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw})
	if err := os.WriteFile(c.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// counts returns how many orders and accounts there were.
func (c *ca) counts() (orders, accounts int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.orders, c.registered
}

// fail has requests answered with problems; nil: none.
func (c *ca) fail(f func(what string) (status int, kind, detail string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problem = f
}

func always(status int, kind, detail string) func(string) (int, string, string) {
	return func(string) (int, string, string) { return status, kind, detail }
}

type jws struct{ Protected, Payload string }

func decode(text string, into any) {
	raw, _ := base64.RawURLEncoding.DecodeString(text)
	_ = json.Unmarshal(raw, into)
}

func (c *ca) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.Header().Set("Replay-Nonce", "n")
	w.Header().Set("Link", `<https://example.com/terms>;rel="terms-of-service"`)
	var body jws
	_ = json.NewDecoder(r.Body).Decode(&body)
	_, what, _ := strings.Cut(r.URL.Path, "/")
	what, rest, _ := strings.Cut(what, "/")
	if c.problem != nil {
		if status, kind, detail := c.problem(what); kind != "" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "7200")
			w.WriteHeader(status)
			c.write(w, map[string]any{"type": "urn:ietf:params:acme:error:" + kind, "detail": detail, "status": status})
			return
		}
	}
	switch what {
	case "directory":
		c.write(w, map[string]any{"newNonce": c.URL + "/nonce", "newAccount": c.URL + "/account", "newOrder": c.URL + "/new",
			"revokeCert": c.URL + "/revoke", "keyChange": c.URL + "/change", "meta": map[string]any{"termsOfService": "https://example.com/terms"}})
	case "nonce":
	case "account":
		c.register(w, body)
	case "new":
		c.order(w, body)
	case "authz":
		c.write(w, c.authorization(rest))
	case "challenge":
		c.challenge(w, rest)
	case "order":
		c.write(w, c.orderState(w))
	case "finalize":
		c.finalize(w, body)
	case "cert":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		_, _ = w.Write(c.chain)
	default:
		http.NotFound(w, r)
	}
}

func (c *ca) write(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func (c *ca) register(w http.ResponseWriter, body jws) {
	var protected struct{ JWK struct{ X, Y string } }
	var payload struct {
		TermsOfServiceAgreed   bool
		Contact                []string
		ExternalAccountBinding json.RawMessage
	}
	decode(body.Protected, &protected)
	decode(body.Payload, &payload)
	if !payload.TermsOfServiceAgreed || c.external != (payload.ExternalAccountBinding != nil) {
		c.t.Errorf("registered with %+v", payload)
	}
	x, _ := base64.RawURLEncoding.DecodeString(protected.JWK.X)
	y, _ := base64.RawURLEncoding.DecodeString(protected.JWK.Y)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		c.t.Error(err)
		return
	}
	thumbprint, err := acme.JWKThumbprint(key)
	if err != nil {
		c.t.Error(err)
	}
	w.Header().Set("Location", c.URL+"/account/1")
	if thumbprint != c.thumbprint {
		c.thumbprint = thumbprint
		c.registered++
		w.WriteHeader(http.StatusCreated)
	}
	c.write(w, map[string]any{"status": "valid"})
}

func (c *ca) order(w http.ResponseWriter, body jws) {
	var payload struct{ Identifiers []struct{ Value string } }
	decode(body.Payload, &payload)
	c.domains, c.authorized = nil, map[string]string{}
	for _, id := range payload.Identifiers {
		c.domains = append(c.domains, id.Value)
		c.authorized[id.Value] = "pending"
	}
	c.orders++
	state := c.orderState(w)
	w.WriteHeader(http.StatusCreated)
	c.write(w, state)
}

func (c *ca) orderState(w http.ResponseWriter) map[string]any {
	w.Header().Set("Location", c.URL+"/order/1")
	status, urls := "ready", []string{}
	for _, domain := range c.domains {
		urls = append(urls, c.URL+"/authz/"+domain)
		if c.authorized[domain] != "valid" {
			status = "pending"
		}
	}
	return map[string]any{"status": status, "authorizations": urls, "finalize": c.URL + "/finalize"}
}

// authorization describes that of a domain; its token is the name of the domain.
func (c *ca) authorization(domain string) map[string]any {
	challenges := []map[string]any{}
	for _, kind := range []string{"dns-01", "http-01", "tls-alpn-01"} {
		one := map[string]any{"type": kind, "url": c.URL + "/challenge/" + kind + "/" + domain, "token": token(domain), "status": "pending"}
		if c.authorized[domain] == "invalid" {
			one["error"] = map[string]any{"type": "urn:ietf:params:acme:error:unauthorized", "detail": "the answer for " + domain + " is wrong"}
			if kind == "dns-01" {
				delete(one, "error")
			}
		}
		challenges = append(challenges, one)
	}
	return map[string]any{"status": c.authorized[domain], "identifier": map[string]any{"type": "dns", "value": domain}, "challenges": challenges}
}

func token(domain string) string { return "token-" + strings.ReplaceAll(domain, ".", "_") }

func (c *ca) challenge(w http.ResponseWriter, rest string) {
	kind, domain, _ := strings.Cut(rest, "/")
	c.authorized[domain] = "valid"
	if c.validate != nil {
		if err := c.validate(kind, domain, token(domain), token(domain)+"."+c.thumbprint); err != nil {
			c.authorized[domain] = "invalid"
		}
	}
	c.write(w, map[string]any{"type": kind, "url": c.URL + "/challenge/" + rest, "token": token(domain), "status": "processing"})
}

func (c *ca) finalize(w http.ResponseWriter, body jws) {
	var payload struct{ CSR string }
	decode(body.Payload, &payload)
	raw, _ := base64.RawURLEncoding.DecodeString(payload.CSR)
	request, err := x509.ParseCertificateRequest(raw)
	if err != nil {
		c.t.Error(err)
		return
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(int64(c.orders) + 1), DNSNames: request.DNSNames, NotBefore: c.now(), NotAfter: c.now().Add(c.lifetime),
	}, c.cert, request.PublicKey, c.key)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw})...)
	state := c.orderState(w)
	state["status"], state["certificate"] = "valid", fmt.Sprintf("%s/cert/%d", c.URL, c.orders)
	c.write(w, state)
}
