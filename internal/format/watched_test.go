package format

import (
	"os"
	"path/filepath"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/secret"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A follower says that files changed when the test says so.
type follower struct{ changed func() }

func (*follower) Find(*tlsv3.SdsSecretConfig, conf.Path, *conf.Errors) secret.Source { return nil }

func (f *follower) Follow(_ []string, changed func()) func() {
	f.changed = changed
	return func() {}
}

type errorLog struct {
	extension.Logger
	errors int
}

func (l *errorLog) Errorf(string, ...any) { l.errors++ }

// TestWatchedText: a file of a watched directory is the format, unless it is wrong.
func TestWatchedText(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "format")
	write := func(text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one %REQ(x)%")
	files, log := &follower{}, &errorLog{}
	c := NewCompiler(Options{Context: extension.Context{Secrets: files, Log: log}})
	var errs conf.Errors
	f := c.FromProto(&corev3.SubstitutionFormatString{OmitEmptyValues: true,
		Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
			Specifier: &corev3.DataSource_Filename{Filename: name}, WatchedDirectory: &corev3.WatchedDirectory{Path: dir}}}}, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	e := &format.Entry{Request: new(httpmsg.Headers), Stream: new(streaminfo.Stream)}
	for i, step := range []struct {
		file, want string
		errors     int
	}{{"one %REQ(x)%", "one ", 0}, {"two %REQ(x)%", "two ", 0}, {"%NOPE%", "two ", 1}, {"three", "three", 1}} {
		write(step.file)
		files.changed()
		if got := string(f.Append(nil, e)); got != step.want || log.errors != step.errors {
			t.Errorf("step %d: %q, %d errors", i, got, log.errors)
		}
	}
	if _, ok := f.Literal(); ok {
		t.Error("a text that may change is literal")
	}
}
