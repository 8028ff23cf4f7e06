package oplog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func newLog(t *testing.T, c Config) (*Log, *bytes.Buffer) {
	t.Helper()
	out := new(bytes.Buffer)
	if c.Output == nil {
		c.Output = out
	}
	if c.Clock == nil {
		c.Clock = func() time.Time { return time.Date(2026, 11, 23, 13, 58, 15, 780_000_000, time.UTC) }
	}
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, out
}

func TestLevels(t *testing.T) {
	l, out := newLog(t, Config{Level: LevelWarning, ComponentLevels: "upstream:trace,router:off", Pattern: CompilePattern("%n %l %v")})
	for _, name := range []string{"main", "upstream", "router", "my_extension"} {
		g := l.Logger(name)
		g.Tracef("%d", 1)
		g.Debugf("%d", 2)
		g.Infof("%d", 3)
		g.Warnf("%d", 4)
		g.Errorf("%d", 5)
		g.Criticalf("%d%%", 6)
	}
	want := `main warning 4
main error 5
main critical 6%
upstream trace 1
upstream debug 2
upstream info 3
upstream warning 4
upstream error 5
upstream critical 6%
my_extension warning 4
my_extension error 5
my_extension critical 6%
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out, want)
	}
	if g := l.Logger("router"); g.Enabled(LevelCritical) || g.Enabled(LevelOff) {
		t.Error("a component that is off is enabled")
	}
	l.SetLevel(LevelOff)
	l.SetLevel(LevelInfo)
	if g := l.Logger("another"); g.Level() != LevelInfo || g != l.Logger("another") {
		t.Error("a later component does not have the level in force, or is not one logger")
	}
}

func TestParseLevels(t *testing.T) {
	for name, want := range map[string]Level{"trace": LevelTrace, "warn": LevelWarning, "warning": LevelWarning, "off": LevelOff} {
		if got, err := ParseLevel(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for list, want := range map[string]string{
		"upstream":             "component log level not correctly specified 'upstream'",
		"upstream:debug:x":     "component log level not correctly specified 'upstream:debug:x'",
		"upstream:debug,":      "component log level not correctly specified ''",
		"upstream:loud":        "invalid log level specified 'loud'",
		"nobody:debug":         "invalid component specified 'nobody'",
		" upstream:debug":      "invalid component specified ' upstream'",
		"upstream:DEBUG":       "invalid log level specified 'DEBUG'",
		"config:info,:warning": "invalid component specified ''",
	} {
		if _, err := New(Config{ComponentLevels: list}); err == nil || err.Error() != want {
			t.Errorf("%q: got error %v, want %s", list, err, want)
		}
	}
	if got := Level(9).String(); got != "level(9)" {
		t.Errorf("a level out of range prints as %s", got)
	}
}

// TestLoggingAsEnvoy replays requests to Envoy's /logging in turn, for they change its state.
func TestLoggingAsEnvoy(t *testing.T) {
	recording, err := os.ReadFile("testdata/envoy_logging.txt")
	if err != nil {
		t.Fatal(err)
	}
	l, _ := newLog(t, Config{Level: LevelInfo})
	requests := strings.Split(strings.TrimPrefix(string(recording), "-- "), "\n-- ")
	for i, r := range requests {
		head, want, _ := strings.Cut(r, "\n")
		rawQuery, wantStatus, _ := strings.Cut(head, " -- ")
		query, err := url.ParseQuery(rawQuery)
		if err != nil {
			t.Fatal(err)
		}
		status, body := l.Logging(query)
		if i < len(requests)-1 {
			want += "\n" // taken by Split
		}
		if fmt.Sprint(status) != wantStatus || body != want {
			t.Errorf("%q: got %d, want %s; body:\n%s\nwant:\n%s", rawQuery, status, wantStatus, body, want)
		}
	}
	if len(requests) < 30 {
		t.Errorf("only %d requests read", len(requests))
	}
}

func TestSource(t *testing.T) {
	l, out := newLog(t, Config{Pattern: CompilePattern("%g|%s|%!|%v")})
	g := l.Logger("main")
	g.Infof("plain")
	func() { g.Errorf("nested") }()
	want := "internal/observe/oplog/oplog_test.go|oplog_test.go|TestSource|plain\n" +
		"internal/observe/oplog/oplog_test.go|oplog_test.go|TestSource.func1|nested\n"
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out, want)
	}
}

func TestEscapedAndRaw(t *testing.T) {
	for escaped, want := range map[bool]string{false: "a\nb\n\n", true: "a\\nb\\n\n"} {
		l, out := newLog(t, Config{Escaped: escaped, Pattern: CompilePattern("%v")})
		l.Logger("main").Infof("a\nb\n")
		if out.String() != want {
			t.Errorf("escaped %v: got %q, want %q", escaped, out, want)
		}
	}
}

func TestSetPatternAndElapsed(t *testing.T) {
	now := time.Unix(0, 0)
	l, out := newLog(t, Config{Pattern: CompilePattern("%o"), Clock: func() time.Time { return now }})
	g := l.Logger("main")
	now = now.Add(1500 * time.Millisecond)
	g.Infof("")
	now = now.Add(-time.Hour) // a clock set back
	g.Infof("")
	l.SetPattern(CompilePattern("%l"))
	g.Infof("")
	l.SetPattern(nil)
	g.Infof("x")
	if got := strings.Split(out.String(), "\n"); len(got) != 5 || got[0] != "1500" || got[1] != "0" || got[2] != "info" || !strings.HasSuffix(got[3], "] x") {
		t.Errorf("got %q", got)
	}
}

func TestBacktrace(t *testing.T) {
	for single, want := range map[bool]string{
		false: "<critical backtrace a>\n<critical backtrace \tb>\n",
		true:  "<critical backtrace a\n\tb>\n",
	} {
		l, out := newLog(t, Config{Pattern: CompilePattern("<%l %n %v>"), StacktraceSingleEntry: single})
		l.Backtrace([]byte("a\n\tb\n"))
		if out.String() != want {
			t.Errorf("single %v: got %q, want %q", single, out, want)
		}
	}
}

func TestFileReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, _ := newLog(t, Config{Path: path, Pattern: CompilePattern("%v")})
	g := l.Logger("main")
	g.Infof("one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	g.Infof("two")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	g.Infof("three")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Errorf("reopening after Close: %v", err)
	}
	g.Infof("after close")
	for file, want := range map[string]string{path + ".1": "one\ntwo\n", path: "three\n"} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", filepath.Base(file), got, err)
		}
	}
	if _, err := New(Config{Path: filepath.Join(path, "no", "dir")}); err == nil {
		t.Error("a log file that cannot be opened is no error")
	}
}

func TestReopenKeepsTheOldFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l, _ := newLog(t, Config{Path: filepath.Join(dir, "log"), Pattern: CompilePattern("%v")})
	if err := os.Rename(dir, dir+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reopening in a directory that is gone: %v", err)
	}
	l.Logger("main").Infof("still here")
	if got, _ := os.ReadFile(filepath.Join(dir+".1", "log")); string(got) != "still here\n" {
		t.Errorf("got %q", got)
	}
}

// A countingWriter fails the test when writes overlap (under -race) or a write is not a whole line.
type countingWriter struct {
	t     *testing.T
	lines int
}

func (w *countingWriter) Write(b []byte) (int, error) {
	if bytes.Count(b, []byte("\n")) != 1 || !bytes.HasSuffix(b, []byte(" end\n")) {
		w.t.Errorf("a write of %q", b)
	}
	w.lines++
	return len(b), nil
}

func TestConcurrentUse(t *testing.T) {
	w := &countingWriter{t: t}
	l, _ := newLog(t, Config{Output: w, Level: LevelInfo})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			g := l.Logger(fmt.Sprintf("extension_%d", i%3))
			for j := range 100 {
				g.Criticalf("%d %d end", i, j)
				g.Debugf("%v", i)
				if j == 50 {
					l.SetLevel(LevelWarning)
					l.SetPattern(CompilePattern("%l %v"))
					l.Logging(url.Values{"paths": {"upstream:error"}})
				}
			}
		})
	}
	wg.Wait()
	if w.lines != 800 {
		t.Errorf("%d lines, want 800", w.lines)
	}
}

func TestOffCostsNothing(t *testing.T) {
	l, _ := newLog(t, Config{Level: LevelInfo, Output: io.Discard})
	g := l.Logger("http")
	if n := testing.AllocsPerRun(100, func() {
		if g.Enabled(LevelDebug) {
			t.Error("debug is enabled")
		}
		g.Debugf("constant")
	}); n != 0 {
		t.Errorf("%v allocations for an event that is off", n)
	}
}
