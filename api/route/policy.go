package route

import (
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// RequestStats are the statistics of a virtual cluster or of a route with a
// stat_prefix: upstream_rq_total, upstream_rq_retry and so on, and the responses by
// code. Any worker.
type RequestStats struct {
	// Name is the name of the virtual cluster, or the stat_prefix.
	Name string

	Total, Timeout, Retry, RetryLimitExceeded, RetryOverflow, RetrySuccess *stats.Counter

	Responses upstream.Responses
}

// Policies are those of a request that its cluster may have instead of its route. What
// is nil is that of the route.
type Policies struct {
	// Retry is no part of timeouts: PerTryTimeout and PerTryIdleTimeout are always those of
	// the route, as in Envoy.
	Retry   *RetryPolicy
	Mirrors []Mirror
	Hash    HashPolicy
}

// A Mirror sends a copy of requests to another cluster and drops the answers.
type Mirror struct {
	// Cluster names the cluster; if it is "", the request header ClusterHeader does.
	Cluster       string
	ClusterHeader string
	// Fraction is the share of requests that is mirrored; nil for all.
	Fraction *runtimeconf.Fraction
	// KeepHost leaves the authority as it is, where otherwise -shadow is appended;
	// HostRewrite replaces it if it is not "".
	KeepHost    bool
	HostRewrite string
	// Request changes the headers of the copy; nil for none.
	Request HeaderMutation
}

// A HashPolicy makes the hash by which a consistent-hashing balancer picks the host.
// Any worker.
type HashPolicy interface {
	// HashRequest returns the hash of a request; ok is false if nothing of what the
	// policy looks at is there. setCookie is called for a cookie that the policy makes
	// for a client without one: it puts the value into the response. Without setCookie no
	// cookie is made. info may be nil.
	HashRequest(h *httpmsg.Headers, info *streaminfo.Stream, setCookie func(Cookie)) (hash uint64, ok bool)
}

// A Hashable is a value in the filter state that a hash policy can take. Any worker.
type Hashable interface {
	// Hash returns the hash; ok is false if there is none.
	Hash() (hash uint64, ok bool)
}

// A Cookie is one that a response is to set.
type Cookie struct {
	Name, Value, Path string
	MaxAge            time.Duration // 0 for a cookie of the session
	Attributes        []CookieAttribute
}

// A CookieAttribute is printed behind the value; without Value it is a flag.
type CookieAttribute struct{ Name, Value string }

// An InternalRedirect says which redirects of the upstream the proxy follows itself.
type InternalRedirect struct {
	MaxRedirects int
	// Codes are the statuses that are followed.
	Codes []int
	// Predicates must all accept the target.
	Predicates []RedirectPredicate
	// AllowCrossScheme lets a redirect go from http to https and back.
	AllowCrossScheme bool
	// CopyHeaders are the lower-case names of headers that go from the response to the
	// new request.
	CopyHeaders []string
}

// A RedirectPredicate turns down targets of internal redirects. Any worker.
type RedirectPredicate interface {
	// Accept reports whether the redirect from the route from may be followed to the
	// route to; info carries what earlier redirects of the request left behind.
	// fromTLS and toTLS say whether the old and the new URL are https.
	Accept(info *streaminfo.Stream, from, to *Route, fromTLS, toTLS bool) bool
}

// A RetryHostPredicate turns down hosts for a retry. Any worker.
type RetryHostPredicate interface {
	// Reject reports whether another host should be picked than h. tried are the hosts
	// of earlier attempts.
	Reject(h upstream.Host, tried []upstream.Host) bool
}

// A RetryPriority changes the load of the priorities of a cluster for a retry. Any
// worker.
type RetryPriority interface {
	// PriorityLoad is that of upstream.RetryHosts, given the hosts that were tried.
	PriorityLoad(load []uint32, tried []upstream.Host) []uint32
}

// RateLimitedBackOff takes the time before a retry from the response.
type RateLimitedBackOff struct {
	MaxInterval time.Duration
	Headers     []ResetHeader // the first that is there and valid counts
}

// A ResetHeader says when to try again: after so many seconds, or at a Unix time.
type ResetHeader struct {
	Name     string // lower case
	UnixTime bool
}

// A ClusterSpecifier chooses the cluster of a route per request. Any worker.
type ClusterSpecifier interface {
	// SpecifyCluster returns the name of the cluster for a request of a route with f, ""
	// for none. random is the one that the route was found with. The AttemptCount of
	// info, which may be nil, is that of the attempt to come, or 0 for the first.
	SpecifyCluster(f *Forward, h *httpmsg.Headers, info *streaminfo.Stream, random uint64) string
}
