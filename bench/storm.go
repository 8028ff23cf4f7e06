//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"fmt"
)

// stormRate is that of the requests on established connections: little work, so
// that what is measured is the handshakes' effect.
const stormRate = 2000

// measureStorm measures latency at stormRate on a case's established
// connections: alone, and while another process does handshakes as fast as it
// can. That process has the load core only when nothing else wants it.
func (b *bench) measureStorm(ctx context.Context, s scenario) (*caseResult, error) {
	established, storm := s.cases[0], s.cases[1]
	r := b.newResult(s, established)
	r.Rate = stormRate
	err := b.eachTurn(ctx, s, func(p peer, run *proxy) error {
		alone, err := b.load(ctx, b.spec(run, s, established, stormRate))
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		r.addLatency(p.name, alone)
		spec := b.spec(run, s, storm, 0)
		spec.Duration = 0 // until it is stopped
		handshakes, err := b.startLoad(ctx, spec, "chrt", "--idle", "0")
		if err != nil {
			return err
		}
		within, err := b.load(ctx, b.spec(run, s, established, stormRate))
		if err != nil {
			handshakes.stop()
			return fmt.Errorf("%s while handshakes storm: %w", p.name, err)
		}
		handshakes.cancel() // it reports
		stormed, err := handshakes.result()
		if err != nil {
			return fmt.Errorf("%s: storm: %w", p.name, err)
		}
		r.addStorm(p.name, within, stormed)
		return nil
	})
	return r, err
}
