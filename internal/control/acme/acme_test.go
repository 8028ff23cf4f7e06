package acme

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/acmev1"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

const day = 24 * time.Hour

func TestObtain(t *testing.T) {
	clk, dir := newClock(), filepath.Join(t.TempDir(), "made", "by itself")
	c := newCA(t, clk.Now)
	r := newRig(t, c, clk, dir, nil)
	r.manager.Start()
	if r.leaf("cert") != nil {
		t.Error("there is a certificate before it was obtained")
	}
	r.settle()
	leaf := r.leaf("cert")
	if leaf == nil || !slices.Equal(leaf.DNSNames, []string{"a.test", "www.a.test"}) {
		t.Fatalf("got %v\n%s", leaf, r.log())
	}
	r.wantLog("info: ACME: certificate cert (a.test, www.a.test) is valid until 2026-04-02T03:04:05Z")
	r.count("obtained", 1)
	r.count("certificates", 1)
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		if strings.Contains(path, "challenges/") && !info.IsDir() || strings.Contains(path, ".new-") {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	again := newRig(t, c, clk, dir, nil)
	again.manager.Start()
	if got := again.leaf("cert"); got == nil || !got.Equal(leaf) {
		t.Error("after a restart the certificate is not there at once")
	}
	again.settle()
	if orders, accounts := c.counts(); orders != 1 || accounts != 1 {
		t.Errorf("%d orders, %d accounts", orders, accounts)
	}
	again.count("obtained", 0)
}

func TestKeyTypesAndExternalAccount(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	c.external = true
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("c2VjcmV0LWtleQ==\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, c, clk, t.TempDir(), func(msg *acmev1.Acme) {
		msg.ExternalAccount = &acmev1.ExternalAccount{KeyId: "k", HmacKeyFile: key}
		msg.Certificates[0].KeyType = acmev1.KeyType_RSA_2048
	})
	r.manager.Start()
	r.settle()
	if k, ok := r.leaf("cert").PublicKey.(*rsa.PublicKey); !ok || k.N.BitLen() != 2048 {
		t.Errorf("the key is a %T", r.leaf("cert").PublicKey)
	}
}

// Each kind of challenge is answered, by this server and by another one with the same
// storage.
func TestChallenges(t *testing.T) {
	for _, kind := range []string{tlsALPN01, http01} {
		t.Run(kind, func(t *testing.T) {
			clk, dir := newClock(), t.TempDir()
			c := newCA(t, clk.Now)
			only := func(msg *acmev1.Acme) {
				msg.Challenges = []acmev1.Challenge{acmev1.Challenge_TLS_ALPN_01}
				if kind == http01 {
					msg.Challenges = []acmev1.Challenge{acmev1.Challenge_HTTP_01}
				}
			}
			r, other := newRig(t, c, clk, dir, only), newRig(t, c, clk, dir, only)
			c.validate = func(used, domain, token, want string) error {
				if used != kind {
					t.Errorf("%s is used", used)
				}
				for _, one := range []*rig{r, other} {
					if got := one.answer(kind, domain, token); kind == http01 && got != want {
						t.Errorf("%s: got %q, want %q", domain, got, want)
					} else if sum := sha256.Sum256([]byte(want)); kind == tlsALPN01 && got != string(sum[:]) {
						t.Errorf("%s: got %x, want %x", domain, got, sum)
					}
				}
				return nil
			}
			r.manager.Start()
			r.settle()
			if r.leaf("cert") == nil {
				t.Fatal(r.log())
			}
			if r.answer(kind, "a.test", token("a.test")) != "" || r.answer(kind, "../../x", "../../x") != "" {
				t.Error("there is an answer without a challenge")
			}
		})
	}
}

// answer returns what a challenge is answered with, "" without an answer.
func (r *rig) answer(kind, domain, token string) string {
	if kind == http01 {
		worker, answers := loop.New(2), make(chan string, 1)
		r.manager.KeyAuthorization(token, worker, func(answer string) { answers <- answer })
		for {
			worker.Run()
			select {
			case answer := <-answers:
				return answer
			default:
			}
		}
	}
	cert := r.manager.Challenge(strings.ToUpper(domain))
	if cert == nil {
		return ""
	}
	if err := cert.Leaf.VerifyHostname(domain); err != nil {
		r.T.Error(err)
	}
	for _, e := range cert.Leaf.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) && e.Critical {
			return string(e.Value[2:])
		}
	}
	return ""
}

