//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"
)

// settle is how long memory may settle before it is read.
const settle = 2 * time.Second

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
	b.upstream, err = start(ctx, b.loadCPU, func(c *exec.Cmd) { c.Stdout, c.Stderr = w, os.Stderr }, b.self, upstreamCommand)
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
	if s.idle {
		r, err := b.measureIdle(ctx, s)
		return []*caseResult{r}, err
	}
	var results []*caseResult
	for _, c := range s.cases {
		results = append(results, newCaseResult(c.name, c.about, b.peers))
	}
	err := b.eachTurn(ctx, s, func(p peer, run *proxy) error {
		for i, c := range s.cases {
			load, err := b.load(ctx, run, c, 0)
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
	for _, r := range results {
		r.Rate = r.latencyRate()
	}
	err = b.eachTurn(ctx, s, func(p peer, run *proxy) error {
		for i, c := range s.cases {
			load, err := b.load(ctx, run, c, results[i].Rate)
			if err != nil {
				return fmt.Errorf("%s at %.0f/s: %w", p.name, results[i].Rate, err)
			}
			results[i].addLatency(p.name, load)
		}
		return nil
	})
	return results, err
}

// eachTurn calls f with every peer freshly started, b.rounds times. The first
// in a round is the second of the one before.
func (b *bench) eachTurn(ctx context.Context, s scenario, f func(peer, *proxy) error) error {
	for round := range b.rounds {
		for i := range b.peers {
			p := b.peers[(round+i)%len(b.peers)]
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

// load runs the load process against the proxy.
func (b *bench) load(ctx context.Context, run *proxy, c loadCase, rate float64) (loadResult, error) {
	spec, err := json.Marshal(loadSpec{
		Port: run.port, Request: c.request(), Reply: c.replyLength(),
		Conns: c.conns, NewConn: c.newConn, Rate: rate, Duration: b.duration,
		ProxyPID: run.cpuPID(), UpstreamPID: b.upstream.pid(),
	})
	if err != nil {
		return loadResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, b.duration+2*warmupMost+grace)
	defer cancel()
	var out, errs bytes.Buffer
	p, err := start(ctx, b.loadCPU, func(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = &out, &errs }, b.self, loadCommand, string(spec))
	if err != nil {
		return loadResult{}, err
	}
	defer p.cancel()
	if err := p.cmd.Wait(); err != nil {
		return loadResult{}, fmt.Errorf("load: %w: %s", err, bytes.TrimSpace(errs.Bytes()))
	}
	var r loadResult
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("load: %w", err)
	}
	if r.Requests == 0 || r.Errors > r.Requests/1000 {
		return r, fmt.Errorf("%d requests answered, %d failed, the first: %s", r.Requests, r.Errors, r.FirstError)
	}
	return r, nil
}

// measureIdle reads each proxy's memory before and after it serves one request
// on each of idleConns connections, which stay open.
func (b *bench) measureIdle(ctx context.Context, s scenario) (*caseResult, error) {
	r := newCaseResult(s.name, fmt.Sprintf("%d connections that have each served one request", idleConns), b.peers)
	err := b.eachTurn(ctx, s, func(p peer, run *proxy) error {
		if run.process == nil {
			return nil
		}
		time.Sleep(settle)
		rest, err := processRSS(run.pid())
		if err != nil {
			return err
		}
		conns, err := openIdle(run.port)
		defer func() {
			for _, c := range conns {
				c.Close()
			}
		}()
		if err != nil {
			return fmt.Errorf("%s: connection %d: %w", p.name, len(conns), err)
		}
		time.Sleep(settle)
		full, err := processRSS(run.pid())
		if err != nil {
			return err
		}
		r.addMemory(p.name, rest, full)
		return nil
	})
	return r, err
}

// openIdle opens idleConns connections, each with one request answered.
func openIdle(port int) ([]net.Conn, error) {
	request := loadCase{path: "/"}.request()
	buf := make([]byte, 4<<10)
	var conns []net.Conn
	for range idleConns {
		conn, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", port), 5*time.Second)
		if err != nil {
			return conns, err
		}
		conns = append(conns, conn)
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return conns, err
		}
		if _, err := conn.Write(request); err != nil {
			return conns, err
		}
		var reply response
		reply.reset(0)
		for done := false; !done; {
			n, err := conn.Read(buf)
			if err != nil {
				return conns, err
			}
			if done, err = reply.feed(buf[:n]); err != nil {
				return conns, err
			}
		}
	}
	return conns, nil
}
