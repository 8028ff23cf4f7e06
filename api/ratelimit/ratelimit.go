// Package ratelimit turns requests into rate limit descriptors: lists of keys and
// values, by which rate limit filters find the bucket or the quota that a request
// counts against. The rules are lists of envoy.config.route.v3.RateLimit: of routes
// and virtual hosts, or of a filter itself.
//
// Policies are built while a configuration is loaded; they are immutable and used on
// any worker.
package ratelimit

import (
	"strconv"

	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/nuncio-proxy/nuncio/api/format"
)

// MaxStage is the highest stage.
const MaxStage = 10

// An Entry is one key with its value.
type Entry struct{ Key, Value string }

// A Descriptor is what a request counts against.
type Descriptor struct {
	Entries []Entry
	// Override replaces the limit that the service has for the descriptor when
	// HasOverride is set.
	Override    Override
	HasOverride bool
	// Hits is how much the request counts for when HasHits is set, where otherwise it
	// is 1. Refund gives the hits back instead of taking them.
	Hits    uint64
	HasHits bool
	Refund  bool
	// Headers overrides the filter's x-ratelimit headers.
	Headers HeadersOption
}

// An Override is a limit of requests per unit of time.
type Override struct {
	RequestsPerUnit uint32
	Unit            typev3.RateLimitUnit
}

// A HeadersOption says whether a response has x-ratelimit headers.
type HeadersOption uint8

// The options. Inherit leaves it to the filter; On is draft version 3.
const (
	Inherit HeadersOption = iota
	Off
	On
)

// A Request is what the rules look at. It is valid for one call.
type Request struct {
	// Entry has the request headers, the stream and the worker's time.
	*format.Entry
	// Cluster is the one that the route chose; it is set when HasCluster is.
	Cluster    string
	HasCluster bool
}

// A Policy is a list of rules. The nil Policy has none.
type Policy struct{ stages [MaxStage + 1][]*Rule }

// Empty reports whether there is no rule in any stage.
func (p *Policy) Empty() bool {
	if p == nil {
		return true
	}
	for _, rules := range p.stages {
		if len(rules) > 0 {
			return false
		}
	}
	return true
}

// Stage returns the rules of a stage, at most MaxStage, in the order of the
// configuration. The result is not to be changed.
func (p *Policy) Stage(stage uint32) []*Rule {
	if p == nil {
		return nil
	}
	return p.stages[stage]
}

// A Rule makes one descriptor of a request, if all its actions can.
type Rule struct {
	// DisableKey is what the runtime may turn the rule off by; "" for nothing.
	DisableKey string
	// OnStreamDone says that the rule is for the end of the stream.
	OnStreamDone bool

	actions  []Action
	override override
	hits     hits
	headers  HeadersOption
}

// An Action adds an entry to a descriptor. Any worker.
type Action interface {
	// Describe returns an entry. An entry without a key is left out of the descriptor;
	// without ok the request gets no descriptor at all.
	Describe(r *Request) (e Entry, ok bool)
}

// hits is what a request counts for: a number, or a format that makes one.
type hits struct {
	set    bool
	number uint64
	format format.Format
	refund bool
}

// maxHits bounds what a format may make.
const maxHits = 1_000_000_000

// Append appends the descriptor of the request to dst, whose memory it uses again, if
// there is one. The strings in it may be kept.
func (u *Rule) Append(dst []Descriptor, r *Request) []Descriptor {
	n := len(dst)
	if n < cap(dst) {
		dst = dst[:n+1]
	} else {
		dst = append(dst, Descriptor{})
	}
	d := &dst[n]
	*d = Descriptor{Entries: d.Entries[:0], Headers: u.headers, Refund: u.hits.refund}
	for _, a := range u.actions {
		e, ok := a.Describe(r)
		if !ok {
			return dst[:n]
		}
		if e.Key != "" {
			d.Entries = append(d.Entries, e)
		}
	}
	if !u.hits.count(d, r) {
		return dst[:n]
	}
	u.override.apply(d, r)
	return dst
}

// count sets the hits of a descriptor. It reports false if the format made no number.
func (h *hits) count(d *Descriptor, r *Request) bool {
	d.HasHits, d.Hits = h.set, h.number
	if h.format == nil {
		return true
	}
	var scratch [64]byte
	f, err := strconv.ParseFloat(string(h.format.Append(scratch[:0], r.Entry)), 64)
	if err != nil || !(f >= 0 && f <= maxHits) {
		return false
	}
	d.Hits = uint64(f)
	return true
}
