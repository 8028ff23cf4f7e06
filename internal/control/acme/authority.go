package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/nuncio-proxy/nuncio/api/acmev1"
	"github.com/nuncio-proxy/nuncio/api/extension"
)

const (
	// maxTries bounds how often one request is repeated, after an outdated nonce for example.
	maxTries = 6
	// cleanTime is how long the rest of a failed order may take to be cancelled.
	cleanTime = 5 * time.Second
)

// An authority is the server that signs certificates, with our account there. Any
// goroutine.
type authority struct {
	config     *Config
	store      store
	challenges challenges
	http       *http.Client
	log        extension.Logger

	mu     sync.Mutex   // held while an account is looked for
	client *acme.Client // nil before there is one
}

func newAuthority(c *Config, s store, log extension.Logger) *authority {
	return &authority{config: c, store: s, challenges: challenges{s}, log: log, http: &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: c.roots}, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConns: 4,
		},
		Timeout: time.Minute,
	}}
}

// name names the authority in the storage.
func (a *authority) name() string {
	host := "authority"
	if u, err := url.Parse(a.config.directory); err == nil && validName(u.Hostname()) {
		host = u.Hostname()
	}
	sum := sha256.Sum256([]byte(a.config.directory))
	return host + "-" + hex.EncodeToString(sum[:6])
}

func (a *authority) close() { a.http.CloseIdleConnections() }

// account returns a client with an account at the authority.
func (a *authority) account(ctx context.Context) (*acme.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client != nil {
		return a.client, nil
	}
	key, err := a.accountKey()
	if err != nil {
		return nil, fmt.Errorf("account key: %w", err)
	}
	client := &acme.Client{
		Key: key, DirectoryURL: a.config.directory, HTTPClient: a.http, UserAgent: "nuncio",
		RetryBackoff: func(n int, _ *http.Request, answer *http.Response) time.Duration {
			if n >= maxTries || answer.StatusCode == http.StatusTooManyRequests {
				return -1 // that is for the one who asked to wait for
			}
			return time.Duration(n) * 200 * time.Millisecond
		},
	}
	account := &acme.Account{}
	if a.config.contact != "" {
		account.Contact = []string{"mailto:" + a.config.contact}
	}
	if a.config.accountID != "" {
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: a.config.accountID, Key: a.config.accountKey}
	}
	// Agreed to the terms: the configuration says so. Parse has made sure of it.
	if _, err := client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("account: %w", err)
	}
	a.client = client
	return client, nil
}

