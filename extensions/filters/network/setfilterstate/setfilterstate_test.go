package setfilterstate

import (
	"testing"

	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/set_filter_state/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/testkit/connection"
	"github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

func value(text string) string {
	return `[{"object_key": "k", "factory_key": "envoy.string", "format_string": {"text_format_source": {"inline_string": "` + text + `"}}}]`
}

func build(t *testing.T, text string) (network.FilterBuilder, string) {
	t.Helper()
	m := new(statev3.Config)
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	b := Factory{}.BuildNetworkFilter(m, extension.NetworkContext{Context: extension.Context{Formats: httpfilter.Formats{}}}, conf.Path{}, &errs)
	return b, errs.Error()
}

func TestMoments(t *testing.T) {
	b, errs := build(t, `{"on_new_connection": `+value("new")+`, "on_downstream_tls_handshake": `+value("handshake")+`, "on_downstream_data": `+value("data")+`}`)
	if errs != "" {
		t.Fatal(errs)
	}
	for _, secure := range []bool{false, true} {
		c := connection.New(loop.New(1))
		c.Info().Secure = secure
		is := func(want string) {
			t.Helper()
			if got := c.Info().FilterState["k"]; got != want {
				t.Errorf("TLS %v: %v, want %s", secure, got, want)
			}
		}
		b(c, c)
		c.Start()
		if secure {
			is("new")
			c.Raise(network.Connected)
		}
		is("handshake")
		c.Receive("a", false)
		is("data")
		c.Info().SetFilterState("k", "of another")
		c.Receive("b", true)
		is("of another")
		c.Raise(network.RemoteClose)
		is("of another")
	}
}

func TestConfigErrors(t *testing.T) {
	none := `[{"factory_key": "envoy.string"}]`
	_, errs := build(t, `{"on_new_connection": `+none+`, "on_downstream_tls_handshake": `+none+`, "on_downstream_data": `+none+`}`)
	want := ""
	for i, list := range []string{"on_new_connection", "on_downstream_tls_handshake", "on_downstream_data"} {
		if i > 0 {
			want += "\n"
		}
		want += list + "[0].object_key: must not be empty\n" + list + "[0].format_string: must be set"
	}
	if errs != want {
		t.Error(errs)
	}
	if _, missing, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(missing, err)
	}
}
