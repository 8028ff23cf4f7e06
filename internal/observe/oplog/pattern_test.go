package oplog

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestPatternsAsEnvoy replays what Envoy 1.40 printed with --log-format for one
// event, its "Invalid path" error. Each line of the recording has: whether
// --log-format-escaped was given, the path, the format, and the line printed. The
// format was preceded by "%E %F %z %t|", so that the line says when and where it was printed.
func TestPatternsAsEnvoy(t *testing.T) {
	f, err := os.Open("testdata/envoy_patterns.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cases := 0
	for in := bufio.NewScanner(f); in.Scan(); cases++ {
		col := strings.Split(in.Text(), "\t")
		if len(col) != 4 {
			t.Fatalf("bad line %q", in.Text())
		}
		path, pattern, want := unquote(t, col[1]), unquote(t, col[2]), unquote(t, col[3])
		stamp, want, _ := strings.Cut(want, "|")
		e := recordedEvent(t, stamp, path)
		got := CompilePattern(pattern).appendLine(nil, &e)
		if col[0] == "escaped" {
			got = appendCEscaped(nil, got)
		}
		if string(got) != want {
			t.Errorf("%s %q:\n got %q\nwant %q", col[0], pattern, got, want)
		}
	}
	if cases < 60 {
		t.Errorf("only %d cases read", cases)
	}
}

func recordedEvent(t *testing.T, stamp, path string) event {
	t.Helper()
	var sec, nsec int64
	var zone string
	e := event{
		level:     LevelCritical,
		component: "main",
		message:   fmt.Sprintf("error initializing configuration '%s': Invalid path: %[1]s", path),
		source:    source{"source/server/config_validation/server.cc", "ValidationInstance", 76},
	}
	if _, err := fmt.Sscanf(stamp, "%d %d %s %d", &sec, &nsec, &zone, &e.thread); err != nil {
		t.Fatalf("stamp %q: %v", stamp, err)
	}
	in, err := time.Parse("-07:00", zone)
	if err != nil {
		t.Fatal(err)
	}
	e.time = time.Unix(sec, nsec).In(in.Location())
	return e
}

func unquote(t *testing.T, s string) string {
	t.Helper()
	s, err := strconv.Unquote(s)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPatternDetails(t *testing.T) {
	e := event{
		time:      time.Date(2026, 2, 3, 0, 4, 5, 6_007_008, time.FixedZone("", -3*3600-1800)),
		elapsed:   3*time.Second + 4*time.Millisecond + 5*time.Microsecond + 6,
		level:     LevelWarning,
		component: "upstream",
		message:   "hello",
		thread:    42,
	}
	for pattern, want := range map[string]string{
		DefaultFormat:    "[2026-02-03 00:04:05.006][42][warning][upstream] [:] hello",
		"%u %i %o %O":    "3004005006 3004005 3004 3",
		"%c|%I|%z":       "Tue Feb 3 00:04:05 2026|00|-03:30",
		"%f|%F|%C":       "006007|006007008|26",
		"[%s%g%#%!%@]":   "[]",
		"[%3@]":          "[   ]",
		"%P":             strconv.Itoa(os.Getpid()),
		"":               "",
		"%99999999999n":  strings.Repeat(" ", 56) + "upstream",
		"%1!%-3!n|%=2!v": "%-3!n|he", // %1!% is a percent sign, so what follows it is text
	} {
		if got := CompilePattern(pattern).appendLine(nil, &e); string(got) != want {
			t.Errorf("%q: got %q, want %q", pattern, got, want)
		}
	}
}

func TestJSONPattern(t *testing.T) {
	p, err := CompileJSONPattern(`{"level":"%l","msg":"%j","share":"5%%v"}`)
	if err != nil {
		t.Fatal(err)
	}
	e := event{level: LevelError, message: "say \"hi\"\n"}
	if got, want := string(p.appendLine(nil, &e)), `{"level":"error","msg":"say \"hi\"\n","share":"5%v"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, bad := range []string{`{"m":"%v"}`, `{"m":"%_"}`, `{"m":"%-20v"}`} {
		if _, err := CompileJSONPattern(bad); err == nil || !strings.Contains(err.Error(), "unavailable for JSON log formats") {
			t.Errorf("%s: got error %v", bad, err)
		}
	}
}

func FuzzCompilePattern(f *testing.F) {
	f.Add("[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v", "message\n", false)
	f.Add("%-10!v%=9n%8!]%", "\x00\xff", true)
	f.Fuzz(func(t *testing.T, format, message string, escaped bool) {
		e := event{time: time.Unix(1e9, 0).UTC(), level: LevelInfo, component: "main", message: message}
		p := CompilePattern(format)
		first := string(p.appendLine(nil, &e))
		if again := string(p.appendLine([]byte("before"), &e)); again != "before"+first {
			t.Fatalf("%q appended %q, then %q", format, first, again)
		}
		if !strings.Contains(format, "%") && first != format {
			t.Fatalf("plain text %q became %q", format, first)
		}
		if escaped {
			line := appendCEscaped(nil, []byte(first))
			if strings.ContainsAny(string(line), "\n\r\x00") || !utf8.Valid(line) {
				t.Fatalf("escaped line %q has control characters", line)
			}
		}
	})
}
