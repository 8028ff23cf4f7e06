package extension

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/secret"
)

// A follower says that files changed when the test says so.
type follower struct {
	paths   []string
	changed func()
	stopped bool
}

func (f *follower) Find(*tlsv3.SdsSecretConfig, conf.Path, *conf.Errors) secret.Source { return nil }

func (f *follower) Follow(paths []string, changed func()) func() {
	f.paths, f.changed = paths, changed
	return func() { f.stopped = true }
}

type logger struct {
	Logger
	lines []string
}

func (l *logger) Errorf(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func TestWatchedDirectory(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	write := func(text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	files, log := &follower{}, &logger{}
	ctx := Context{Secrets: files, Log: log}
	src := &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: name}, WatchedDirectory: &corev3.WatchedDirectory{Path: dir}}
	var errs conf.Errors
	s := NewDataSource(src, 5, ctx, conf.Path{}, &errs)
	if errs.Err() != nil || s.Text() != "one" || len(files.paths) != 1 || files.paths[0] != dir {
		t.Fatalf("%v, %q, %q", errs, s.Text(), files.paths)
	}
	for _, step := range []struct{ file, want, log string }{
		{"two", "two", ""},
		{"too long", "two", "has 8 bytes; the maximum is 5"},
		{"", "", ""},
		{"three", "three", ""},
	} {
		log.lines = nil
		write(step.file)
		files.changed()
		if got := strings.Join(log.lines, "\n"); s.Text() != step.want || !strings.HasSuffix(got, step.log) || (got == "") != (step.log == "") {
			t.Errorf("%q: %q, log %q", step.file, s.Text(), got)
		}
	}
	s.OnChange(func(text string) error {
		if text == "bad" {
			return errors.New("is bad")
		}
		return nil
	})
	for _, text := range []string{"bad", "three"} {
		log.lines = nil
		write(text)
		if files.changed(); s.Text() != "three" || (len(log.lines) == 1) != (text == "bad") {
			t.Errorf("%s: %q, log %q", text, s.Text(), log.lines)
		}
	}
	log.lines = nil
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if files.changed(); s.Text() != "three" || len(log.lines) != 1 || !strings.Contains(log.lines[0], "no such file") {
		t.Errorf("%q, log %q", s.Text(), log.lines)
	}
	if files.stopped {
		t.Error("not followed any more")
	}
	runtime.KeepAlive(s)
	s = nil
	runtime.GC()
	if files.changed(); !files.stopped {
		t.Error("followed though nobody has it")
	}
}

func TestDataSource(t *testing.T) {
	var nothing *corev3.DataSource
	for _, tc := range []struct {
		src        *corev3.DataSource
		text, errs string
	}{
		{nothing, "", ""},
		{&corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "text"}, WatchedDirectory: &corev3.WatchedDirectory{Path: "/nowhere"}}, "text", ""},
		{&corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: []byte("long text")}}, "", "s.inline_bytes: has 9 bytes; the maximum is 5"},
		{&corev3.DataSource{Specifier: &corev3.DataSource_EnvironmentVariable{EnvironmentVariable: "A"}}, "a", ""},
		{&corev3.DataSource{Specifier: &corev3.DataSource_EnvironmentVariable{EnvironmentVariable: "B"}}, "", "s.environment_variable: Environment variable doesn't exist: B"},
		{&corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: "/nowhere/file"}, WatchedDirectory: &corev3.WatchedDirectory{Path: "/nowhere"}}, "",
			"s.filename: stat /nowhere/file: no such file or directory\ns.watched_directory.path: stat /nowhere: no such file or directory"},
	} {
		var errs conf.Errors
		ctx := Context{LookupEnv: func(name string) (string, bool) { return "a", name == "A" }}
		s := NewDataSource(tc.src, 5, ctx, conf.Path{}.Field("s"), &errs)
		if errs.Error() != tc.errs || tc.errs == "" && s.Text() != tc.text {
			t.Errorf("%v: %v", tc.src, errs)
		}
	}
}
