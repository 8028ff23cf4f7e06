package cel

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

type server struct{ extension.Server }

func (server) Node() *corev3.Node { return nil }

func TestFilter(t *testing.T) {
	e := &format.Entry{Stream: &streaminfo.Stream{ResponseCode: 404}}
	for _, test := range []struct {
		expression, want string
	}{
		{"response.code >= 400", "logged"},
		{"response.code < 400", "dropped"},
		{"response.code", "dropped"},
		{"request.headers['a'] == 'b'", "dropped"},
		{"string(1) == '1'", "logged"},
		{"nothing()", "c.expression: failed to create an expression: No overload found in reference resolve step for nothing"},
		{"(1", "c.expression: Not able to parse filter expression: INVALID_ARGUMENT: ERROR: <input>:1:3: Syntax error: missing ')' at '<EOF>'\n | (1\n | ..^"},
	} {
		var errs conf.Errors
		pass := Factory{}.BuildAccessLogFilter(&celv3.ExpressionFilter{
			Expression: test.expression, CelConfig: &corev3.CelExpressionConfig{EnableStringConversion: true},
		}, extension.Context{Server: server{}}, conf.Path{}.Field("c"), &errs)
		got := errs.Error()
		switch {
		case len(errs) > 0:
		case pass(e):
			got = "logged"
		default:
			got = "dropped"
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.expression, got, test.want)
		}
	}
	_, missing, err := Factory{}.Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor())
	if err != nil || len(missing) > 0 {
		t.Errorf("missing %v, %v", missing, err)
	}
}
