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
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A Table is a route.Table. Any worker.
type Table struct {
	name         string
	hosts        hostIndex
	internalOnly []string
}

// Name implements route.Table.
func (t *Table) Name() string { return t.name }

// InternalOnlyHeaders implements route.Table.
func (t *Table) InternalOnlyHeaders() []string { return t.internalOnly }

// Match implements route.Table.
func (t *Table) Match(h *httpmsg.Headers, info *streaminfo.Stream, random uint64) *route.Route {
	v := t.hosts.find(h).host
	switch {
	case v == nil || h.Get(httpmsg.XForwardedProto) == "":
		return nil // without x-forwarded-proto a filter has spoiled the request
	case v.wantsTLS(h):
		return v.redirect
	}
	list := v.list(h, info)
	if list == nil {
		return nil
	}
	r := v.request(h, info, random)
	e := list.find(&r)
	switch {
	case e == nil:
		return nil
	case e.weighted != nil:
		return e.weighted.pick(h, info, random)
	default:
		return e.route
	}
}

// VirtualHost implements route.Table.
func (t *Table) VirtualHost(h *httpmsg.Headers) *route.VirtualHost {
	if v := t.hosts.find(h).host; v != nil {
		return v.public
	}
	return nil
}

// A virtualHost holds the routes of a group of domains.
type virtualHost struct {
	public    *route.VirtualHost
	routes    routeList
	tree      matcher.Tree // in place of routes; its actions are *action
	cutParams bool         // ignore_path_parameters_in_path_matching
	tls       routev3.VirtualHost_TlsRequirementType
	redirect  *route.Route // for requests without the TLS they need
}

// wantsTLS reports whether the client must use https, and does not.
func (v *virtualHost) wantsTLS(h *httpmsg.Headers) bool {
	return v.tls != routev3.VirtualHost_NONE && h.Get(httpmsg.XForwardedProto) != "https" &&
		(v.tls == routev3.VirtualHost_ALL || h.Get(httpmsg.XEnvoyInternal) != "true")
}

// list returns the routes that a request may take, nil if the matcher finds none.
func (v *virtualHost) list(h *httpmsg.Headers, info *streaminfo.Stream) *routeList {
	if v.tree == nil {
		return &v.routes
	}
	if a := v.action(h, info); a != nil {
		return &a.routes
	}
	return nil
}

func (v *virtualHost) request(h *httpmsg.Headers, info *streaminfo.Stream, random uint64) request {
	path := h.Get(httpmsg.Path)
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	if i := strings.IndexByte(path, '#'); i >= 0 {
		path = path[:i]
	}
	r := request{
		headers: h,
		info:    info,
		whole:   path,
		path:    path,
		hasPath: h.Has(httpmsg.Path),
		connect: h.Get(httpmsg.Method) == "CONNECT",
		random:  random,
	}
	if v.cutParams {
		r.path, _, _ = strings.Cut(path, ";")
	}
	return r
}

// A routeList is a list of routes with an index.
type routeList struct {
	entries []entry // in the order of the configuration
	index   pathIndex
}

// find returns the first entry that matches, nil if none does.
func (l *routeList) find(r *request) *entry {
	if l.index.folds {
		r.lower = match.Lower(r.path)
	}
	var c candidates
	l.index.collect(&c, r)
	if c.overflow {
		return l.scan(r)
	}
	for i := c.next(); i >= 0; i = c.next() {
		if e := &l.entries[i]; e.matches(r) {
			return e
		}
	}
	return nil
}

// scan is find without the index.
func (l *routeList) scan(r *request) *entry {
	for i := range l.entries {
		if e := &l.entries[i]; e.matches(r) {
			return e
		}
	}
	return nil
}
