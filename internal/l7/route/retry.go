package route

import (
	"math"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// defaultRetryInterval is where the back-off between retries begins; its longest
// interval is ten times that.
const defaultRetryInterval = 25 * time.Millisecond

func (b *builder) retryPolicy(cfg *routev3.RetryPolicy, path conf.Path) *route.RetryPolicy {
	conf.Check(cfg, RetryFields(), path, b.errs)
	p := &route.RetryPolicy{
		NumRetries:     1,
		HostAttempts:   1,
		Priority:       b.retryPriority(cfg.GetRetryPriority(), path.Field("retry_priority")),
		RateLimited:    b.rateLimited(cfg.GetRateLimitedRetryBackOff(), path.Field("rate_limited_retry_back_off")),
		RefreshCluster: cfg.GetRefreshClusterOnRetry(),
	}
	if cfg.GetRetryOn() != "" {
		var unknown string
		if p.On, unknown = route.ParseRetryOn(cfg.GetRetryOn()); unknown != "" {
			// Envoy takes it without a word.
			b.Log.Warnf("%s: retry condition %q is not known and has no effect", path.Field("retry_on"), unknown)
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
	b.optionPredicates(cfg.GetRetryOptionsPredicates(), path.Field("retry_options_predicates"))
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
		if f, msg, ok := factoryFor[extension.RetryHostPredicateFactory](b, extension.RetryHostPredicates, cfg.GetTypedConfig(), at); ok {
			p.HostPredicates = append(p.HostPredicates, f.BuildRetryHostPredicate(msg, at, b.errs))
		}
	}
}

func (b *builder) retryPriority(cfg *routev3.RetryPolicy_RetryPriority, path conf.Path) route.RetryPriority {
	if cfg == nil {
		return nil
	}
	at := path.Field("typed_config")
	f, msg, ok := factoryFor[extension.RetryPriorityFactory](b, extension.RetryPriorities, cfg.GetTypedConfig(), at)
	if !ok {
		return nil
	}
	return f.BuildRetryPriority(msg, at, b.errs)
}

// defaultResetInterval is the longest time before a retry that a header may ask for.
const defaultResetInterval = 300 * time.Second

func (b *builder) rateLimited(cfg *routev3.RetryPolicy_RateLimitedRetryBackOff, path conf.Path) *route.RateLimitedBackOff {
	if cfg == nil {
		return nil
	}
	r := &route.RateLimitedBackOff{MaxInterval: defaultResetInterval}
	if d := cfg.GetMaxInterval(); d != nil {
		if r.MaxInterval = b.duration(d, path.Field("max_interval")); r.MaxInterval == 0 {
			b.errs.Add(path.Field("max_interval"), "must be greater than 0s")
		}
		r.MaxInterval = max(r.MaxInterval, time.Millisecond)
	}
	if len(cfg.GetResetHeaders()) == 0 {
		b.errs.Add(path.Field("reset_headers"), "must not be empty")
	}
	for i, h := range cfg.GetResetHeaders() {
		if h.GetName() == "" {
			b.errs.Add(path.Field("reset_headers").Index(i).Field("name"), "must not be empty")
		}
		r.Headers = append(r.Headers, route.ResetHeader{
			Name:     match.Lower(h.GetName()),
			UnixTime: h.GetFormat() == routev3.RetryPolicy_UNIX_TIMESTAMP,
		})
	}
	return r
}

// optionPredicates refuses what nothing implements, as Envoy does.
func (b *builder) optionPredicates(cfgs []*corev3.TypedExtensionConfig, path conf.Path) {
	for i, cfg := range cfgs {
		b.errs.Add(path.Index(i).Field("typed_config"), "no implementation of envoy.retry_options_predicates is registered for type %s",
			cfg.GetTypedConfig().GetTypeUrl())
	}
}

// typedRetryPolicy warns of what Envoy takes and does not look at.
func (b *builder) typedRetryPolicy(cfg *anypb.Any, path conf.Path) {
	if cfg != nil {
		b.Log.Warnf("%s: has no effect, as in Envoy: use retry_policy", path)
	}
}
