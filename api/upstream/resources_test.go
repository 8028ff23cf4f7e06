package upstream_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

func gauge() *stats.Gauge { return stats.NewGauge([]*atomic.Uint64{new(atomic.Uint64)}) }

func TestResource(t *testing.T) {
	var r upstream.Resource
	open, remaining := gauge(), gauge()
	r.Init(2, open, remaining)
	expect := func(current int64, isOpen, left uint64) {
		t.Helper()
		if r.Current() != current || open.Value() != isOpen || remaining.Value() != left || r.Available() != (current < 2) {
			t.Errorf("current %d, open %d, remaining %d", r.Current(), open.Value(), remaining.Value())
		}
	}
	expect(0, 0, 2)
	if open.Used() {
		t.Error("the gauge is used before anything was taken")
	}
	if first, second, third := r.Acquire(), r.Acquire(), r.Acquire(); !first || !second || third {
		t.Error("the limit is not 2")
	}
	expect(2, 1, 0)
	if !open.Used() {
		t.Error("the gauge is not used")
	}
	r.Force()
	expect(3, 1, 0)
	r.Release()
	expect(2, 1, 0)
	r.Release()
	expect(1, 0, 1)
	r.Release()
	expect(0, 0, 2)
}

func TestResourceZero(t *testing.T) {
	var r upstream.Resource
	open := gauge()
	r.Init(0, open, nil)
	if r.Acquire() || open.Value() != 1 {
		t.Error("a limit of zero lets something pass")
	}
	r.Force()
	r.Release()
	if open.Value() != 1 {
		t.Error("a limit of zero closed")
	}
	r.Close()
	if open.Value() != 0 {
		t.Error("a gauge still counts what was closed")
	}
}

// TestResourceReplaced has a second one take over the gauges while the first is in
// use.
func TestResourceReplaced(t *testing.T) {
	var first, second upstream.Resource
	open, remaining := gauge(), gauge()
	first.Init(1, open, remaining)
	first.Acquire()
	second.Init(5, open, remaining)
	first.Close()
	first.Release()
	if open.Value() != 0 || remaining.Value() != 5 {
		t.Errorf("open %d, remaining %d", open.Value(), remaining.Value())
	}
}

// TestResourceExact has many goroutines at a limit: never more than the limit, and
// afterwards no place is lost and the gauges are where they began.
func TestResourceExact(t *testing.T) {
	const workers, limit = 8, 5
	var r upstream.Resource
	open, remaining := gauge(), gauge()
	r.Init(limit, open, remaining)
	var held atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range 2000 {
				if !r.Acquire() {
					continue
				}
				if held.Add(1) > limit {
					t.Error("more than the limit")
				}
				held.Add(-1)
				r.Release()
			}
		})
	}
	wg.Wait()
	if r.Current() != 0 || open.Value() != 0 || remaining.Value() != limit {
		t.Errorf("current %d, open %d, remaining %d", r.Current(), open.Value(), remaining.Value())
	}
	for range limit {
		if !r.Acquire() {
			t.Fatal("a place was lost")
		}
	}
}

// TestSetMax: the gauges follow a new limit when they count again.
func TestSetMax(t *testing.T) {
	var r upstream.Resource
	open, remaining := gauge(), gauge()
	r.Init(2, open, remaining)
	expect := func(isOpen, left uint64) {
		t.Helper()
		if open.Value() != isOpen || remaining.Value() != left {
			t.Errorf("open %d, remaining %d", open.Value(), remaining.Value())
		}
	}
	r.SetMax(1)
	expect(0, 2)
	if !r.Acquire() || r.Acquire() {
		t.Error("the limit is not 1")
	}
	expect(1, 0)
	r.SetMax(3)
	expect(1, 0)
	if !r.Acquire() {
		t.Error("the limit is not 3")
	}
	expect(0, 1)
	r.SetMax(0)
	r.Release()
	r.Release()
	expect(1, 0)
	r.Close()
	expect(0, 0)
}

// TestRetryBudget: the limit follows the requests, and never falls below the minimum.
func TestRetryBudget(t *testing.T) {
	var r upstream.Resources
	r.RetryBudget.Store(&upstream.RetryBudget{Percent: 20, MinConcurrency: 2})
	for _, l := range []*upstream.Resource{&r.Requests, &r.PendingRequests, &r.Retries} {
		l.Init(1, gauge(), nil)
	}
	retries := func() (n int) {
		for r.AcquireRetry() {
			n++
		}
		for range n {
			r.Retries.Release()
		}
		return n
	}
	if got := retries(); got != 2 {
		t.Errorf("%d retries without requests, want 2", got)
	}
	for range 10 {
		r.Requests.Force()
		r.PendingRequests.Force()
	}
	if got := retries(); got != 4 {
		t.Errorf("%d retries with 20 requests, want 4", got)
	}
	r.RetryBudget.Store(nil)
	if got := retries(); got != 1 {
		t.Errorf("%d retries without a budget, want 1", got)
	}
}
