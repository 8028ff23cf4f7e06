package acme

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/acmev1"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/event"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// answers is an extension.ACME that answers when the test says so.
type answers struct {
	known map[string]string
	asked []func()
}

func (a *answers) KeyAuthorization(token string, _ event.Dispatcher, done func(string)) {
	a.asked = append(a.asked, func() { done(a.known[token]) })
}

func (a *answers) answer() {
	for _, f := range a.asked {
		f()
	}
	a.asked = nil
}

func newStream(t *testing.T) (*filtertest.Stream, *answers) {
	t.Helper()
	a := &answers{known: map[string]string{"tok-1": "tok-1.key"}}
	ctx := filtertest.Context(metrics.New(1), nil)
	ctx.ACME = a
	var errs conf.Errors
	build := Factory{}.BuildHTTPFilter(&acmev1.HttpChallenges{}, ctx, conf.Path{}, &errs)
	if errs != nil {
		t.Fatal(errs)
	}
	s := filtertest.New(loop.New(1))
	s.Build(build)
	t.Cleanup(func() {
		if !s.Destroyed {
			s.Leave()
		}
	})
	return s, a
}

func TestFilter(t *testing.T) {
	for _, tc := range []struct {
		name, method, path string
		asks               bool
		body               string // of the answer, "" if the request goes on
	}{
		{"a challenge of ours", "GET", "/.well-known/acme-challenge/tok-1", true, "tok-1.key"},
		{"with a query", "GET", "/.well-known/acme-challenge/tok-1?x", true, "tok-1.key"},
		{"of others", "GET", "/.well-known/acme-challenge/tok-2", true, ""},
		{"not to be read", "POST", "/.well-known/acme-challenge/tok-1", false, ""},
		{"another path", "GET", "/tok-1", false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, a := newStream(t)
			for range 2 { // the second time recycled
				s.Request(true, ":method", tc.method, ":path", tc.path)
				if waits := s.In.Headers == nil; waits != tc.asks || len(a.asked) > 0 != tc.asks {
					t.Fatalf("waits: %v, asked %d times", waits, len(a.asked))
				}
				a.answer()
				switch {
				case tc.body == "" && (s.In.Headers == nil || s.Local != nil):
					t.Error("the request does not go on")
				case tc.body != "" && (s.Local == nil || s.Local.Status != 200 || s.Local.Body != tc.body || s.Details != "acme_challenge"):
					t.Errorf("got %+v", s.Local)
				}
				if !s.Destroyed {
					s.Leave()
				}
				s.Recycle()
			}
		})
	}
}

// An answer that comes after the stream has ended goes nowhere, also if the filter serves
// another stream.
func TestLateAnswer(t *testing.T) {
	s, a := newStream(t)
	s.Request(true, ":method", "GET", ":path", prefix+"tok-1")
	late := a.asked[0]
	a.asked = nil
	s.Leave()
	late()
	s.Recycle()
	s.Request(true, ":method", "GET", ":path", prefix+"tok-2")
	late()
	if s.Local != nil || s.In.Headers != nil {
		t.Error("the answer for another stream was taken")
	}
}

func TestWithoutACME(t *testing.T) {
	var errs conf.Errors
	Factory{}.BuildHTTPFilter(&acmev1.HttpChallenges{}, filtertest.Context(metrics.New(1), nil), conf.Path{}, &errs)
	if len(errs) != 1 {
		t.Errorf("got %v", errs)
	}
}

// What is no challenge passes without a cost.
func TestAllocations(t *testing.T) {
	s, _ := newStream(t)
	s.Request(true, ":method", "GET", ":path", "/")
	var f filter
	h := s.Headers()
	if n := testing.AllocsPerRun(100, func() { f.DecodeHeaders(h, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
