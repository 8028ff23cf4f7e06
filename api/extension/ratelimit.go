package extension

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
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
	f, ok := c.Registry.ForMessage(RateLimitDescriptors, msg).(RateLimitDescriptorFactory)
	if !ok {
		errs.Add(path, "rate limit descriptor %s is not implemented", msg.ProtoReflect().Descriptor().FullName())
		return nil
	}
	return f.BuildRateLimitDescriptor(msg, *c, path, errs)
}
