package cluster

import (
	"strconv"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// values is a runtime with numbers.
type values map[string]string

func (v values) Snapshot() runtimeconf.Snapshot { return v }
func (v values) Get(key string) (string, bool)  { text, ok := v[key]; return text, ok }
func (v values) Integer(key string, d uint64) uint64 {
	if n, err := strconv.ParseUint(v[key], 10, 64); err == nil {
		return n
	}
	return d
}
func (v values) Double(key string, d float64) float64 {
	if n, err := strconv.ParseFloat(v[key], 64); err == nil {
		return n
	}
	return d
}
func (v values) Boolean(_ string, d bool) bool              { return d }
func (v values) Percent(_ string, millionths uint32) uint32 { return millionths }

// TestRuntimeLimits: the runtime has a say in circuit breakers, and what it no longer says
// is as configured.
func TestRuntimeLimits(t *testing.T) {
	b, runtime := newBench(), values{
		"circuit_breakers.a.default.max_connections":          "5",
		"circuit_breakers.a.high.max_requests":                "18446744073709551615",
		"circuit_breakers.a.high.max_retries":                 "0",
		"circuit_breakers.a.high.retry_budget.budget_percent": "12.5",
		"circuit_breakers.other.default.max_requests":         "1",
	}
	b.options.Runtime = runtime
	b.Add(mustParse(t, "name: a\nalt_stat_name: other\ncircuit_breakers: {thresholds: [{max_pending_requests: 7}]}\n"+oneHost), nil)
	expect := func(p upstream.Priority, want ...int64) {
		t.Helper()
		r := b.Get("a").Resources(p)
		for i, one := range []*upstream.Resource{&r.Connections, &r.PendingRequests, &r.Requests, &r.Retries} {
			if one.Max() != want[i] {
				t.Errorf("%s: limit %d is %d, want %d", p, i, one.Max(), want[i])
			}
		}
	}
	expect(upstream.Default, 5, 7, 1024, 3)
	expect(upstream.High, 1024, 1024, 1<<63-1, 0)
	if got := b.Get("a").Resources(upstream.High).RetryBudget.Load(); got == nil || *got != (upstream.RetryBudget{Percent: 12.5, MinConcurrency: 3}) {
		t.Errorf("the budget is %+v", got)
	}
	clear(runtime)
	runtime["circuit_breakers.a.default.max_pending_requests"] = "8"
	b.RuntimeChanged()
	expect(upstream.Default, 1024, 8, 1024, 3)
	expect(upstream.High, 1024, 1024, 1024, 3)
	if got := b.Get("a").Resources(upstream.High).RetryBudget.Load(); got != nil {
		t.Errorf("the budget is %+v", got)
	}
}
