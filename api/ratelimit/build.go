package ratelimit

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
)

// FormatsFlag is the runtime key that turns on formats in the descriptor_value of
// generic_key, header_value_match and query_parameter_value_match. They are literals
// without it, and default_value has no effect.
const FormatsFlag = "envoy.reloadable_features.enable_formatter_for_ratelimit_action_descriptor_value"

// A Context is what building a policy needs. Main goroutine.
type Context struct {
	// ServiceCluster is the name of the node's cluster, for source_cluster.
	ServiceCluster string
	Formats        format.Compiler
	// FormatValues is the value of FormatsFlag.
	FormatValues bool
	// Extension makes the action of an extension. Errors go to errs; the result is nil
	// then.
	Extension func(cfg *corev3.TypedExtensionConfig, path conf.Path, errs *conf.Errors) Action
}

func actionFields() []string {
	return []string{
		"actions.source_cluster", "actions.destination_cluster", "actions.request_headers", "actions.query_parameters",
		"actions.remote_address", "actions.generic_key", "actions.header_value_match",
		"actions.metadata.descriptor_key", "actions.metadata.metadata_key.key", "actions.metadata.metadata_key.path.key",
		"actions.metadata.default_value", "actions.metadata.source", "actions.metadata.skip_if_absent",
		"actions.extension", "actions.masked_remote_address", "actions.query_parameter_value_match", "actions.remote_address_match",
		"apply_on_stream_done", "x_ratelimit_option",
	}
}

// RouteFields lists the implemented fields of RateLimit in routes and virtual hosts.
func RouteFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.RateLimit", Where: "routes",
		Names: append(actionFields(), "stage", "disable_key", "limit.rate_limit",
			"limit.dynamic_metadata.metadata_key.key", "limit.dynamic_metadata.metadata_key.path.key",
			"actions.dynamic_metadata.descriptor_key", "actions.dynamic_metadata.metadata_key.key",
			"actions.dynamic_metadata.metadata_key.path.key", "actions.dynamic_metadata.default_value"),
	}
}

// FilterFields lists the implemented fields of RateLimit in the configuration of
// filters that know no service: they have hits instead of stages.
func FilterFields() conf.Fields {
	return conf.Fields{Message: "envoy.config.route.v3.RateLimit", Where: "filters", Names: append(actionFields(), "hits_addend")}
}

// NewPolicy builds the policy of a list, of which fields are implemented. Errors go to
// errs. Without rules it is nil.
func NewPolicy(cfgs []*routev3.RateLimit, fields conf.Fields, ctx Context, path conf.Path, errs *conf.Errors) *Policy {
	if len(cfgs) == 0 {
		return nil
	}
	p := &Policy{}
	for i, cfg := range cfgs {
		at := path.Index(i)
		conf.Check(cfg, fields, at, errs)
		stage := cfg.GetStage().GetValue()
		if stage > MaxStage {
			errs.Add(at.Field("stage"), "must be at most %d", MaxStage)
			continue
		}
		p.stages[stage] = append(p.stages[stage], newRule(cfg, ctx, at, errs))
	}
	return p
}

func newRule(cfg *routev3.RateLimit, ctx Context, path conf.Path, errs *conf.Errors) *Rule {
	u := &Rule{
		DisableKey:   cfg.GetDisableKey(),
		OnStreamDone: cfg.GetApplyOnStreamDone(),
		override:     newOverride(cfg.GetLimit(), path.Field("limit"), errs),
		headers:      HeadersOption(cfg.GetXRatelimitOption()),
	}
	if h := cfg.GetHitsAddend(); h != nil {
		u.hits = newHits(h, ctx, path.Field("hits_addend"), errs)
	}
	for i, a := range cfg.GetActions() {
		u.actions = append(u.actions, newAction(a, ctx, path.Field("actions").Index(i), errs))
	}
	return u
}

func newHits(cfg *routev3.RateLimit_HitsAddend, ctx Context, path conf.Path, errs *conf.Errors) hits {
	h := hits{set: true, number: cfg.GetNumber().GetValue(), refund: cfg.GetIsNegativeHits()}
	text := cfg.GetFormat()
	switch {
	case (cfg.GetNumber() == nil) == (text == ""):
		errs.Add(path, "must have either a format or a number")
	case text == "":
	case strings.Contains(text[1:], "%%") || !strings.HasPrefix(text, "%") || !strings.HasSuffix(text, "%"):
		errs.Add(path.Field("format"), "must be exactly one operator")
	default:
		h.format = newFormat(text, ctx, path.Field("format"), errs)
	}
	return h
}

// newFormat compiles a text; operators without a value print nothing.
func newFormat(text string, ctx Context, path conf.Path, errs *conf.Errors) format.Format {
	var inside conf.Errors
	f := ctx.Formats.FromProto(&corev3.SubstitutionFormatString{
		Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineString{InlineString: text}}},
		OmitEmptyValues: true,
	}, path, &inside)
	for _, err := range inside {
		errs.Add(path, "%s", err.Message) // the fields of the message made here mean nothing to the user
	}
	return f
}

