package protoconv_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/cncf/xds/go/udpa/type/v1"
	_ "github.com/cncf/xds/go/xds/type/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

var update = flag.Bool("update", false, "rewrite the expected parts of the corpus")

// TestCorpus loads each testdata/load/*.txtar as a bootstrap. The comment may
// hold the word "warn" for the lenient policy. Files named want.* are the
// expectation: want.errors and want.warnings line by line, want.json the message;
// every other file is a source, in order.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no corpus", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { corpusCase(t, file) })
	}
}

// A section is one file of the corpus format: a line "-- name --" and what
// follows it.
type section struct{ name, text string }

// sections splits a corpus file into the comment at its head and its sections.
func sections(data string) (comment string, list []section) {
	for line := range strings.Lines(data) {
		name, start := strings.CutPrefix(line, "-- ")
		name, end := strings.CutSuffix(name, " --\n")
		switch {
		case start && end:
			list = append(list, section{name: name})
		case len(list) == 0:
			comment += line
		default:
			list[len(list)-1].text += line
		}
	}
	return comment, list
}

func corpusCase(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	comment, parts := sections(string(data))
	var opts protoconv.Options
	if strings.Contains(comment, "policy: warn") {
		opts.Unknown = protoconv.WarnUnknown
	}
	var sources []protoconv.Source
	want := map[string]string{}
	input := comment
	for _, f := range parts {
		if strings.HasPrefix(f.name, "want.") {
			want[f.name] = f.text
			continue
		}
		input += "-- " + f.name + " --\n" + f.text
		sources = append(sources, protoconv.Source{Name: f.name, Kind: protoconv.KindOf(f.name, []byte(f.text)), Data: []byte(f.text)})
	}
	got := corpusLoad(sources, opts)
	for _, name := range []string{"want.errors", "want.warnings", "want.json"} {
		if got[name] != "" {
			input += "-- " + name + " --\n" + got[name]
		}
		if got[name] != want[name] && !*update {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got[name], want[name])
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(input), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func corpusLoad(sources []protoconv.Source, opts protoconv.Options) map[string]string {
	msg := &bootstrapv3.Bootstrap{}
	res, err := protoconv.Load(msg, opts, sources...)
	got := map[string]string{}
	if err != nil {
		got["want.errors"] = err.Error() + "\n"
	} else {
		got["want.json"] = string(protoconv.MarshalJSON(msg, protoconv.Print{Indent: true})) + "\n"
	}
	for _, w := range res.Warnings {
		got["want.warnings"] += string(w.Kind) + " " + w.Error.Error() + "\n"
	}
	return got
}
