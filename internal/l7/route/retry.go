package route

import (
	"math"
	"slices"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	canaryv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/omit_canary_hosts/v3"
	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// defaultRetryInterval is where the back-off between retries begins; its longest
// interval is ten times that.
const defaultRetryInterval = 25 * time.Millisecond

func (b *builder) retryPolicy(cfg *routev3.RetryPolicy, path conf.Path) *route.RetryPolicy {
	conf.Check(cfg, RetryFields(), path, b.errs)
	p := &route.RetryPolicy{NumRetries: 1, HostAttempts: 1}
	if cfg.GetRetryOn() != "" {
		var unknown string
		if p.On, unknown = route.ParseRetryOn(cfg.GetRetryOn()); unknown != "" {
			b.errs.Add(path.Field("retry_on"), "retry condition %q is not implemented", unknown)
		}
	}
	if n := cfg.GetNumRetries(); n != nil {
		p.NumRetries = int(n.GetValue())
	}
	b.optional(&p.PerTryTimeout, cfg.GetPerTryTimeout(), path.Field("per_try_timeout"))
	b.optional(&p.PerTryIdleTimeout, cfg.GetPerTryIdleTimeout(), path.Field("per_try_idle_timeout"))
	b.backOff(p, cfg.GetRetryBackOff(), path.Field("retry_back_off"))
	for _, code := range cfg.GetRetriableStatusCodes() {
		p.RetriableStatusCodes = append(p.RetriableStatusCodes, int(code))
	}
	p.RetriableHeaders = headerMatchers(match.NewHeaders(cfg.GetRetriableHeaders(), path.Field("retriable_headers"), b.errs))
	p.RequestHeaders = headerMatchers(match.NewHeaders(cfg.GetRetriableRequestHeaders(), path.Field("retriable_request_headers"), b.errs))
	b.hostPredicates(p, cfg.GetRetryHostPredicate(), path.Field("retry_host_predicate"))
	if n := cfg.GetHostSelectionRetryMaxAttempts(); n > 0 {
		p.HostAttempts = int(min(n, math.MaxInt32))
	}
	return p
}

func headerMatchers(in []*match.Header) (out []route.HeaderMatcher) {
	for _, h := range in {
		out = append(out, h)
	}
	return out
}

func (b *builder) backOff(p *route.RetryPolicy, cfg *routev3.RetryPolicy_RetryBackOff, path conf.Path) {
	p.BaseInterval = defaultRetryInterval
	if cfg != nil && cfg.GetBaseInterval() == nil {
		b.errs.Add(path.Field("base_interval"), "is required")
	}
	if d := cfg.GetBaseInterval(); d != nil {
		p.BaseInterval = max(b.duration(d, path.Field("base_interval")), time.Millisecond)
	}
	p.MaxInterval = 10 * p.BaseInterval
	if d := cfg.GetMaxInterval(); d != nil {
		p.MaxInterval = max(b.duration(d, path.Field("max_interval")), time.Millisecond)
	}
	if p.MaxInterval < p.BaseInterval {
		b.errs.Add(path.Field("max_interval"), "must not be less than base_interval")
	}
}

func (b *builder) hostPredicates(p *route.RetryPolicy, cfgs []*routev3.RetryPolicy_RetryHostPredicate, path conf.Path) {
	for i, cfg := range cfgs {
		at := path.Index(i).Field("typed_config")
		if cfg.GetTypedConfig() == nil {
			b.errs.Add(at, "is required")
			continue
		}
		switch msg := extension.Unpack(cfg.GetTypedConfig(), at, b.errs).(type) {
		case *previousv3.PreviousHostsPredicate:
			p.HostPredicates = append(p.HostPredicates, previousHosts{})
		case *canaryv3.OmitCanaryHostsPredicate:
			p.HostPredicates = append(p.HostPredicates, canaryHosts{})
		case nil:
		default:
			b.errs.Add(at, "retry host predicate %s is not implemented", msg.ProtoReflect().Descriptor().FullName())
		}
	}
}

// previousHosts turns down the hosts of earlier attempts.
type previousHosts struct{}

// Reject implements route.RetryHostPredicate.
func (previousHosts) Reject(h upstream.Host, tried []upstream.Host) bool {
	return slices.Contains(tried, h)
}

// canaryHosts turns down canaries.
type canaryHosts struct{}

// Reject implements route.RetryHostPredicate.
func (canaryHosts) Reject(h upstream.Host, _ []upstream.Host) bool { return h.Canary() }

// optional sets to if a duration is configured.
func (b *builder) optional(to *time.Duration, d *durationpb.Duration, path conf.Path) {
	if d != nil {
		*to = b.duration(d, path)
	}
}
