// Package route holds what a route table decides for a request. The values are
// immutable: they are built when a route configuration is loaded, and shared by
// all workers.
package route

import (
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// A Table finds the route of a request. Any worker.
type Table interface {
	// Name is the name of the route configuration.
	Name() string
	// Match returns the first route that fits, nil if none does. random picks among
	// weighted clusters and decides runtime fractions. info may be nil.
	Match(h *httpmsg.Headers, info *streaminfo.Stream, random uint64) *Route
	// VirtualHost returns that of a request, nil if it has none.
	VirtualHost(h *httpmsg.Headers) *VirtualHost
	// Explain says why Match returns what it returns. It costs more than Match.
	Explain(h *httpmsg.Headers, info *streaminfo.Stream, random uint64) *Explanation
	// InternalOnlyHeaders lists lower-case names of headers that requests from outside
	// lose before a route is looked up.
	InternalOnlyHeaders() []string
}

// A Route is what happens to a request: exactly one of Forward and Direct is set.
type Route struct {
	Name        string
	VirtualHost *VirtualHost
	Forward     *Forward
	Direct      *Direct
	Metadata    map[string]*structpb.Struct
	// Response changes the headers of every response of this route, local ones
	// included, for which it comes before their content-type is chosen; nil if there is
	// nothing to change.
	Response HeaderMutation
	// Stats are the statistics of the route's stat_prefix, nil for none.
	Stats *RequestStats
	// FilterConfigs holds configuration for filters, the most specific first: of the
	// weighted cluster, this route, its virtual host, the table. Use FilterConfig.
	FilterConfigs []FilterConfig
}

// A VirtualHost is the group of domains that a route belongs to.
type VirtualHost struct {
	Name string
	// IncludeAttemptCount and IncludeAttemptCountInResponse ask for
	// x-envoy-attempt-count upstream and downstream.
	IncludeAttemptCount, IncludeAttemptCountInResponse bool
	// IncludeIsTimeoutRetry asks for x-envoy-is-timeout-retry on retries.
	IncludeIsTimeoutRetry bool
	Metadata              map[string]*structpb.Struct
	// VirtualCluster returns the statistics of the virtual cluster that a request
	// belongs to, nil for none. The function is nil if the host has no virtual clusters.
	VirtualCluster func(h *httpmsg.Headers) *RequestStats
	// RateLimits are the rules of rate limit filters, nil for none.
	RateLimits *ratelimit.Policy
}

// A FilterConfig is configuration of a route for the filter with that name in the
// filter chain. Without Config and Disabled it turns on a filter that the chain has
// disabled. Filter is empty for what the deprecated cors of the route and the virtual
// host say, to CORS filters of any name that find nothing else.
type FilterConfig struct {
	Filter   string
	Config   any // what the factory's BuildRouteConfig returned; nil if only Disabled matters
	Disabled bool
}

// FilterConfig returns the most specific configuration for the filter with that
// name, nil if there is none. The list is short; it is searched.
func (r *Route) FilterConfig(filter string) any {
	for i := range r.FilterConfigs {
		if c := &r.FilterConfigs[i]; c.Filter == filter && c.Config != nil {
			return c.Config
		}
	}
	return nil
}

// A HeaderMutation changes headers by configured rules. Any worker.
type HeaderMutation interface {
	// MutateHeaders changes h, which may be the Request or Response of e; formatted
	// values come from e.
	MutateHeaders(h *httpmsg.Headers, e *format.Entry)
}

// Direct answers without an upstream: a direct response or a redirect.
type Direct struct {
	Status int
	// Body is nil for none, and may change.
	Body Text
	// BodyFormat makes the body from Body, as %LOCAL_REPLY_BODY%, if it is not nil; it
	// may set the content type.
	BodyFormat  format.Format
	ContentType string // "" for text/plain
	// Location is set for redirects: it returns the value of the location header.
	Location func(h *httpmsg.Headers, info *streaminfo.Stream) string
	// Details is the response code detail.
	Details string
}

// A Text is a text that may change. Any goroutine.
type Text interface{ Text() string }

// BodyText returns the body as it is now.
func (d *Direct) BodyText() string {
	if d.Body == nil {
		return ""
	}
	return d.Body.Text()
}

// Forward sends the request to a cluster.
type Forward struct {
	// Cluster is the name of the cluster. If it is "", the first value of the request
	// header ClusterHeader names it, or else the Specifier. Without any there is no
	// cluster: the route is not for forwarding. Use ClusterName.
	Cluster       string
	ClusterHeader string
	Specifier     ClusterSpecifier // nil for none
	// ClusterNotFoundStatus is the answer when there is no such cluster.
	ClusterNotFoundStatus int

	// Timeout is for the whole response; 0 means none. IdleTimeout overrides the
	// connection manager's stream idle timeout when HasIdleTimeout is set.
	Timeout        time.Duration
	IdleTimeout    time.Duration
	HasIdleTimeout bool
	// MaxStreamDuration overrides the connection manager's when HasMaxStreamDuration
	// is set.
	MaxStreamDuration    time.Duration
	HasMaxStreamDuration bool
	// GRPC is how the header grpc-timeout of gRPC requests is obeyed.
	GRPC GRPCTimeout
	// FlushTimeout is for the last bytes of a response that the client does not take,
	// when HasFlushTimeout is set; 0 means none.
	FlushTimeout    time.Duration
	HasFlushTimeout bool

	Priority upstream.Priority
	Retry    *RetryPolicy // nil for none
	// Request rewrites path and host and changes the request headers, before the
	// request goes upstream. It is not nil.
	Request RequestRewrite
	// Upgrades overrides the connection manager's list of allowed upgrades.
	Upgrades []Upgrade
	// MaxRequestBuffer overrides the limit in bytes of a buffered request, 0 for no
	// override. With LowersRequestBuffer it counts only if it is less than the
	// connection's.
	MaxRequestBuffer    int
	LowersRequestBuffer bool
	// AppendXForwardedHost asks for x-forwarded-host when the host is rewritten.
	AppendXForwardedHost bool
	// AutoHostRewrite sets the host to the chosen upstream host's name.
	AutoHostRewrite bool

	Mirrors []Mirror
	// Hash is nil for requests without a hash.
	Hash HashPolicy
	// HedgeOnPerTryTimeout sends another attempt after a per-try timeout and leaves the
	// late one running: the first answer counts.
	HedgeOnPerTryTimeout bool
	Redirect             *InternalRedirect // nil for none
	// RateLimits are the rules of rate limit filters, nil for none.
	// IncludeHostRateLimits adds those of the virtual host in any case.
	RateLimits            *ratelimit.Policy
	IncludeHostRateLimits bool
}

// ClusterName returns the name of the cluster for a request, "" for none. A retry with
// RefreshCluster asks again; the answer differs only if there is a Specifier. random
// is the one that the route was found with.
func (f *Forward) ClusterName(h *httpmsg.Headers, info *streaminfo.Stream, random uint64) string {
	switch {
	case f.Cluster != "":
		return f.Cluster
	case f.ClusterHeader != "":
		name, _ := h.Find(f.ClusterHeader)
		return name
	case f.Specifier != nil:
		return f.Specifier.SpecifyCluster(f, h, info, random)
	default:
		return ""
	}
}

// StreamDuration returns how long a stream may take; 0 means for ever. ok is false if
// the connection manager's limit counts.
func (f *Forward) StreamDuration(h *httpmsg.Headers) (d time.Duration, ok bool) {
	if !f.GRPC.Stream {
		return f.MaxStreamDuration, f.HasMaxStreamDuration
	}
	if d, ok = httpmsg.ParseGRPCTimeout(h.Get(httpmsg.GRPCTimeout)); !ok {
		return f.MaxStreamDuration, f.HasMaxStreamDuration
	}
	if f.GRPC.Max != 0 {
		d = min(d, f.GRPC.Max)
	}
	return max(d-f.GRPC.Offset, time.Nanosecond), true // nothing left: it is over at once
}

// GRPCTimeout says how far grpc-timeout counts. There are two generations: with
// Stream the header bounds the stream in place of MaxStreamDuration, with Response
// the response in place of Timeout.
type GRPCTimeout struct {
	Stream, Response bool
	// Max bounds the header's value, if it is not 0. Offset is taken from a value that
	// is longer.
	Max, Offset time.Duration
}

// A RequestRewrite changes a request for its upstream. Any worker.
type RequestRewrite interface {
	// RewriteRequest changes h, which is the Request of e. keepOriginal asks for
	// x-envoy-original-path and x-envoy-original-host.
	RewriteRequest(h *httpmsg.Headers, e *format.Entry, keepOriginal bool)
}

// An Upgrade allows or forbids a protocol upgrade, by lower-case name.
type Upgrade struct {
	Type    string
	Enabled bool
	// Connect is set for CONNECT upgrades that this proxy terminates.
	Connect *Connect
}

// Connect is how a CONNECT request is terminated.
type Connect struct {
	AllowPost bool
	// ProxyHeader is the version of the PROXY protocol whose header begins the connection
	// to the host, 0 for none.
	ProxyHeader int
}

// A HeaderMatcher tests headers. Any worker.
type HeaderMatcher interface {
	MatchHeaders(h *httpmsg.Headers) bool
}
