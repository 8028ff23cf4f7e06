package networkinputs

import (
	"strconv"

	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// FilterState makes the input envoy.matching.inputs.filter_state.
type FilterState struct{}

// Name implements extension.Factory.
func (FilterState) Name() string { return "envoy.matching.inputs.filter_state" }

// Category implements extension.Factory.
func (FilterState) Category() string { return extension.MatchInputs }

// Config implements extension.Factory.
func (FilterState) Config() proto.Message { return new(networkv3.FilterStateInput) }

// Fields implements extension.Factory.
func (FilterState) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.matching.common_inputs.network.v3.FilterStateInput",
		Names:   []string{"key", "field"},
	}}
}

// BuildMatchInput implements extension.MatchInputFactory. The object as a text, or a
// field of it if it has fields.
func (FilterState) BuildMatchInput(msg proto.Message, _ extension.Context, path conf.Path, errs *conf.Errors) matcher.Input {
	cfg := msg.(*networkv3.FilterStateInput)
	key, field := cfg.GetKey(), cfg.GetField()
	if key == "" {
		errs.Add(path.Field("key"), "must not be empty")
		return nil
	}
	return matcher.TextInput(func(d matcher.Data) matcher.Value {
		if field != "" {
			if object, ok := match.FilterStateObject(d.Stream, key).(streaminfo.Fields); ok {
				return fieldOf(object, field)
			}
		}
		return matcher.TextValue(match.FilterStateText(d.Stream, key))
	})
}

func fieldOf(object streaminfo.Fields, name string) matcher.Value {
	switch v := object.Field(name).(type) {
	case string:
		return matcher.TextValue(v, true)
	case int64:
		return matcher.TextValue(strconv.FormatInt(v, 10), true)
	default:
		return matcher.Value{}
	}
}