// forget has the account looked for again, if the authority does not know it any more.
func (a *authority) forget(client *acme.Client, err error) {
	var problem *acme.Error
	if !errors.As(err, &problem) || !strings.HasSuffix(problem.ProblemType, ":accountDoesNotExist") {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client == client {
		a.client = nil
	}
}

// accountKey reads the key of the account, or makes one for all servers.
func (a *authority) accountKey() (crypto.Signer, error) {
	sum := sha256.Sum256([]byte(a.config.contact + " " + a.config.accountID))
	name := "accounts/" + a.name() + "/" + hex.EncodeToString(sum[:6]) + ".pem"
	text, err := a.store.read(name)
	place := a.store.create
	if err == nil {
		key, err := parseKey(text)
		if err == nil {
			return key, nil
		}
		a.log.Errorf("ACME: %s cannot be used, the account is made anew: %v", a.store.path(name), err)
		place = a.store.write
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	made, err := marshalKey(key)
	if err != nil {
		return nil, err
	}
	if err = place(name, made); errors.Is(err, fs.ErrExist) { // another server was faster
		if text, err = a.store.read(name); err == nil {
			return parseKey(text)
		}
	}
	return key, err
}

// obtain orders a certificate, proves that its domains are ours, and returns it. attempt
// counts the failures before, and so chooses the challenge.
func (a *authority) obtain(ctx context.Context, s subject, attempt int) (made *bundle, err error) {
	client, err := a.account(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { a.forget(client, err) }()
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(s.domains...))
	if err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	for i, authorization := range order.AuthzURLs {
		if err := a.authorize(ctx, client, authorization, a.config.challenges[attempt%len(a.config.challenges)]); err != nil {
			a.cancel(ctx, client, order.AuthzURLs[i:])
			return nil, err
		}
	}
	// Where nothing had to be proved the order is ready from the start.
	if order.Status != acme.StatusReady {
		if order, err = client.WaitOrder(ctx, order.URI); err != nil {
			return nil, err
		}
	}
	key, err := newKey(s.key)
	if err != nil {
		return nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: s.domains}, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := client.CreateCertFromOrder(ctx, order, request, true)
	if err != nil {
		return nil, err
	}
	return newBundle(chain, key, s)
}

// authorize proves that the domain of an authorization is ours.
func (a *authority) authorize(ctx context.Context, client *acme.Client, url, preferred string) error {
	z, err := client.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("authorization: %w", err)
	}
	domain := z.Identifier.Value
	switch z.Status {
	case acme.StatusValid:
		return nil
	case acme.StatusPending:
	default:
		return fmt.Errorf("%s: the authorization is %s", domain, z.Status)
	}
	challenge := a.choose(z.Challenges, preferred)
	if challenge == nil {
		return fmt.Errorf("%s: the authority offers none of the challenges %s", domain, strings.Join(a.config.challenges, ", "))
	}
	withdraw, err := a.challenges.publish(client, challenge, domain)
	if err != nil {
		return fmt.Errorf("%s: the answer to the challenge is not published: %w", domain, err)
	}
	defer withdraw()
	if _, err = client.Accept(ctx, challenge); err == nil {
		_, err = client.WaitAuthorization(ctx, z.URI)
	}
	if err != nil {
		return fmt.Errorf("%s, %s: %w", domain, challenge.Type, err)
	}
	return nil
}

// choose returns the preferred challenge or, without it, another one that can be
// answered; nil if there is none.
func (a *authority) choose(offered []*acme.Challenge, preferred string) *acme.Challenge {
	for _, want := range append([]string{preferred}, a.config.challenges...) {
		i := slices.IndexFunc(offered, func(c *acme.Challenge) bool { return c.Type == want })
		if i >= 0 {
			return offered[i]
		}
	}
	return nil
}

// cancel ends the authorizations of an order that has failed: the authority allows only
// some to be pending.
func (a *authority) cancel(ctx context.Context, client *acme.Client, urls []string) {
	ctx, done := context.WithTimeout(ctx, cleanTime)
	defer done()
	for _, url := range urls {
		if client.RevokeAuthorization(ctx, url) != nil {
			return // it ends by itself, only later
		}
	}
}

// explain says what went wrong in one line: of what the authority says, the type and the
// detail of its problem.
func explain(err error) string {
	var refused *acme.AuthorizationError
	var order *acme.OrderError
	var problem *acme.Error
	text := err.Error()
	switch {
	case errors.As(err, &refused) && len(refused.Errors) > 0:
		parts := make([]string, len(refused.Errors))
		for i, e := range refused.Errors {
			parts[i] = explain(e)
		}
		text = strings.Replace(text, refused.Error(), strings.Join(parts, "; "), 1)
	case errors.As(err, &order) && order.Problem != nil:
		text = strings.Replace(text, order.Error(), explain(order.Problem), 1)
	case errors.As(err, &problem):
		parts := []string{problem.ProblemType + ": " + problem.Detail}
		for _, sub := range problem.Subproblems {
			parts = append(parts, sub.String())
		}
		text = strings.Replace(text, problem.Error(), strings.Join(parts, "; "), 1)
	}
	return strings.Join(strings.Fields(text), " ")
}

// retryAfter returns how long the authority asks to wait, 0 if it does not.
func retryAfter(err error) time.Duration {
	var problem *acme.Error
	if !errors.As(err, &problem) {
		return 0
	}
	d, _ := acme.RateLimit(problem)
	return max(d, 0)
}

func newKey(kind acmev1.KeyType) (crypto.Signer, error) {
	switch kind {
	case acmev1.KeyType_ECDSA_P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case acmev1.KeyType_RSA_2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case acmev1.KeyType_RSA_4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	default:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
}

func marshalKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("there is no private key in it")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the private key cannot be read")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key cannot sign")
	}
	return signer, nil
}
