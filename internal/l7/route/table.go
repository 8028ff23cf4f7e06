// Package route matches requests to routes. A table is built once from a route
// configuration and immutable; matching does not depend on the number of routes and
// does not allocate.
//
// The first route whose conditions hold wins. Paths are indexed, so that only
// routes whose path may fit are tested, in the order of the configuration.
package route

import (
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A Table is a route.Table. Any worker.
type Table struct {
	name  string
	hosts hostIndex
}

// Name implements route.Table.
func (t *Table) Name() string { return t.name }

// Match implements route.Table.
func (t *Table) Match(h *httpmsg.Headers, _ *streaminfo.Stream, random uint64) *route.Route {
	v := t.hosts.find(h)
	if v == nil {
		return nil
	}
	if v.tls != routev3.VirtualHost_NONE && v.wantsTLS(h) {
		return v.redirect
	}
	r := v.request(h, random)
	e := v.find(&r)
	switch {
	case e == nil:
		return nil
	case e.weighted != nil:
		return e.weighted.pick(h, random)
	default:
		return e.route
	}
}

// A virtualHost holds the routes of a group of domains.
type virtualHost struct {
	entries   []entry // in the order of the configuration
	index     pathIndex
	cutParams bool // ignore_path_parameters_in_path_matching
	tls       routev3.VirtualHost_TlsRequirementType
	redirect  *route.Route // for requests without the TLS they need
}

// wantsTLS reports whether the client must use https.
func (v *virtualHost) wantsTLS(h *httpmsg.Headers) bool {
	return h.Get(httpmsg.XForwardedProto) != "https" &&
		(v.tls == routev3.VirtualHost_ALL || h.Get(httpmsg.XEnvoyInternal) != "true")
}

func (v *virtualHost) request(h *httpmsg.Headers, random uint64) request {
	r := request{
		headers: h,
		path:    h.Get(httpmsg.Path),
		hasPath: h.Has(httpmsg.Path),
		connect: h.Get(httpmsg.Method) == "CONNECT",
		random:  random,
	}
	for i := range len(r.path) {
		if c := r.path[i]; c == '?' || c == '#' || c == ';' && v.cutParams {
			r.path = r.path[:i]
			break
		}
	}
	if v.index.folds {
		r.lower = match.Lower(r.path)
	}
	return r
}

// find returns the first entry that matches, nil if none does.
func (v *virtualHost) find(r *request) *entry {
	var c candidates
	v.index.collect(&c, r)
	if c.overflow {
		return v.scan(r)
	}
	for i := c.next(); i >= 0; i = c.next() {
		if e := &v.entries[i]; e.matches(r) {
			return e
		}
	}
	return nil
}

// scan is find without the index.
func (v *virtualHost) scan(r *request) *entry {
	for i := range v.entries {
		if e := &v.entries[i]; e.matches(r) {
			return e
		}
	}
	return nil
}

// hostIndex finds the virtual host of a domain. Keys are lower case.
type hostIndex struct {
	exact, suffixes, prefixes map[string]*virtualHost
	suffixLengths             []int // longest first
	prefixLengths             []int
	fallback                  *virtualHost // domain *
	ignorePort                bool
}

// find returns the virtual host: of the exact domain, else of the longest suffix,
// the longest prefix, or *.
func (x *hostIndex) find(h *httpmsg.Headers) *virtualHost {
	if len(x.exact)+len(x.suffixes)+len(x.prefixes) == 0 {
		return x.fallback
	}
	if !h.Has(httpmsg.Authority) {
		return nil
	}
	host := h.Get(httpmsg.Authority)
	if x.ignorePort {
		host = withoutPort(host)
	}
	host = match.Lower(host)
	if v := x.exact[host]; v != nil {
		return v
	}
	for _, n := range x.suffixLengths {
		if n < len(host) {
			if v := x.suffixes[host[len(host)-n:]]; v != nil {
				return v
			}
		}
	}
	for _, n := range x.prefixLengths {
		if n < len(host) {
			if v := x.prefixes[host[:n]]; v != nil {
				return v
			}
		}
	}
	return x.fallback
}

// withoutPort cuts what follows the last colon, if that is not in an IPv6 address.
func withoutPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.LastIndexByte(host, ']') < i {
		return host[:i]
	}
	return host
}
