//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// settle is how long memory may settle before it is read.
const settle = 2 * time.Second

// measureIdle reads each proxy's memory before and after it serves one request
// on each of idleConns connections, which stay open.
func (b *bench) measureIdle(ctx context.Context, s scenario) (*caseResult, error) {
	c := s.cases[0]
	r := b.newResult(s, c)
	err := b.eachTurn(ctx, s, func(p peer, run *proxy) error {
		if run.process == nil {
			return nil
		}
		time.Sleep(settle)
		rest, err := processRSS(run.pid())
		if err != nil {
			return err
		}
		spec := b.spec(run, s, c, 0)
		links, err := openIdle(&spec)
		defer func() {
			for i := range links {
				links[i].close()
			}
		}()
		if err != nil {
			return fmt.Errorf("%s: connection %d: %w", p.name, len(links), err)
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

// openIdle opens spec.Conns connections one after another, each with one
// request answered.
func openIdle(spec *loadSpec) ([]link, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	defer syscall.Close(p.fd)
	buf := make([]byte, 64<<10)
	links := make([]link, 0, spec.Conns)
	for i := range spec.Conns {
		links = append(links, link{fd: -1})
		k := &links[i]
		if err := k.open(spec, byte(1+i%64)); err != nil {
			return links, err
		}
		if err := p.add(k.fd, i, syscall.EPOLLIN|syscall.EPOLLOUT|edgeTriggered); err != nil {
			return links, err
		}
		if err := k.request(spec, 0); err != nil {
			return links, err
		}
		if err := k.await(p, buf); err != nil {
			return links, err
		}
	}
	return links, nil
}

// await sends the output and waits for the answer.
func (k *link) await(p *poller, buf []byte) error {
	for deadline := time.Now().Add(handshakeWithin); time.Now().Before(deadline); {
		if err := k.send(); err != nil {
			return err
		}
		done, err := k.receive(buf, nil)
		if err == nil {
			err = k.send() // an acknowledgement of settings
		}
		if err != nil || len(done) > 0 {
			return err
		}
		if _, err := p.wait(handshakeWithin); err != nil {
			return err
		}
	}
	return fmt.Errorf("no answer in %v", handshakeWithin)
}
