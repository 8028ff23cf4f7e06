package route

import (
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A hashPolicy is a route.HashPolicy of several parts.
type hashPolicy []hashPart

// A hashPart is one message of hash_policy.
type hashPart struct {
	hasher
	terminal bool // nothing behind it counts if there is a hash
}

// A hasher makes the hash of one part of a request, as route.HashPolicy.
type hasher interface {
	hash(h *httpmsg.Headers, info *streaminfo.Stream, setCookie func(route.Cookie)) (hash uint64, ok bool)
}

// HashRequest implements route.HashPolicy.
func (p hashPolicy) HashRequest(h *httpmsg.Headers, info *streaminfo.Stream, setCookie func(route.Cookie)) (hash uint64, ok bool) {
	for i := range p {
		if n, found := p[i].hash(h, info, setCookie); found {
			// Turning keeps equal parts from cancelling each other out.
			hash, ok = bits.RotateLeft64(hash, 1)^n, true
		}
		if ok && p[i].terminal {
			break
		}
	}
	return hash, ok
}

// hashPolicy builds hash_policy; the result is nil if there is none.
func (b *builder) hashPolicy(cfgs []*routev3.RouteAction_HashPolicy, path conf.Path) route.HashPolicy {
	var p hashPolicy
	for i, cfg := range cfgs {
		at := path.Index(i)
		conf.Check(cfg, HashPolicyFields(), at, b.errs)
		if one := b.hasher(cfg, at); one != nil {
			p = append(p, hashPart{one, cfg.GetTerminal()})
		}
	}
	if p == nil {
		return nil
	}
	return p
}

// hasher returns nil for one that never finds anything.
func (b *builder) hasher(cfg *routev3.RouteAction_HashPolicy, path conf.Path) hasher {
	named := func(field, part, name string) {
		if name == "" {
			b.errs.Add(path.Field(field).Field(part), "must not be empty")
		}
	}
	switch p := cfg.GetPolicySpecifier().(type) {
	case *routev3.RouteAction_HashPolicy_Header_:
		named("header", "header_name", p.Header.GetHeaderName())
		out := &headerHash{name: headerName(p.Header.GetHeaderName())}
		if re := p.Header.GetRegexRewrite(); re != nil {
			out.rewrite = match.NewSubstitution(re, path.Field("header").Field("regex_rewrite"), b.errs)
		}
		return out
	case *routev3.RouteAction_HashPolicy_Cookie_:
		named("cookie", "name", p.Cookie.GetName())
		return b.cookieHash(p.Cookie, path.Field("cookie"))
	case *routev3.RouteAction_HashPolicy_ConnectionProperties_:
		if p.ConnectionProperties.GetSourceIp() {
			return sourceHash{}
		}
		return nil
	case *routev3.RouteAction_HashPolicy_QueryParameter_:
		named("query_parameter", "name", p.QueryParameter.GetName())
		return queryHash(p.QueryParameter.GetName())
	case *routev3.RouteAction_HashPolicy_FilterState_:
		named("filter_state", "key", p.FilterState.GetKey())
		return stateHash(p.FilterState.GetKey())
	}
	b.errs.Add(path, "one of header, cookie, connection_properties, query_parameter, filter_state is required")
	return nil
}

// headerHash takes all values of a header, in an order of their own.
type headerHash struct {
	name    string
	rewrite *match.Substitution // nil for none
}

func (p *headerHash) hash(h *httpmsg.Headers, _ *streaminfo.Stream, _ func(route.Cookie)) (uint64, bool) {
	var room [4]string
	values := h.Values(room[:0], p.name)
	if p.rewrite != nil {
		for i, v := range values {
			values[i] = p.rewrite.Replace(v)
		}
	}
	slices.Sort(values)
	var hash uint64
	for _, v := range values {
		hash = seeded(v, hash)
	}
	return hash, len(values) > 0
}

// seeded returns the hash of text that goes on from another one.
func seeded(text string, seed uint64) uint64 {
	if seed == 0 {
		return xxhash.Sum64String(text)
	}
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	_, _ = d.WriteString(text) // never fails
	return d.Sum64()
}

// cookieHash takes the first cookie of a name; without one it may make one.
type cookieHash struct {
	cookie   route.Cookie
	generate bool
}

func (b *builder) cookieHash(cfg *routev3.RouteAction_HashPolicy_Cookie, path conf.Path) *cookieHash {
	p := &cookieHash{cookie: route.Cookie{Name: cfg.GetName(), Path: cfg.GetPath()}, generate: cfg.GetTtl() != nil}
	if p.generate {
		p.cookie.MaxAge = b.duration(cfg.GetTtl(), path.Field("ttl")).Truncate(time.Second)
	}
	for i, a := range cfg.GetAttributes() {
		at := path.Field("attributes").Index(i)
		if a.GetName() == "" {
			b.errs.Add(at.Field("name"), "must not be empty")
		}
		if strings.ContainsAny(a.GetName()+a.GetValue(), "\x00\r\n") {
			b.errs.Add(at, "must not contain a line end")
		}
		p.cookie.Attributes = append(p.cookie.Attributes, route.CookieAttribute{Name: a.GetName(), Value: a.GetValue()})
	}
	return p
}

func (p *cookieHash) hash(h *httpmsg.Headers, info *streaminfo.Stream, setCookie func(route.Cookie)) (uint64, bool) {
	if value, _ := match.CookieValue(h, p.cookie.Name); value != "" {
		return xxhash.Sum64String(value), true
	}
	if !p.generate || setCookie == nil || info == nil || info.Downstream == nil {
		return 0, false
	}
	made := p.cookie
	made.Value = cookieValue(info.Downstream)
	setCookie(made)
	return xxhash.Sum64String(made.Value), true
}

// cookieValue depends on the connection only, so that requests that are under way at
// the same time get the same cookie.
func cookieValue(c *streaminfo.Connection) string {
	const hex = "0123456789abcdef"
	n := xxhash.Sum64String(c.Remote.String() + c.Local.String())
	var text [16]byte
	for i := range text {
		text[i] = hex[n>>60]
		n <<= 4
	}
	return string(text[:])
}

// sourceHash takes the IP address of the client.
type sourceHash struct{}

func (sourceHash) hash(_ *httpmsg.Headers, info *streaminfo.Stream, _ func(route.Cookie)) (uint64, bool) {
	if info == nil || info.Downstream == nil || !info.Downstream.Remote.IP().IsValid() {
		return 0, false
	}
	return xxhash.Sum64String(info.Downstream.Remote.WithoutPort()), true
}

// queryHash takes the first value of a query parameter, as it was sent.
type queryHash string

func (p queryHash) hash(h *httpmsg.Headers, _ *streaminfo.Stream, _ func(route.Cookie)) (uint64, bool) {
	value, found := match.QueryValue(h.Get(httpmsg.Path), string(p))
	return xxhash.Sum64String(value), found
}

// stateHash takes a route.Hashable of the filter state.
type stateHash string

func (p stateHash) hash(_ *httpmsg.Headers, info *streaminfo.Stream, _ func(route.Cookie)) (uint64, bool) {
	value, ok := match.FilterStateObject(info, string(p)).(route.Hashable)
	if !ok {
		return 0, false
	}
	return value.Hash()
}
