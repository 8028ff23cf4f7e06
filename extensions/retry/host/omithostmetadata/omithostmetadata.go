// Package omithostmetadata is the retry host predicate
// envoy.retry_host_predicates.omit_host_metadata: a retry goes to a host without
// certain metadata.
package omithostmetadata

import (
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/omit_host_metadata/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// Factory is the extension.RetryHostPredicateFactory of the predicate.
type Factory struct{}

var _ extension.RetryHostPredicateFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.retry_host_predicates.omit_host_metadata" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.RetryHostPredicates }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &metadatav3.OmitHostMetadataConfig{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig",
		Names:   []string{"metadata_match.filter_metadata"},
	}}
}

// namespace is where the metadata is, in the configuration and in the host.
const namespace = "envoy.lb"

// BuildRetryHostPredicate implements extension.RetryHostPredicateFactory.
func (f Factory) BuildRetryHostPredicate(msg proto.Message, path conf.Path, errs *conf.Errors) route.RetryHostPredicate {
	m := msg.(*metadatav3.OmitHostMetadataConfig)
	conf.Check(m, f.Fields()[0], path, errs)
	return predicate(m.GetMetadataMatch().GetFilterMetadata()[namespace].GetFields())
}

// predicate is what the metadata of hosts to omit has.
type predicate map[string]*structpb.Value

// Reject implements route.RetryHostPredicate.
func (p predicate) Reject(h upstream.Host, _ []upstream.Host) bool {
	fields := h.Metadata()[namespace].GetFields()
	for key, want := range p {
		value, found := fields[key]
		if !found || !matches(value, want) {
			return false
		}
	}
	return len(p) > 0
}

// matches reports whether a value of a host is the wanted one, or a list that holds
// it.
func matches(value, want *structpb.Value) bool {
	list, ok := value.GetKind().(*structpb.Value_ListValue)
	if !ok {
		return equal(value, want)
	}
	for _, v := range list.ListValue.GetValues() {
		if equal(v, want) {
			return true
		}
	}
	return false
}

// equal compares values without reflection, which has no place in a request.
func equal(a, b *structpb.Value) bool {
	switch a := a.GetKind().(type) {
	case *structpb.Value_NullValue:
		_, ok := b.GetKind().(*structpb.Value_NullValue)
		return ok
	case *structpb.Value_BoolValue:
		b, ok := b.GetKind().(*structpb.Value_BoolValue)
		return ok && a.BoolValue == b.BoolValue
	case *structpb.Value_NumberValue:
		b, ok := b.GetKind().(*structpb.Value_NumberValue)
		return ok && a.NumberValue == b.NumberValue
	case *structpb.Value_StringValue:
		b, ok := b.GetKind().(*structpb.Value_StringValue)
		return ok && a.StringValue == b.StringValue
	case *structpb.Value_ListValue:
		b, ok := b.GetKind().(*structpb.Value_ListValue)
		return ok && equalLists(a.ListValue.GetValues(), b.ListValue.GetValues())
	case *structpb.Value_StructValue:
		b, ok := b.GetKind().(*structpb.Value_StructValue)
		return ok && equalStructs(a.StructValue.GetFields(), b.StructValue.GetFields())
	default:
		return false
	}
}

func equalLists(a, b []*structpb.Value) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func equalStructs(a, b map[string]*structpb.Value) bool {
	if len(a) != len(b) {
		return false
	}
	for key, v := range a {
		if other, found := b[key]; !found || !equal(v, other) {
			return false
		}
	}
	return true
}
