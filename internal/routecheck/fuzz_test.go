package routecheck

import (
	"os"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

// FuzzTests runs what can be read as tests.
func FuzzTests(f *testing.F) {
	for _, name := range []string{"pass.yaml", "fail.yaml", "first.json"} {
		text, err := os.ReadFile(in(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	text, err := os.ReadFile(in("routes.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	sources, _, err := readSources("routes.yaml", text, protoconv.Options{})
	if err != nil {
		f.Fatal(err)
	}
	rules, errs := new(runtime), conf.Errors(nil)
	table := buildTable(&sources[0], rules, new(extension.Registry), &errs)
	if len(errs) > 0 {
		f.Fatal(errs)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		tests, err := readTests("tests", text)
		if err != nil {
			return
		}
		for _, test := range tests {
			test.stream.Start, test.stream.Downstream = start(), client(start())
			test.run(table, rules, newCoverage(sources[0].config))
		}
	})
}
