package cel

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/formatter/cel/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

type server struct{ extension.Server }

func (server) Node() *corev3.Node { return &corev3.Node{Id: "me"} }

func TestOperators(t *testing.T) {
	e := &format.Entry{Stream: &streaminfo.Stream{ResponseCode: 404}}
	concat := &celv3.Cel{CelConfig: &corev3.CelExpressionConfig{EnableStringConcat: true}}
	for _, test := range []struct {
		config    *celv3.Cel
		name, arg string
		text      string
		json      any
	}{
		{&celv3.Cel{}, "CEL", "response.code", "404", nil},
		{&celv3.Cel{}, "TYPED_CEL", "response.code", "404", 404.0},
		{&celv3.Cel{}, "TYPED_CEL", "request.nothing", "-", nil},
		{&celv3.Cel{}, "CEL", "xds.node.id + '!'", "-", nil},
		{concat, "TYPED_CEL", "xds.node.id + '!'", "me!", "me!"},
	} {
		var errs conf.Errors
		commands := Factory{}.BuildFormatter(test.config, extension.Context{Server: server{}}, conf.Path{}, &errs)
		op, err := commands[test.name](test.arg)
		if err != nil || len(errs) > 0 {
			t.Fatal(err, errs)
		}
		text, ok := op.Text(nil, e)
		if !ok {
			text = []byte("-")
		}
		if string(text) != test.text {
			t.Errorf("%s(%s): %s, want %s", test.name, test.arg, text, test.text)
		}
		if (op.Value == nil) != (test.name == "CEL") {
			t.Errorf("%s has a typed value: %v", test.name, op.Value != nil)
		} else if op.Value != nil && op.Value(e).AsInterface() != test.json {
			t.Errorf("%s(%s): %v, want %v", test.name, test.arg, op.Value(e), test.json)
		}
		if _, err := commands[test.name]("1 +"); err == nil {
			t.Errorf("%s compiles what is no expression", test.name)
		}
	}
}

// TestFields wants every field of the configuration.
func TestFields(t *testing.T) {
	_, missing, err := Factory{}.Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor())
	if err != nil || len(missing) > 0 {
		t.Errorf("missing %v, %v", missing, err)
	}
}
