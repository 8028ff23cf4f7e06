package bootstrap

import (
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// staticRuntime returns the boolean of a runtime key in the static layers, of
// which the last that has it wins. It decides about deprecated fields before
// there is a runtime.
func staticRuntime(r *bootstrapv3.LayeredRuntime, key string, otherwise bool) bool {
	for _, layer := range r.GetLayers() {
		switch v := runtimeValue(layer.GetStaticLayer(), key).GetKind().(type) {
		case *structpb.Value_BoolValue:
			otherwise = v.BoolValue
		case *structpb.Value_StringValue:
			if v.StringValue == "true" || v.StringValue == "false" {
				otherwise = v.StringValue == "true"
			}
		}
	}
	return otherwise
}

// runtimeValue finds a key, whose parts may be nested or joined by dots.
func runtimeValue(s *structpb.Struct, key string) *structpb.Value {
	if v := s.GetFields()[key]; v != nil {
		return v
	}
	for name, v := range s.GetFields() {
		if rest, ok := strings.CutPrefix(key, name+"."); ok {
			if v := runtimeValue(v.GetStructValue(), rest); v != nil {
				return v
			}
		}
	}
	return nil
}