func TestRefusedAndRecovered(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	var used []string
	good := false
	c.validate = func(kind, domain, _, _ string) error {
		used = append(used, kind)
		if !good {
			return errors.New("no")
		}
		return nil
	}
	r := newRig(t, c, clk, t.TempDir(), nil)
	r.manager.Start()
	r.settle()
	r.wantLog("error: ACME: certificate cert (a.test, www.a.test) is not obtained, the next attempt is in 1m0s: " +
		"a.test, tls-alpn-01: urn:ietf:params:acme:error:unauthorized: the answer for a.test is wrong")
	r.advance(time.Minute - 1)
	r.count("failed", 1)
	r.advance(1)
	r.wantLog("in 2m0s: a.test, http-01:")
	r.count("failed", 2)
	good = true
	r.advance(2 * time.Minute)
	if r.leaf("cert") == nil {
		t.Fatal(r.log())
	}
	if want := []string{tlsALPN01, http01, tlsALPN01, tlsALPN01}; !slices.Equal(used, want) {
		t.Errorf("used %v, want %v", used, want)
	}
	r.count("obtained", 1)
}

func TestProblems(t *testing.T) {
	for _, tc := range []struct {
		name     string
		where    string
		kind     string
		status   int
		wantLog  string
		wantWait time.Duration
	}{
		{"account", "account", "unauthorized", 403, "account: urn:ietf:params:acme:error:unauthorized: what it says", time.Minute},
		{"order", "new", "rejectedIdentifier", 400, "order: urn:ietf:params:acme:error:rejectedIdentifier: what it says", time.Minute},
		{"rate limit", "new", "rateLimited", 429, "next attempt is in 2h0m0s: order: urn:ietf:params:acme:error:rateLimited: what it says", 2 * time.Hour},
		{"finalize", "finalize", "badCSR", 400, "urn:ietf:params:acme:error:badCSR: what it says", time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			clk := newClock()
			c := newCA(t, clk.Now)
			r := newRig(t, c, clk, t.TempDir(), nil)
			c.fail(func(what string) (int, string, string) {
				if what == tc.where {
					return tc.status, tc.kind, "what it\nsays"
				}
				return 0, "", ""
			})
			r.manager.Start()
			r.settle()
			r.wantLog(tc.wantLog)
			c.fail(nil)
			r.advance(tc.wantWait - 1)
			r.count("obtained", 0)
			r.advance(1)
			r.count("obtained", 1)
		})
	}
}

func TestNotReachable(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	c.Close()
	r := newRig(t, c, clk, t.TempDir(), nil)
	r.manager.Start()
	r.settle()
	r.wantLog("is not obtained, the next attempt is in 1m0s: account: ", "connection refused")
}

func TestBackoff(t *testing.T) {
	c := &Config{retryBase: time.Minute, retryMax: 10 * time.Minute}
	for failures, want := range map[int]time.Duration{1: time.Minute, 2: 2 * time.Minute, 4: 8 * time.Minute, 5: 10 * time.Minute, 1000: 10 * time.Minute} {
		if got := c.backoff(failures); got != want {
			t.Errorf("%d: %v, want %v", failures, got, want)
		}
	}
}

func TestRenewal(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	r := newRig(t, c, clk, t.TempDir(), nil)
	r.manager.Start()
	r.settle()
	first := r.leaf("cert")
	r.advance(60*day - time.Hour - 1)
	if !r.leaf("cert").Equal(first) {
		t.Error("renewed too early")
	}
	c.fail(always(400, "malformed", "no"))
	r.advance(time.Hour + 1)
	r.wantLog("is not obtained", "malformed: no")
	if !r.leaf("cert").Equal(first) {
		t.Error("the certificate has gone because its renewal failed")
	}
	c.fail(nil)
	r.advance(time.Hour)
	if r.leaf("cert").Equal(first) {
		t.Fatalf("not renewed:\n%s", r.log())
	}
	r.count("renewed", 1)
	r.count("obtained", 1)
	r.count("certificates", 1)
	second := r.leaf("cert")
	c.fail(always(400, "malformed", "no"))
	r.advance(91 * day)
	if !r.leaf("cert").Equal(second) {
		t.Error("an expired certificate was taken away")
	}
}

// A certificate that is due as soon as it is there is not ordered in a loop.
func TestDueAtOnce(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	c.lifetime = 2 * time.Second
	r := newRig(t, c, clk, t.TempDir(), nil)
	r.manager.Start()
	r.settle()
	r.advance(59 * time.Second)
	if orders, _ := c.counts(); orders != 1 {
		t.Errorf("%d orders", orders)
	}
	r.advance(time.Second)
	if orders, _ := c.counts(); orders != 2 {
		t.Errorf("%d orders", orders)
	}
}

