package setfilterstate

import (
	"testing"

	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/set_filter_state/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/listenerfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

func TestOnAccept(t *testing.T) {
	m := new(statev3.Config)
	if err := protojson.Unmarshal([]byte(`{"on_accept": [{"object_key": "k", "factory_key": "envoy.string",
		"format_string": {"text_format_source": {"inline_string": "v"}}}]}`), m); err != nil {
		t.Fatal(err)
	}
	ctx := extension.NetworkContext{Context: extension.Context{Formats: httpfilter.Formats{}}}
	var errs conf.Errors
	s := listenerfilter.New(loop.New(1), Factory{}.BuildListenerFilter(m, ctx, conf.Path{}, &errs)())
	if s.Accept(); !s.Done || s.Connection.FilterState["k"] != "v" {
		t.Errorf("%v, %v", s.Done, s.Connection.FilterState)
	}
	m.OnAccept[0].Key = nil
	if (Factory{}).BuildListenerFilter(m, ctx, conf.Path{}, &errs) != nil || errs.Error() != "on_accept[0].object_key: must not be empty" {
		t.Error(errs)
	}
	if _, missing, err := (Factory{}).Fields()[0].Split(m.ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(missing, err)
	}
}
