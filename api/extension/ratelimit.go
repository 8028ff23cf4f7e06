package extension

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
)

// RateLimitDescriptors is the category of extensions that add entries to rate limit
// descriptors.
const RateLimitDescriptors = "envoy.rate_limit_descriptors"

// A RateLimitDescriptorFactory makes actions of rate limits.
type RateLimitDescriptorFactory interface {
	Factory
	// BuildRateLimitDescriptor checks the configuration. Errors go to errs with the path
	// of the field; the result is nil then.
	BuildRateLimitDescriptor(msg proto.Message, ctx Context, path conf.Path, errs *conf.Errors) ratelimit.Action
}

// RateLimits builds the policy of a rate_limits field at path; fields are those that
// are implemented there. Errors go to errs. Without rules it is nil. Main goroutine.
func (c *Context) RateLimits(cfgs []*routev3.RateLimit, fields conf.Fields, path conf.Path, errs *conf.Errors) *ratelimit.Policy {
	if len(cfgs) == 0 {
		return nil
	}
	return ratelimit.NewPolicy(cfgs, fields, ratelimit.Context{
		ServiceCluster: c.Server.ServiceCluster(),
		Formats:        c.Formats,
		FormatValues:   c.Runtime.Snapshot().Boolean(ratelimit.FormatsFlag, false),
		Extension:      c.rateLimitDescriptor,
	}, path, errs)
}

func (c *Context) rateLimitDescriptor(cfg *corev3.TypedExtensionConfig, path conf.Path, errs *conf.Errors) ratelimit.Action {
	path = path.Field("typed_config")
	msg := Unpack(cfg.GetTypedConfig(), path, errs)
	if msg == nil {
		return nil
	}
	if f, ok := c.Registry.ForMessage(RateLimitDescriptors, msg).(RateLimitDescriptorFactory); ok {
		return f.BuildRateLimitDescriptor(msg, *c, path, errs)
	}
	if f, ok := c.Registry.ForMessage(MatchInputs, msg).(MatchInputFactory); ok {
		input := f.BuildMatchInput(msg, *c, path, errs)
		if input != nil && input.Kind() != matcher.Text {
			errs.Add(path, "an input for a rate limit must be of the kind %s", matcher.Text)
		}
		return &inputDescriptor{cfg.GetName(), input}
	}
	unknown("rate limit descriptor", msg, path, errs)
	return nil
}

// An inputDescriptor is the entry with the value of an input of the matching API,
// under the name of the extension. An empty value leaves the entry out.
type inputDescriptor struct {
	name  string
	input matcher.Input
}

// Describe implements ratelimit.Action.
func (a *inputDescriptor) Describe(r *ratelimit.Request) (ratelimit.Entry, bool) {
	v := a.input.Get(matcher.Data{Request: r.Request, Stream: r.Stream})
	if v.Text == "" {
		return ratelimit.Entry{}, v.State == matcher.Present
	}
	return ratelimit.Entry{Key: a.name, Value: v.Text}, true
}