func TestSharedStorage(t *testing.T) {
	clk, dir := newClock(), t.TempDir()
	c := newCA(t, clk.Now)
	servers := []*rig{newRig(t, c, clk, dir, nil), newRig(t, c, clk, dir, nil), newRig(t, c, clk, dir, nil)}
	same := func(orders int) *x509.Certificate {
		t.Helper()
		got, accounts := c.counts()
		if got != orders || accounts != 1 {
			t.Errorf("%d orders, %d accounts", got, accounts)
		}
		leaf := servers[0].leaf("cert")
		for i, r := range servers {
			if leaf == nil || r.leaf("cert") == nil || !r.leaf("cert").Equal(leaf) {
				t.Fatalf("server %d has another certificate, or none:\n%s", i, r.log())
			}
		}
		return leaf
	}
	for _, r := range servers {
		r.manager.Start()
	}
	for _, r := range servers {
		r.settle()
	}
	first := same(1)
	clk.set(clk.Now().Add(60 * day))
	for _, r := range servers { // all of them begin before one has ended
		r.loop.Advance(60 * day)
	}
	for _, r := range servers {
		r.settle()
	}
	if same(2).Equal(first) {
		t.Error("not renewed")
	}
	// What another server did is seen in an hour.
	if err := os.Remove(servers[0].manager.store.path(servers[0].manager.file(servers[0].manager.kept[0].subject))); err != nil {
		t.Fatal(err)
	}
	servers[0].advance(time.Hour)
	servers[1].advance(time.Hour)
	servers[2].advance(time.Hour)
	same(3)
}

func TestCorruptStorage(t *testing.T) {
	for _, tc := range []struct{ name, text string }{
		{"empty", ""}, {"cut", "-----BEGIN PRIVATE KEY-----\nMIG"}, {"noise", "\x00\xff\x00"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clk, dir := newClock(), t.TempDir()
			c := newCA(t, clk.Now)
			r := newRig(t, c, clk, dir, nil)
			r.manager.Start()
			r.settle()
			err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
				if err == nil && strings.HasSuffix(path, ".pem") {
					err = os.WriteFile(path, []byte(tc.text), 0o600)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			again := newRig(t, c, clk, dir, nil)
			again.manager.Start()
			again.settle()
			again.wantLog("certificates/", "cannot be used, the certificate is obtained anew", "accounts/", "cannot be used, the account is made anew")
			if again.leaf("cert") == nil {
				t.Fatal("no certificate")
			}
			again.count("obtained", 1)
			if orders, accounts := c.counts(); orders != 2 || accounts != 2 {
				t.Errorf("%d orders, %d accounts", orders, accounts)
			}
		})
	}
}

// A certificate of another subject under the name of this one is not used.
func TestForeignCertificate(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	r := newRig(t, c, clk, t.TempDir(), nil)
	r.manager.Start()
	r.settle()
	text, err := r.manager.store.read(r.manager.file(r.manager.kept[0].subject))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseBundle(text, subject{domains: []string{"b.test"}}); err == nil || err.Error() != "the certificate is not for b.test" {
		t.Error(err)
	}
}

func TestForgottenAccount(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	r := newRig(t, c, clk, t.TempDir(), nil)
	r.manager.Start()
	r.settle()
	c.mu.Lock()
	c.thumbprint = ""
	c.problem = func(what string) (int, string, string) {
		if what == "new" && c.registered == 1 {
			return 400, "accountDoesNotExist", "who are you"
		}
		return 0, "", ""
	}
	c.mu.Unlock()
	r.advance(60 * day)
	r.wantLog("accountDoesNotExist: who are you")
	r.advance(time.Minute)
	r.count("renewed", 1)
}

func TestStorageCannotBeWritten(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, c, clk, file, nil)
	r.manager.Start()
	r.settle()
	r.wantLog("is not obtained", "not a directory")
	if orders, _ := c.counts(); orders != 0 {
		t.Error("ordered what cannot be kept")
	}
}

func TestSweep(t *testing.T) {
	clk := newClock()
	s := store{t.TempDir()}
	for name, age := range map[string]time.Duration{"old": 25 * time.Hour, "new": time.Hour} {
		if err := s.write(challengeFile(http01, name), nil); err != nil {
			t.Fatal(err)
		}
		at := clk.Now().Add(-age)
		if err := os.Chtimes(s.path(challengeFile(http01, name)), at, at); err != nil {
			t.Fatal(err)
		}
	}
	s.sweep("challenges/"+http01, clk.Now().Add(-day))
	_, old := s.read(challengeFile(http01, "old"))
	_, young := s.read(challengeFile(http01, "new"))
	if old == nil || young != nil {
		t.Errorf("old: %v, new: %v", old, young)
	}
}

// Close ends a wait for an authority that does not answer.
func TestClose(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	asked, answer := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(answer) })
	c.validate = func(string, string, string, string) error {
		close(asked)
		<-answer
		return nil
	}
	r := newRig(t, c, clk, t.TempDir(), nil)
	r.manager.Start()
	<-asked
	r.manager.Close()
	r.loop.Run()
	if got := r.log(); got != "" {
		t.Errorf("logged %s", got)
	}
	if r.manager.run(func() {}) {
		t.Error("a goroutine after Close")
	}
}

func TestRatio(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	c.lifetime = 10 * time.Hour
	r := newRig(t, c, clk, t.TempDir(), func(msg *acmev1.Acme) {
		msg.RenewalRatio = wrapperspb.Double(0.9)
		msg.RetryBaseInterval = durationpb.New(time.Second)
	})
	r.manager.Start()
	r.settle()
	r.advance(time.Hour)
	r.count("renewed", 1)
}
