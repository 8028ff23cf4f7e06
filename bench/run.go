//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// A bench is one run of the benchmark.
type bench struct {
	options
	self  string // this binary
	dir   string // for configurations and logs
	peers []peer

	upstream *process
	ports    upstreamPorts
}

// startUpstream starts this binary again as the upstream.
func (b *bench) startUpstream(ctx context.Context) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	b.upstream, err = start(ctx, b.loadCPU, func(c *exec.Cmd) { c.Stdout, c.Stderr = w, os.Stderr }, b.self, upstreamCommand, b.dir)
	w.Close()
	if err != nil {
		return err
	}
	if err := json.NewDecoder(r).Decode(&b.ports); err != nil {
		b.upstream.stop()
		return fmt.Errorf("upstream: %w", err)
	}
	return nil
}

// runScenario measures all peers in turn, round by round, each time with a
// fresh proxy process: first what each can do at most, then latency at half of
// what Envoy can (or the slowest peer, when Envoy is not measured).
func (b *bench) runScenario(ctx context.Context, s scenario) ([]*caseResult, error) {
	switch {
	case s.idle:
		r, err := b.measureIdle(ctx, s)
		return []*caseResult{r}, err
	case s.storm:
		r, err := b.measureStorm(ctx, s)
		return []*caseResult{r}, err
	}
	var results []*caseResult
	for _, c := range s.cases {
		results = append(results, b.newResult(s, c))
	}
	err := b.eachTurn(ctx, s, func(p peer, run *proxy) error {
		for i, c := range s.cases {
			load, err := b.load(ctx, b.spec(run, s, c, 0))
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			results[i].addThroughput(p.name, load)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s.handshakes() {
		return results, nil
	}
	for _, r := range results {
		r.Rate = r.latencyRate()
	}
	err = b.eachTurn(ctx, s, func(p peer, run *proxy) error {
		for i, c := range s.cases {
			load, err := b.load(ctx, b.spec(run, s, c, results[i].Rate))
			if err != nil {
				return fmt.Errorf("%s at %.0f/s: %w", p.name, results[i].Rate, err)
			}
			results[i].addLatency(p.name, load)
		}
		return nil
	})
	return results, err
}

// newResult returns an empty table that says which peers are left out of s.
func (b *bench) newResult(s scenario, c loadCase) *caseResult {
	r := newCaseResult(c.name, c.about, b.peers)
	for _, p := range b.peers {
		if reason := p.cannot(s); reason != "" {
			r.LeftOut[p.name] = reason
		}
	}
	return r
}

// eachTurn calls f with every peer that can do s, freshly started, b.rounds
// times. The first in a round is the second of the one before.
func (b *bench) eachTurn(ctx context.Context, s scenario, f func(peer, *proxy) error) error {
	for round := range b.rounds {
		for i := range b.peers {
			p := b.peers[(round+i)%len(b.peers)]
			if p.cannot(s) != "" {
				continue
			}
			run, err := b.startProxy(ctx, p, s)
			if err != nil {
				return err
			}
			err = f(p, run)
			run.stop()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// spec describes the load of c on the proxy.
func (b *bench) spec(run *proxy, s scenario, c loadCase, rate float64) loadSpec {
	spec := c.spec(s)
	spec.Port, spec.Rate, spec.Duration = run.port, rate, b.duration
	spec.ProxyPID, spec.UpstreamPID = run.cpuPID(), b.upstream.pid()
	return spec
}

// A loadProcess is this binary, started again to load a proxy.
type loadProcess struct {
	*process
	out, errs bytes.Buffer
}

// startLoad starts the load; with a prefix, by that command.
func (b *bench) startLoad(ctx context.Context, spec loadSpec, prefix ...string) (*loadProcess, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	p := &loadProcess{}
	args := append(prefix, b.self, loadCommand, string(text))
	p.process, err = start(ctx, b.loadCPU, func(c *exec.Cmd) { c.Stdout, c.Stderr = &p.out, &p.errs }, args[0], args[1:]...)
	return p, err
}

// result waits for the end of the load.
func (p *loadProcess) result() (loadResult, error) {
	defer p.cancel()
	var r loadResult
	// A process that was stopped, and reports, has not failed.
	if err := p.cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return r, fmt.Errorf("load: %w: %s", err, bytes.TrimSpace(p.errs.Bytes()))
	}
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("load: %w: %s", err, bytes.TrimSpace(p.errs.Bytes()))
	}
	if r.Requests == 0 || r.Errors > r.Requests/1000 {
		return r, fmt.Errorf("%d requests answered, %d failed, the first: %s", r.Requests, r.Errors, r.FirstError)
	}
	return r, nil
}

// load runs the load process against the proxy.
func (b *bench) load(ctx context.Context, spec loadSpec) (loadResult, error) {
	ctx, cancel := context.WithTimeout(ctx, b.duration+2*warmupMost+grace)
	defer cancel()
	p, err := b.startLoad(ctx, spec)
	if err != nil {
		return loadResult{}, err
	}
	return p.result()
}
