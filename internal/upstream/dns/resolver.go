// Package dns resolves names to IP addresses and their time to live, without
// blocking an event loop: each resolution runs on a goroutine and posts its answer.
//
// It speaks DNS itself, because the standard library does not tell the time to
// live. Like c-ares it honours /etc/resolv.conf and /etc/hosts.
package dns

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// A Family says which addresses are asked for (dns_lookup_family).
type Family uint8

// The families.
const (
	Auto        Family = iota // IPv6, or IPv4 if there are none
	V4Only                    // IPv4
	V6Only                    // IPv6
	V4Preferred               // IPv4, or IPv6 if there are none
	All                       // both, IPv4 first
)

// An Answer is what a name stands for: no addresses if there is no such name, or
// nothing of the family.
type Answer struct {
	Addrs []netip.Addr
	// TTL is how long the answer may be used; 0 if that is not known.
	TTL time.Duration
}

// Stats are dns.cares.*.
type Stats struct {
	ResolveTotal, NotFound, GetAddrFailure, Timeouts *stats.Counter
	PendingResolutions                               *stats.Gauge
}

// NewStats makes the statistics in a scope with the prefix "dns.cares.".
func NewStats(scope stats.Scope) Stats {
	scope.Counter("reinits")
	return Stats{
		ResolveTotal: scope.Counter("resolve_total"), NotFound: scope.Counter("not_found"),
		GetAddrFailure: scope.Counter("get_addr_failure"), Timeouts: scope.Counter("timeouts"),
		PendingResolutions: scope.Gauge("pending_resolutions"),
	}
}

// maxConcurrent bounds the resolutions that run at the same time; more of them wait.
const maxConcurrent = 64

// errFailed is returned when no server gives an answer that means something.
var errFailed = errors.New("no server has an answer")

// A Resolver resolves names. Any goroutine.
type Resolver struct {
	system   System
	hosts    hosts
	exchange Exchange
	stats    Stats

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	slots   chan struct{}
}

// New returns a resolver that asks the servers of the system. hostsFile is
// /etc/hosts, or another file in that form. exchange is nil for the network.
func New(system System, hostsFile string, exchange Exchange, s Stats) *Resolver {
	if exchange == nil {
		exchange = overNetwork
	}
	r := &Resolver{system: system, hosts: hosts{file: hostsFile}, exchange: exchange, stats: s, slots: make(chan struct{}, maxConcurrent)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Close ends all resolutions; their functions are not called unless they were
// posted already. It waits for the goroutines.
func (r *Resolver) Close() {
	r.cancel()
	r.running.Wait()
}

// Resolve calls done on the loop of d with the answer, or with an error if the
// servers could not be asked. Never before it returns.
func (r *Resolver) Resolve(d event.Dispatcher, name string, f Family, done func(Answer, error)) {
	r.running.Add(1)
	r.stats.PendingResolutions.Inc(stats.Any)
	go func() {
		defer r.running.Done()
		defer r.stats.PendingResolutions.Dec(stats.Any)
		select {
		case r.slots <- struct{}{}:
			defer func() { <-r.slots }()
		case <-r.ctx.Done():
			return
		}
		a, err := r.lookup(r.ctx, name, f)
		if r.ctx.Err() == nil {
			d.Post(func() { done(a, err) })
		}
	}()
}

func (r *Resolver) lookup(ctx context.Context, name string, f Family) (Answer, error) {
	if ip, err := netip.ParseAddr(name); err == nil {
		return Answer{Addrs: []netip.Addr{ip}}, nil
	}
	first, second := dnsmessage.TypeAAAA, dnsmessage.TypeA
	if f == V4Only || f == V4Preferred || f == All {
		first, second = second, first
	}
	a, err := r.lookupType(ctx, name, first)
	switch {
	case f == V4Only || f == V6Only:
		return a, err
	case f != All && len(a.Addrs) > 0:
		return a, nil
	}
	b, err2 := r.lookupType(ctx, name, second)
	if len(a.Addrs) == 0 && len(b.Addrs) == 0 {
		return Answer{}, errors.Join(err, err2)
	}
	if len(a.Addrs) == 0 {
		return b, nil
	}
	if len(b.Addrs) > 0 {
		a.Addrs, a.TTL = append(a.Addrs, b.Addrs...), min(a.TTL, b.TTL)
	}
	return a, nil
}

// lookupType looks for addresses of one type.
func (r *Resolver) lookupType(ctx context.Context, name string, t dnsmessage.Type) (Answer, error) {
	r.stats.ResolveTotal.Inc(stats.Any)
	if addrs := ofType(r.hosts.lookup(name), t); len(addrs) > 0 {
		return Answer{Addrs: addrs}, nil
	}
	if isLocalhost(name) {
		return Answer{Addrs: ofType([]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, t)}, nil
	}
	for _, candidate := range r.system.candidates(name) {
		a, err := r.query(ctx, candidate, t)
		if err != nil {
			r.stats.GetAddrFailure.Inc(stats.Any)
			return Answer{}, err
		}
		if len(a.Addrs) > 0 {
			return a, nil
		}
	}
	r.stats.NotFound.Inc(stats.Any)
	return Answer{}, nil
}

func isLocalhost(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

func ofType(addrs []netip.Addr, t dnsmessage.Type) []netip.Addr {
	var some []netip.Addr
	for _, a := range addrs {
		if a.Is4() == (t == dnsmessage.TypeA) {
			some = append(some, a)
		}
	}
	return some
}

// query asks one server after the other, some times. An answer without addresses
// means that there are none.
func (r *Resolver) query(ctx context.Context, name string, t dnsmessage.Type) (Answer, error) {
	q, err := newQuestion(name, t)
	if err != nil {
		return Answer{}, nil // there cannot be such a name
	}
	failure := errFailed
	for range r.system.Attempts {
		for _, server := range r.system.Servers {
			a, err := r.ask(ctx, server, q)
			if err == nil {
				return a, nil
			}
			if ctx.Err() != nil {
				return Answer{}, ctx.Err()
			}
			if errors.Is(err, context.DeadlineExceeded) {
				r.stats.Timeouts.Inc(stats.Any)
			}
			failure = err
		}
	}
	return Answer{}, failure
}

// ask asks one server once: over UDP, and over TCP if the answer is too long.
func (r *Resolver) ask(ctx context.Context, server netip.AddrPort, q question) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, r.system.Timeout)
	defer cancel()
	for _, tcp := range []bool{r.system.UseTCP, true} {
		message, id, err := q.pack()
		if err != nil {
			return Answer{}, err
		}
		var response []byte
		err = r.exchange(ctx, server, tcp, message, func(p []byte) bool {
			response = p
			return q.answeredBy(p, id)
		})
		if err != nil {
			return Answer{}, err
		}
		a, truncated, err := q.read(response)
		if !truncated || tcp {
			return a, err
		}
	}
	return Answer{}, errFailed
}
