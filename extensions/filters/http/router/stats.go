package router

import (
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// routerStats are the statistics of the router itself, http.<stat_prefix>.*.
type routerStats struct {
	noCluster, noRoute, rqDirectResponse, rqResetAfterResponseStarted, rqTotal *stats.Counter

	redirectBadLocation, redirectNoRoute, redirectPredicate, redirectTooMany, redirectUnsafeScheme *stats.Counter
}

func newStats(scope stats.Scope) *routerStats {
	// Nothing counts these yet, in Envoy neither, but who reads the statistics expects
	// to find them.
	for _, name := range [...]string{"rq_overload_local_reply", "rq_redirect"} {
		scope.Counter(name)
	}
	return &routerStats{
		noCluster:                   scope.Counter("no_cluster"),
		noRoute:                     scope.Counter("no_route"),
		rqDirectResponse:            scope.Counter("rq_direct_response"), // redirects included
		rqResetAfterResponseStarted: scope.Counter("rq_reset_after_downstream_response_started"),
		rqTotal:                     scope.Counter("rq_total"),

		redirectBadLocation:  scope.Counter("passthrough_internal_redirect_bad_location"),
		redirectNoRoute:      scope.Counter("passthrough_internal_redirect_no_route"),
		redirectPredicate:    scope.Counter("passthrough_internal_redirect_predicate"),
		redirectTooMany:      scope.Counter("passthrough_internal_redirect_too_many_redirects"),
		redirectUnsafeScheme: scope.Counter("passthrough_internal_redirect_unsafe_scheme"),
	}
}

// namedStats are the statistics besides the cluster's that a request counts in.
type namedStats struct {
	virtualCluster, route *route.RequestStats // nil for none
	// alternative is a name below the cluster's, from a request header.
	alternative string
}

// findNamedStats finds the virtual cluster of the request and the statistics of its
// route.
func (f *filter) findNamedStats() {
	f.named.route = f.route.Stats
	if v := f.route.VirtualHost; v != nil && v.VirtualCluster != nil {
		if c := v.VirtualCluster(f.headers); c != nil {
			f.named.virtualCluster, f.info.VirtualClusterName = c, c.Name
		}
	}
}

// both returns the statistics of virtual cluster and route.
func (n *namedStats) both() [2]*route.RequestStats {
	return [...]*route.RequestStats{n.virtualCluster, n.route}
}

func (n *namedStats) countRequest(shard int) {
	for _, s := range n.both() {
		if s != nil {
			s.Total.Inc(shard)
		}
	}
}

func (n *namedStats) countTimeout(shard int) {
	for _, s := range n.both() {
		if s != nil {
			s.Timeout.Inc(shard)
		}
	}
}

// A retryEvent is something about retries that is counted.
type retryEvent uint8

const (
	retryMade retryEvent = iota
	retrySuccess
	retryOverflow
	retryLimitExceeded
)

func (n *namedStats) countRetry(shard int, e retryEvent) {
	for _, s := range n.both() {
		if s != nil {
			[...]*stats.Counter{s.Retry, s.RetrySuccess, s.RetryOverflow, s.RetryLimitExceeded}[e].Inc(shard)
		}
	}
}

// countsResponses reports whether the statistics by response code and time are kept
// for this request.
func (f *filter) countsResponses() bool { return f.cfg.dynamicStats && !f.info.HealthCheck }

// basicStatus is the status for the statistics that gRPC requests may be kept out
// of: 0 counts as completed only.
func (f *filter) basicStatus(status int) int {
	if f.grpc && f.cfg.suppressGRPCCodes {
		return 0
	}
	return status
}

// zonePrefix is the name of the statistics for requests to the zone of a host, "" if
// this server's zone or that one is not known.
func (f *filter) zonePrefix(host upstream.Host) string {
	if f.cfg.zone == "" || host == nil || host.Locality().Zone == "" {
		return ""
	}
	if to := host.Locality().Zone; to != f.keys.zone {
		f.keys.zone, f.keys.zonePrefix = to, "zone."+f.cfg.zone+"."+to+"."
	}
	return f.keys.zonePrefix
}

// originPrefix is the name of the statistics for requests from inside or outside.
func (f *filter) originPrefix() string {
	if f.internal {
		return "internal."
	}
	return "external."
}

// eachResponses calls do with all statistics of responses that a response counts in.
// The last argument is that by which it counts: the status of the cluster's own
// statistics, and of those under another name, may differ.
func (f *filter) eachResponses(host upstream.Host, canary bool, do func(f *filter, r *upstream.Responses, basic bool)) {
	s := f.cluster.Stats()
	do(f, &s.Responses, true)
	if canary {
		do(f, &s.CanaryResponses, false)
	}
	if f.internal {
		do(f, &s.InternalResponses, false)
	} else {
		do(f, &s.ExternalResponses, false)
	}
	for _, n := range f.named.both() {
		if n != nil {
			do(f, &n.Responses, false)
		}
	}
	zone := f.zonePrefix(host)
	if zone != "" {
		if r := s.NamedResponses.Get(zone); r != nil {
			do(f, r, false)
		}
	}
	if f.named.alternative != "" {
		f.eachAlternative(canary, zone, do)
	}
}

func (f *filter) eachAlternative(canary bool, zone string, do func(f *filter, r *upstream.Responses, basic bool)) {
	prefix := f.named.alternative + "."
	prefixes := [...]string{prefix, prefix + f.originPrefix(), "", ""}
	if canary {
		prefixes[2] = prefix + "canary."
	}
	if zone != "" {
		prefixes[3] = prefix + zone
	}
	for i, p := range prefixes {
		if p == "" {
			continue
		}
		if r := f.cluster.Stats().NamedResponses.Get(p); r != nil {
			do(f, r, i == 0)
		}
	}
}

// countResponse counts the status of a response, or one that stands for a failure.
// host is nil if none was picked.
func (f *filter) countResponse(status int, host upstream.Host, canary bool) {
	if !f.countsResponses() {
		return
	}
	f.eachResponses(host, canary, func(f *filter, r *upstream.Responses, basic bool) {
		if basic {
			r.Record(f.shard, f.basicStatus(status))
		} else {
			r.Record(f.shard, status)
		}
	})
}

// countTime records how long the response took since the request was complete.
func (f *filter) countTime(u *upstreamRequest) {
	if !f.countsResponses() || !f.complete {
		return
	}
	ms := uint64(f.sinceComplete().Milliseconds())
	f.eachResponses(u.host, u.canary, func(f *filter, r *upstream.Responses, _ bool) { r.RecordTime(f.shard, ms) })
}

// countAbort counts a failure of an attempt that the client is told of, unless
// another one answers.
func (f *filter) countAbort(u *upstreamRequest, status int) {
	if !f.responseStarted {
		f.countResponse(status, u.host, u.host != nil && u.host.Canary())
		u.recordFailure(status)
		return
	}
	if u.outcomeOpen {
		f.cfg.stats.rqResetAfterResponseStarted.Inc(f.shard)
		u.recordFailure(status)
	}
}
