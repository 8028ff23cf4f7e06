package oplog

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

const (
	thisFile = "internal/observe/oplog/files_test.go"
	logFile  = "internal/observe/oplog/oplog.go" // of Backtrace
)

// loggers cuts what /logging lists out of its answer.
func loggers(body string) string {
	_, list, _ := strings.Cut(body, "active loggers:\n")
	return list
}

// TestFineGrainLogging asks in turn, as the admin endpoint would. The errors, and which
// names match a file, were compared with Envoy 1.40.
func TestFineGrainLogging(t *testing.T) {
	l, out := newLog(t, Config{Level: LevelInfo, FineGrain: true, Pattern: CompilePattern("%n|%v")})
	if _, body := l.Logging(nil); body != "active loggers:\n\n" {
		t.Errorf("files before their first event: %q", body)
	}
	l.Logger("admin").Debugf("off, but it makes the file known")
	l.Logger("main").Infof("of any component")
	l.Backtrace([]byte("stack"))
	if want := thisFile + ":main|of any component\n" + logFile + ":backtrace|stack\n"; out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}
	for _, c := range []struct {
		query, problem string
		here, there    Level // of this file and of Backtrace's
	}{
		{"", "", LevelInfo, LevelInfo},
		{"paths=files_test:debug", "", LevelDebug, LevelInfo},
		{"paths=files_test.go:debug", "", LevelInfo, LevelInfo}, // without a slash, a name has no extension
		{"paths=" + thisFile + ":trace", "", LevelTrace, LevelInfo},
		{"paths=internal/observe/oplog/files_test:debug", "", LevelInfo, LevelInfo}, // with one, it has
		{"files_test=error", "", LevelError, LevelInfo},
		{"paths=internal/*:off", "", LevelOff, LevelOff},
		{"paths=*:warning,files*:debug", "", LevelWarning, LevelWarning}, // the first counts
		{"paths=,files*:debug,*:warning", "", LevelDebug, LevelWarning},
		{"paths=", "", LevelDebug, LevelWarning},
		{"paths=nosuch:trace", "", LevelInfo, LevelInfo},
		{"group=admin:trace", "", LevelTrace, LevelInfo},
		{"group=nosuch:trace", "", LevelInfo, LevelInfo},
		{"level=error", "", LevelError, LevelError},
		{"paths=f???s_test:debug", "", LevelDebug, LevelError},
		{"group=admin", "empty logger name or empty logger level in group", LevelDebug, LevelError},
		{"group=:info", "empty logger name or empty logger level in group", LevelDebug, LevelError},
		{"group=admin:debug,http:info", "unknown logger level", LevelDebug, LevelError},
		{"paths=*:info,nosuch:foo", "unknown logger level", LevelDebug, LevelError},
		{"paths=*:info,a", "empty logger name or empty logger level", LevelDebug, LevelError},
		{"level=foo", "unknown logger level", LevelDebug, LevelError},
		{"a=info&b=info", "invalid number of parameters", LevelDebug, LevelError},
		{"paths=,,", "", LevelError, LevelError},
	} {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		status, body := l.Logging(query)
		wantStatus, wantStart := http.StatusOK, "active loggers:\n"
		if c.problem != "" {
			wantStatus, wantStart = http.StatusBadRequest, "error: "+c.problem+"\n\nusage: "
		}
		if status != wantStatus || !strings.HasPrefix(body, wantStart) {
			t.Errorf("%q: status %d, %q", c.query, status, body)
		}
		want := "  " + thisFile + ": " + c.here.String() + "\n  " + logFile + ": " + c.there.String() + "\n\n"
		if got := loggers(body); got != want {
			t.Errorf("%q: got\n%swant\n%s", c.query, got, want)
		}
		out.Reset()
		l.Logger("http").Debugf("x")
		if logged := out.Len() > 0; logged != (c.here <= LevelDebug) {
			t.Errorf("%q: a debug event was logged: %v", c.query, logged)
		}
	}
}

// TestChangesBeforeTheFirstEvent: the level of a file may be set before it logs.
func TestChangesBeforeTheFirstEvent(t *testing.T) {
	l, _ := newLog(t, Config{Level: LevelInfo, FineGrain: true, Output: io.Discard})
	l.SetLevel(LevelWarning)
	l.Logging(url.Values{"paths": {"files_test:debug"}})
	l.Logger("main").Tracef("x")
	l.Backtrace(nil)
	_, body := l.Logging(nil)
	if want := "  " + thisFile + ": debug\n  " + logFile + ": warning\n\n"; loggers(body) != want {
		t.Errorf("got %q, want %q", body, want)
	}
}

func TestFineGrainExcludesComponentLevels(t *testing.T) {
	if _, err := New(Config{FineGrain: true, ComponentLevels: "upstream:debug"}); err == nil {
		t.Error("levels of components are accepted")
	}
}

func TestFineGrainConcurrentUse(t *testing.T) {
	l, _ := newLog(t, Config{Level: LevelInfo, FineGrain: true, Output: io.Discard})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				l.Logger("main").Infof("x")
				l.SetLevel(LevelWarning)
				l.Logging(url.Values{"paths": {"*:error"}})
			}
		})
	}
	wg.Wait()
}

func TestMatchGlob(t *testing.T) {
	for _, c := range []struct {
		glob, s string
		want    bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"a", "a", true}, {"a", "ab", false},
		{"*", "", true}, {"*", "a/b", true}, {"?", "", false}, {"?", "/", true}, {"??", "a", false},
		{"a*", "a", true}, {"*a", "ba", true}, {"*a", "ab", false}, {"a*c", "abbc", true}, {"a*c", "abcb", false},
		{"*ab*", "aab", true}, {"*ab?", "abab", false}, {"*ab?", "ababx", true}, {"**", "x", true}, {"a**b?", "acdbb", true},
		{strings.Repeat("*a", 40) + "b", strings.Repeat("a", 10_000), false},
	} {
		if got := matchGlob(c.glob, c.s); got != c.want {
			t.Errorf("%q, %q: %v", c.glob, c.s, got)
		}
	}
}
