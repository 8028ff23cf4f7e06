package omithostmetadata

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/omit_host_metadata/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

type host struct {
	upstream.Host
	metadata map[string]*structpb.Struct
}

func (h host) Metadata() map[string]*structpb.Struct { return h.metadata }

func TestReject(t *testing.T) {
	list := func(values ...any) []any { return values }
	object := func(k string, v any) map[string]any { return map[string]any{k: v} }
	for _, tc := range []struct {
		want, host map[string]any // below envoy.lb
		reject     bool
	}{
		{nil, object("a", "1"), false},
		{object("a", "1"), nil, false},
		{object("a", "1"), object("a", "1"), true},
		{object("a", "1"), object("a", "2"), false},
		{object("a", "1"), object("b", "1"), false},
		{object("a", "1"), object("a", list("0", "1")), true},
		{object("a", "1"), object("a", list()), false},
		{object("a", 1), object("a", 1), true},
		{object("a", 1), object("a", "1"), false},
		{object("a", true), object("a", true), true},
		{object("a", true), object("a", false), false},
		{object("a", nil), object("a", nil), true},
		{object("a", nil), object("a", 0), false},
		{object("a", object("b", list(1, 2))), object("a", object("b", list(1, 2))), true},
		{object("a", object("b", list(1, 2))), object("a", object("b", list(1, 3))), false},
		{object("a", object("b", list(1, 2))), object("a", object("b", list(1))), false},
		{object("a", object("b", 1)), object("a", object("c", 1)), false},
		{object("a", list(1)), object("a", list(list(1))), true},
		{map[string]any{"a": 1, "b": 2}, map[string]any{"a": 1, "b": 2, "c": 3}, true},
		{map[string]any{"a": 1, "b": 2}, map[string]any{"a": 1}, false},
	} {
		metadata := func(fields map[string]any) map[string]*structpb.Struct {
			if fields == nil {
				return nil
			}
			s, err := structpb.NewStruct(fields)
			if err != nil {
				t.Fatal(err)
			}
			return map[string]*structpb.Struct{"envoy.lb": s}
		}
		var errs conf.Errors
		p := Factory{}.BuildRetryHostPredicate(&metadatav3.OmitHostMetadataConfig{
			MetadataMatch: &corev3.Metadata{FilterMetadata: metadata(tc.want)}}, conf.Path{}, &errs)
		if got := p.Reject(host{metadata: metadata(tc.host)}, nil); got != tc.reject || errs.Err() != nil {
			t.Errorf("%v of %v: %v, %v", tc.want, tc.host, got, errs)
		}
	}
}
