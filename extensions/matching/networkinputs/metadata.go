package networkinputs

import (
	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/metadata/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/matcher"
)

// DynamicMetadata makes the input envoy.matching.inputs.dynamic_metadata.
type DynamicMetadata struct{}

// Name implements extension.Factory.
func (DynamicMetadata) Name() string { return "envoy.matching.inputs.dynamic_metadata" }

// Category implements extension.Factory.
func (DynamicMetadata) Category() string { return extension.MatchInputs }

// Config implements extension.Factory.
func (DynamicMetadata) Config() proto.Message { return new(networkv3.DynamicMetadataInput) }

// Fields implements extension.Factory.
func (DynamicMetadata) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput",
		Names:   []string{"filter", "path"},
	}}
}

// BuildMatchInput implements extension.MatchInputFactory.
func (DynamicMetadata) BuildMatchInput(msg proto.Message, _ extension.Context, path conf.Path, errs *conf.Errors) matcher.Input {
	before := len(*errs)
	cfg := msg.(*networkv3.DynamicMetadataInput)
	in := &metadata{match.NewMetadataPath(cfg.GetFilter(), cfg.GetPath(), path, errs)}
	if len(*errs) > before {
		return nil
	}
	return in
}

// metadata is a value that may be nil: matchers of metadata decide what that means.
type metadata struct{ path match.MetadataPath }

func (*metadata) Kind() matcher.Kind { return matcher.Metadata }

func (m *metadata) Get(d matcher.Data) matcher.Value {
	v := matcher.Value{State: matcher.Present}
	if d.Stream != nil {
		v.JSON = m.path.Find(d.Stream.Metadata)
	}
	return v
}

// MetadataMatcher makes the matcher envoy.matching.matchers.metadata_matcher.
type MetadataMatcher struct{}

// Name implements extension.Factory.
func (MetadataMatcher) Name() string { return "envoy.matching.matchers.metadata_matcher" }

// Category implements extension.Factory.
func (MetadataMatcher) Category() string { return extension.ValueMatchers }

// Config implements extension.Factory.
func (MetadataMatcher) Config() proto.Message { return new(metadatav3.Metadata) }

// Fields implements extension.Factory.
func (MetadataMatcher) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.matching.input_matchers.metadata.v3.Metadata",
		Names:   []string{"value", "invert"},
	}}
}

// BuildValueMatcher implements extension.ValueMatcherFactory.
func (MetadataMatcher) BuildValueMatcher(msg proto.Message, _ extension.Context, path conf.Path, errs *conf.Errors) matcher.ValueMatcher {
	conf.Check(msg, MetadataMatcher{}.Fields()[0], path, errs)
	cfg := msg.(*metadatav3.Metadata)
	v := match.NewValue(cfg.GetValue(), path.Field("value"), errs)
	if v == nil {
		return nil
	}
	return &metadataValue{v, cfg.GetInvert()}
}

type metadataValue struct {
	value  *match.Value
	invert bool
}

func (*metadataValue) Kind() matcher.Kind { return matcher.Metadata }

func (m *metadataValue) Match(v matcher.Value) matcher.Outcome {
	return matcher.OutcomeOf(m.value.Match(v.JSON) != m.invert)
}