func newAction(cfg *routev3.RateLimit_Action, ctx Context, path conf.Path, errs *conf.Errors) Action {
	switch a := cfg.GetActionSpecifier().(type) {
	case *routev3.RateLimit_Action_SourceCluster_:
		return fixed{"source_cluster", ctx.ServiceCluster}
	case *routev3.RateLimit_Action_DestinationCluster_:
		return destinationCluster{}
	case *routev3.RateLimit_Action_RequestHeaders_:
		h := a.RequestHeaders
		return &requestHeader{headerName(h.GetHeaderName()), h.GetDescriptorKey(), h.GetSkipIfAbsent()}
	case *routev3.RateLimit_Action_QueryParameters_:
		q := a.QueryParameters
		return &queryParameter{q.GetQueryParameterName(), q.GetDescriptorKey(), q.GetSkipIfAbsent()}
	case *routev3.RateLimit_Action_RemoteAddress_:
		return remoteAddress{}
	case *routev3.RateLimit_Action_MaskedRemoteAddress_:
		m := a.MaskedRemoteAddress
		return maskedRemoteAddress{bitsOr(m.GetV4PrefixMaskLen(), 32), bitsOr(m.GetV6PrefixMaskLen(), 128)}
	case *routev3.RateLimit_Action_GenericKey_:
		v := newValue(a.GenericKey, "generic_key", ctx.FormatValues, ctx, path.Field("generic_key"), errs)
		return &v
	case *routev3.RateLimit_Action_HeaderValueMatch_:
		at := path.Field("header_value_match")
		return &headerValueMatch{newValue(a.HeaderValueMatch, "header_match", ctx.FormatValues, ctx, at, errs),
			expect(a.HeaderValueMatch.GetExpectMatch()), match.NewHeaders(a.HeaderValueMatch.GetHeaders(), at.Field("headers"), errs)}
	case *routev3.RateLimit_Action_QueryParameterValueMatch_:
		q, at := a.QueryParameterValueMatch, path.Field("query_parameter_value_match")
		return &queryParameterValueMatch{newValue(q, "query_match", ctx.FormatValues, ctx, at, errs),
			expect(q.GetExpectMatch()), match.NewQueryParameters(q.GetQueryParameters(), at.Field("query_parameters"), errs)}
	case *routev3.RateLimit_Action_RemoteAddressMatch_:
		m, at := a.RemoteAddressMatch, path.Field("remote_address_match")
		return &remoteAddressMatch{newValue(m, "remote_address_match", true, ctx, at, errs),
			address.NewRanges(m.GetAddressMatcher().GetRanges(), at.Field("address_matcher").Field("ranges"), errs),
			m.GetAddressMatcher().GetInvertMatch()}
	case *routev3.RateLimit_Action_DynamicMetadata:
		m := a.DynamicMetadata
		return &metadata{m.GetDescriptorKey(), m.GetDefaultValue(), newPath(m.GetMetadataKey(), path.Field("dynamic_metadata"), errs), false, false}
	case *routev3.RateLimit_Action_Metadata:
		m := a.Metadata
		return &metadata{m.GetDescriptorKey(), m.GetDefaultValue(), newPath(m.GetMetadataKey(), path.Field("metadata"), errs),
			m.GetSource() == routev3.RateLimit_Action_MetaData_ROUTE_ENTRY, m.GetSkipIfAbsent()}
	case *routev3.RateLimit_Action_Extension:
		return ctx.Extension(a.Extension, path.Field("extension"), errs)
	}
	errs.Add(path, "one of the actions is required")
	return nil
}

// valueConfig is the part that messages with a descriptor_value have in common.
type valueConfig interface {
	GetDescriptorKey() string
	GetDescriptorValue() string
	GetDefaultValue() string
}

func newValue(cfg valueConfig, key string, formatted bool, ctx Context, path conf.Path, errs *conf.Errors) value {
	v := value{key: key, text: cfg.GetDescriptorValue(), fallback: cfg.GetDefaultValue()}
	if k := cfg.GetDescriptorKey(); k != "" {
		v.key = k
	}
	if formatted {
		v.format = newFormat(v.text, ctx, path.Field("descriptor_value"), errs)
	}
	return v
}

func newPath(key *metadatav3.MetadataKey, path conf.Path, errs *conf.Errors) match.MetadataPath {
	return match.NewMetadataPath(key.GetKey(), key.GetPath(), path.Field("metadata_key"), errs)
}

func headerName(name string) string {
	if name = match.Lower(name); name == "host" {
		return httpmsg.Authority.String()
	}
	return name
}

func expect(b *wrapperspb.BoolValue) bool { return b == nil || b.GetValue() }

func bitsOr(v *wrapperspb.UInt32Value, otherwise int) int {
	if v == nil {
		return otherwise
	}
	return int(v.GetValue())
}
