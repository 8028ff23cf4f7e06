package preservecase

import (
	"testing"

	preservecasev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/header_formatters/preserve_case/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

func build(t *testing.T, m *preservecasev3.PreserveCaseFormatterConfig) httpmsg.KeyFormatter {
	t.Helper()
	var errs conf.Errors
	f := Factory{}.BuildHeaderFormatter(m, conf.Path{}, &errs)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return f()
}

func TestFormatter(t *testing.T) {
	proper := preservecasev3.PreserveCaseFormatterConfig_PROPER_CASE
	for _, tc := range []struct {
		name, want, properWant string
	}{
		{"x-myheader", "X-MyHeader", "X-MyHeader"},
		{"host", "HOST", "HOST"},
		{"date", "date", "date"},
		{"x-added1a$b", "x-added1a$b", "X-Added1a$B"},
	} {
		for _, proper := range []preservecasev3.PreserveCaseFormatterConfig_FormatterTypeOnEnvoyHeaders{0, proper} {
			f := build(t, &preservecasev3.PreserveCaseFormatterConfig{FormatterTypeOnEnvoyHeaders: proper})
			for _, name := range []string{"HOST", "X-MyHeader", "x-MYheader", "date"} {
				f.ProcessKey(name)
			}
			want := tc.want
			if proper != 0 {
				want = tc.properWant
			}
			if got := string(f.FormatKey([]byte("> "), tc.name)); got != "> "+want {
				t.Errorf("%s, %v: %q, want %q", tc.name, proper, got, want)
			}
		}
	}
}

func TestReasonPhrase(t *testing.T) {
	for forward, want := range map[bool]string{true: "Fine", false: ""} {
		f := build(t, &preservecasev3.PreserveCaseFormatterConfig{ForwardReasonPhrase: forward})
		f.SetReasonPhrase("Fine")
		if got := f.ReasonPhrase(); got != want {
			t.Errorf("forward %v: %q", forward, got)
		}
	}
}

func TestUnknownType(t *testing.T) {
	var errs conf.Errors
	m := &preservecasev3.PreserveCaseFormatterConfig{FormatterTypeOnEnvoyHeaders: 7}
	if f := (Factory{}).BuildHeaderFormatter(m, conf.Path{}, &errs); f != nil || len(errs) != 1 {
		t.Error(errs)
	}
}
