package cli

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/internal/routecheck"
)

func TestRoutesCheck(t *testing.T) {
	const both = "error: Both --config-path/c and --test-path/t are mandatory"
	for _, c := range []struct {
		words []string
		want  routecheck.Options
		err   string
	}{
		{[]string{"-c", "r.yaml", "-t", "t.yaml"}, routecheck.Options{ConfigPath: "r.yaml", TestPath: "t.yaml"}, ""},
		{[]string{"--config-path=r", "--test-path", "t", "-d", "-f", "7.5", "--covall", "--only-show-failures", "--detailed-coverage",
			"--disable-deprecation-check", "--route-config", "one"},
			routecheck.Options{ConfigPath: "r", TestPath: "t", Details: true, FailUnder: 7.5, CoverAll: true, OnlyFailures: true,
				DetailedCoverage: true, DisableDeprecationCheck: true, RouteConfig: "one"}, ""},
		{nil, routecheck.Options{}, both},
		{[]string{"-c", "r"}, routecheck.Options{}, both},
		{[]string{"-c", "r", "-t", "t", "-f", "x"}, routecheck.Options{},
			"PARSE ERROR: Argument: -f (--fail-under)\n             Couldn't read argument value from string 'x'"},
		{[]string{"-c", "r", "-t", "t", "--concurrency", "1"}, routecheck.Options{},
			"PARSE ERROR: Argument: --concurrency\n             Couldn't find match for argument"},
	} {
		got, err := run(append([]string{"routes", "check"}, c.words...)...)
		switch {
		case c.err != "":
			if got := answer(got, err); got != c.err {
				t.Errorf("%q: got %q, want %q", c.words, got, c.err)
			}
		case err != nil || got.Kind != KindRoutesCheck || got.Routes != c.want:
			t.Errorf("%q: got %+v, %v", c.words, got.Routes, err)
		}
	}
	if got, err := run("routes"); err == nil {
		t.Errorf("routes alone is %+v", got)
	}
}
