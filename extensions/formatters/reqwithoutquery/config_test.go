package reqwithoutquery

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

func TestOperator(t *testing.T) {
	var errs conf.Errors
	compile := Factory{}.BuildFormatter(Factory{}.Config(), extension.Context{}, conf.Path{}, &errs)["REQ_WITHOUT_QUERY"]
	h := &httpmsg.Headers{}
	h.Add(":path", "/a?b?c")
	h.Add("x-empty", "?q")
	for _, test := range []struct{ arg, want string }{
		{":PATH", "/a"}, {"x-none?:path", "/a"}, {"X-Empty?:path", ""}, {"x-none", "-"}, {"x-none?x-nothing", "-"}, {"", "-"},
		{"a?b?c", "More than 1 alternative header specified in token: a?b?c"},
		{"a b", "Invalid header configuration. Format string contains invalid characters."},
	} {
		op, err := compile(test.arg)
		if err != nil {
			if err.Error() != test.want {
				t.Errorf("%s: %v, want %s", test.arg, err, test.want)
			}
			continue
		}
		got, ok := op.Text(nil, &format.Entry{Request: h})
		if !ok {
			got = []byte("-")
		}
		if string(got) != test.want {
			t.Errorf("%s: %s, want %s", test.arg, got, test.want)
		}
		if _, ok := op.Text(nil, &format.Entry{}); ok {
			t.Errorf("%s: a value without a request", test.arg)
		}
	}
}
