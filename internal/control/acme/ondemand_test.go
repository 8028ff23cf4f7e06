package acme

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/acmev1"
)

// demand makes the configuration one of on-demand certificates; change may be nil.
func demand(change func(*acmev1.OnDemand)) func(*acmev1.Acme) {
	return func(msg *acmev1.Acme) {
		msg.Certificates = nil
		msg.OnDemand = &acmev1.OnDemand{SecretName: "any", AllowedDomains: []string{"one.test", "*.many.test"}}
		if change != nil {
			change(msg.OnDemand)
		}
	}
}

func names(c *tls.Certificate) string {
	if c == nil {
		return ""
	}
	return strings.Join(c.Leaf.DNSNames, ",")
}

func TestOnDemand(t *testing.T) {
	clk, dir := newClock(), t.TempDir()
	c := newCA(t, clk.Now)
	r := newRig(t, c, clk, dir, demand(nil))
	r.manager.Start()
	for _, name := range []string{"two.test", "many.test", "a.b.many.test", "", "one.test.", "../one.test", "192.0.2.1"} {
		if got, err := r.manager.Obtain(name, nil); got != nil || !errors.Is(err, errNotAllowed) || r.manager.Ready(name) != nil {
			t.Errorf("%q: got %v, %v", name, got, err)
		}
	}
	r.count("on_demand_refused", 7)
	if orders, _ := c.counts(); orders != 0 {
		t.Fatal("ordered what is not allowed")
	}
	if r.manager.Ready("a.many.test") != nil {
		t.Error("there before it was asked for")
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if got, err := r.manager.Obtain("A.Many.Test", nil); names(got) != "a.many.test" {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	group.Wait()
	if orders, _ := c.counts(); orders != 1 {
		t.Errorf("%d orders for one name", orders)
	}
	if got := names(r.manager.Ready("a.many.test")); got != "a.many.test" {
		t.Errorf("got %q", got)
	}
	r.count("obtained", 1)
	r.count("certificates", 1)
	r.settle()
	r.wantLog("info: ACME: the certificate for a.many.test is valid until")

	other := newRig(t, c, clk, dir, demand(nil))
	if got, err := other.manager.Obtain("a.many.test", nil); names(got) != "a.many.test" {
		t.Errorf("got %v, %v", got, err)
	}
	if orders, _ := c.counts(); orders != 1 {
		t.Error("ordered what was in the storage")
	}
}

func TestOnDemandRenewal(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	r := newRig(t, c, clk, t.TempDir(), demand(nil))
	first, err := r.manager.Obtain("one.test", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.advance(60 * day)
	if got := r.manager.Ready("one.test"); got != first {
		t.Error("the certificate in use does not serve while it is renewed")
	}
	r.settle()
	if got := r.manager.Ready("one.test"); got == nil || got == first {
		t.Errorf("not renewed:\n%s", r.log())
	}
	r.count("renewed", 1)
	r.advance(91 * day)
	if r.manager.Ready("one.test") != nil {
		t.Error("an expired certificate is shown")
	}
	if got, err := r.manager.Obtain("one.test", nil); names(got) != "one.test" {
		t.Errorf("got %v, %v", got, err)
	}
}

// What failed is not tried again at once.
func TestOnDemandFails(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	c.fail(func(what string) (int, string, string) {
		if what == "new" {
			return 400, "rejectedIdentifier", "not this one"
		}
		return 0, "", ""
	})
	r := newRig(t, c, clk, t.TempDir(), demand(nil))
	for range 5 {
		if got, err := r.manager.Obtain("one.test", nil); got != nil || err == nil || !strings.Contains(err.Error(), "not this one") {
			t.Errorf("got %v, %v", got, err)
		}
	}
	r.count("failed", 1)
	r.wantLog("error: ACME: the certificate for one.test is not obtained, the next attempt is in 1m0s at the earliest: order: urn:ietf:params:acme:error:rejectedIdentifier: not this one")
	c.fail(nil)
	clk.set(clk.Now().Add(time.Minute))
	if got, err := r.manager.Obtain("one.test", nil); names(got) != "one.test" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestOnDemandBounds(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	r := newRig(t, c, clk, t.TempDir(), demand(func(o *acmev1.OnDemand) {
		o.MaxCertificates, o.MaxOrdersPerHour = wrapperspb.UInt32(2), wrapperspb.UInt32(3)
	}))
	ask := func(i int) error {
		_, err := r.manager.Obtain(fmt.Sprintf("n%d.many.test", i), nil)
		return err
	}
	for i := range 3 {
		if err := ask(i); err != nil {
			t.Fatal(err)
		}
	}
	r.count("certificates", 2)
	if r.manager.Ready("n0.many.test") != nil || r.manager.Ready("n2.many.test") == nil {
		t.Error("the one that was used last is not there, or the other one is")
	}
	if err := ask(3); !errors.Is(err, errTooManyOrder) {
		t.Errorf("got %v", err)
	}
	r.count("on_demand_refused", 1)
	r.count("failed", 0)
	if err := ask(0); err != nil {
		t.Errorf("it is in the storage: %v", err)
	}
	clk.set(clk.Now().Add(time.Hour))
	if err := ask(3); err != nil {
		t.Error(err)
	}
}

// Handshakes do not wait for ever, nor do too many of them.
func TestOnDemandWaits(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	c.validate = func(string, string, string, string) error {
		asked <- struct{}{}
		<-answer
		return nil
	}
	r := newRig(t, c, clk, t.TempDir(), demand(func(o *acmev1.OnDemand) {
		o.MaxWaitingHandshakes, o.MaxCertificates = wrapperspb.UInt32(1), wrapperspb.UInt32(1)
		o.Timeout = durationpb.New(time.Millisecond)
	}))
	if _, err := r.manager.Obtain("one.test", nil); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
	<-asked
	if _, err := r.manager.Obtain("a.many.test", nil); !errors.Is(err, errNoRoom) {
		t.Errorf("got %v", err)
	}
	r.manager.onDemand.mu.Lock()
	r.manager.onDemand.waiting = 1
	r.manager.onDemand.mu.Unlock()
	if _, err := r.manager.Obtain("one.test", nil); !errors.Is(err, errTooMany) {
		t.Errorf("got %v", err)
	}
	r.manager.onDemand.mu.Lock()
	r.manager.onDemand.waiting = 0
	r.manager.onDemand.mu.Unlock()
	gone := make(chan struct{})
	close(gone)
	if _, err := r.manager.Obtain("one.test", gone); err == nil {
		t.Error("the client has gone")
	}
	close(answer)
	r.settle()
	if names(r.manager.Ready("one.test")) != "one.test" {
		t.Error("it is not obtained because nobody waits")
	}
	r.count("on_demand_refused", 2)
}

// After Close nothing is obtained, and nothing waits.
func TestOnDemandClosed(t *testing.T) {
	clk := newClock()
	c := newCA(t, clk.Now)
	r := newRig(t, c, clk, t.TempDir(), demand(nil))
	r.manager.Close()
	if got, err := r.manager.Obtain("one.test", nil); got != nil || !errors.Is(err, errNone) {
		t.Errorf("got %v, %v", got, err)
	}
	off := newRig(t, c, clk, t.TempDir(), nil)
	if _, err := off.manager.Obtain("one.test", nil); !errors.Is(err, errNotAllowed) || off.manager.Ready("one.test") != nil {
		t.Errorf("got %v", err)
	}
	if managed, onDemand := off.manager.Manages("cert"); !managed || onDemand {
		t.Error("the secret is not known")
	}
	if managed, onDemand := r.manager.Manages("any"); !managed || !onDemand {
		t.Error("the secret is not known")
	}
	if managed, _ := r.manager.Manages("cert"); managed {
		t.Error("a foreign secret is known")
	}
}
