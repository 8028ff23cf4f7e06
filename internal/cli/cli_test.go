package cli

import (
	"bufio"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/nuncio-proxy/nuncio/internal/observe/oplog"
	"github.com/nuncio-proxy/nuncio/internal/server"
)

// around is a quiet machine with four CPUs.
func around(env map[string]string) surroundings {
	return surroundings{getenv: func(k string) string { return env[k] }, root: fstest.MapFS{}, cpus: 4}
}

func run(words ...string) (Command, error) {
	return parse(append([]string{"nuncio"}, words...), around(nil))
}

// onPurpose has the command lines that are not answered as Envoy answers them,
// without the leading "--mode validate --disable-hot-restart -c ok.yaml".
func onPurpose() map[string]string {
	return map[string]string{
		// People type the equals sign; to Envoy it is an unknown flag.
		"--concurrency=3":        "ok",
		"--service-cluster=x y":  "ok",
		"validate":               "ok",
		"demo":                   "ok",
		"--concurrency|3 4":      "PARSE ERROR: Argument: (--concurrency)\n             Couldn't read argument value from string '3 4'",
		"--drain-time-s|-5":      "PARSE ERROR: Argument: (--drain-time-s)\n             Couldn't read argument value from string '-5'", // Envoy: 136 years
		"--stats-tag|:y":         "error: misformatted stats-tag ':y' contains invalid char in ''",
		"--socket-mode|999":      "error: invalid socket-mode '999'", // Envoy takes what it cannot read for 0
		"--socket-mode|1000":     "error: invalid socket-mode '1000'",
		"--drain-strategy|bogus": "error: unknown drain-strategy 'bogus'", // Envoy prints the mode there
		// Envoy's help forbids it, but it takes the first.
		"--stats-tag|a:b|--stats-tag|a:c": "error: stats-tag 'a' is given twice",
		// The server knows the extensions and warns of unknown ones.
		"--disable-extensions|a/b,c/d": "ok",
	}
}

// TestAsEnvoy replays command lines with what Envoy 1.40 said to them. A record is the
// words with the exit status, and what it printed: the error without its usage text, warnings
// without the place of the log line, and nothing of its information.
func TestAsEnvoy(t *testing.T) {
	differ := onPurpose()
	records := readRecords(t, "testdata/envoy_cli.txt")
	for _, r := range records {
		want := r.answer
		name := strings.Join(r.words, "|")
		short := strings.TrimPrefix(strings.Replace(name, "--mode|validate|--disable-hot-restart|-c|ok.yaml", "", 1), "|")
		if ours, ok := differ[strings.TrimSuffix(short, "|")]; ok {
			want = ours
			delete(differ, strings.TrimSuffix(short, "|"))
		}
		if got := answer(run(r.words...)); got != want {
			t.Errorf("%q:\n got %q\nwant %q", r.words, got, want)
		}
	}
	if len(records) < 100 || len(differ) > 0 {
		t.Errorf("%d records read; differences that were not met: %v", len(records), differ)
	}
}

type record struct {
	words  []string
	answer string
}

func readRecords(t *testing.T, file string) []record {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var records []record
	for in := bufio.NewScanner(f); in.Scan(); {
		line := in.Text()
		head, ok := strings.CutPrefix(line, "-- ")
		if !ok {
			_, said, _ := strings.Cut(line, "|")
			r := &records[len(records)-1]
			r.answer = strings.TrimPrefix(strings.TrimPrefix(r.answer, "ok")+"\n"+said, "\n")
			continue
		}
		r := record{answer: "ok"}
		words, status, _ := strings.Cut(head, " -- ")
		if err := json.Unmarshal([]byte(words), &r.words); err != nil || (status != "0" && status != "1") {
			t.Fatalf("bad line %q", line)
		}
		records = append(records, r)
	}
	return records
}

// answer reduces what Parse returned to the form of the recording.
func answer(c Command, err error) string {
	if err != nil {
		said, _, _ := strings.Cut(err.Error(), "\n\nFor all flags")
		return said
	}
	var said []string
	if out := strings.Trim(c.Stdout, "\n"); out != "" {
		first, _, _ := strings.Cut(out, "\n") // our own version follows
		first = regexp.MustCompile(`[0-9a-f]{40}`).ReplaceAllString(first, "<revision>")
		said = append(said, strings.Replace(first, "/Modified/", "/Clean/", 1))
	}
	if out := strings.Trim(c.Stderr, "\n"); out != "" {
		said = append(said, out)
	}
	for _, w := range c.Warnings {
		said = append(said, "warning: "+w)
	}
	if said == nil {
		return "ok"
	}
	return strings.Join(said, "\n")
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		words []string
		set   func(*server.Options)
	}{
		{[]string{}, func(o *server.Options) {}},
		{[]string{"-c", "a b.yaml"}, func(o *server.Options) { o.ConfigPath = "a b.yaml" }},
		{[]string{"--config-path=a=b c"}, func(o *server.Options) { o.ConfigPath = "a=b c" }},
		{[]string{"-c a=b c"}, func(o *server.Options) { o.ConfigPath = "a=b c" }},
		{[]string{"-c ", "x"}, func(o *server.Options) { o.ConfigPath = "x" }},
		{[]string{"--service-zone=", "--service-node", "--x"}, func(o *server.Options) { o.ServiceNode = "--x" }},
		{[]string{"--config-yaml admin:\n  address: {a: b}\n"}, func(o *server.Options) { o.ConfigYAML = "admin:\n  address: {a: b}\n" }},
		{[]string{"--mode", "init_only"}, func(o *server.Options) { o.Mode = server.ModeInitOnly }},
		{[]string{"--allow-unknown-fields"}, func(o *server.Options) { o.AllowUnknownStaticFields = true }},
		{[]string{"--allow-unknown-static-fields"}, func(o *server.Options) { o.AllowUnknownStaticFields = true }},
		{[]string{"--reject-unknown-dynamic-fields"}, func(o *server.Options) { o.RejectUnknownDynamicFields = true }},
		{[]string{"--ignore-unknown-dynamic-fields"}, func(o *server.Options) { o.IgnoreUnknownDynamicFields = true }},
		{[]string{"--skip-deprecated-logs"}, func(o *server.Options) { o.SkipDeprecatedLogs = true }},
		{[]string{"--disable-extensions", "a/b,,c/d"}, func(o *server.Options) { o.DisabledExtensions = []string{"a/b", "c/d"} }},
		{[]string{"--service-cluster c", "--service-node n", "--service-zone z"}, func(o *server.Options) {
			o.ServiceCluster, o.ServiceNode, o.ServiceZone = "c", "n", "z"
		}},
		{[]string{"--local-address-ip-version", "v6"}, func(o *server.Options) { o.LocalAddressIPVersion = server.IPv6 }},
		{[]string{"--stats-tag", "a:b", "--stats-tag=c:d:e"}, func(o *server.Options) {
			o.StatsTags = []server.StatsTag{{Name: "a", Value: "b"}, {Name: "c", Value: "d:e"}}
		}},
		{[]string{"--concurrency", "7"}, func(o *server.Options) { o.Concurrency = 7 }},
		{[]string{"--concurrency", "0"}, func(o *server.Options) { o.Concurrency = 1 }},
		{[]string{"--concurrency", ""}, func(o *server.Options) {}},
		{[]string{"--cpuset-threads"}, func(o *server.Options) { o.CPUSetThreads = true }},
		{[]string{"--admin-address-path", "p"}, func(o *server.Options) { o.AdminAddressPath = "p" }},
		{[]string{"--drain-time-s", "+5", "--drain-strategy", "immediate"}, func(o *server.Options) {
			o.DrainTime, o.DrainStrategy = 5*time.Second, server.DrainImmediate
		}},
		{[]string{"--drain-time-s", "4294967295"}, func(o *server.Options) { o.DrainTime = 4294967295 * time.Second }},
		{[]string{"--enable-core-dump"}, func(o *server.Options) { o.EnableCoreDump = true }},
		{[]string{"--enable-mutex-tracing", "--enable-fine-grain-logging"}, func(o *server.Options) {
			o.EnableMutexTracing, o.EnableFineGrainLogging = true, true
		}},
		{[]string{"-l", "warn", "--component-log-level", "upstream:debug"}, func(o *server.Options) {
			o.LogLevel, o.ComponentLogLevel = oplog.LevelWarning, "upstream:debug"
		}},
		{[]string{"--log-format", ""}, func(o *server.Options) { o.LogFormat, o.LogFormatSet = "", true }},
		{[]string{"--log-format %l=%v", "--log-format-escaped"}, func(o *server.Options) {
			o.LogFormat, o.LogFormatSet, o.LogFormatEscaped = "%l=%v", true, true
		}},
		{[]string{"--log-path", "p", "--log-stacktrace-single-entry"}, func(o *server.Options) {
			o.LogPath, o.LogStacktraceSingleEntry = "p", true
		}},
		{[]string{"--file-flush-interval-msec", "1000", "--file-flush-min-size-kb", "8"}, func(o *server.Options) {
			o.FileFlushInterval, o.FileFlushMinSize = time.Second, 8
		}},
		{[]string{"--disable-hot-restart", "--restart-epoch", "2", "--base-id", "3", "--base-id-path", "p", "--parent-shutdown-time-s", "4"},
			func(o *server.Options) {
				o.DisableHotRestart, o.RestartEpoch, o.BaseID, o.BaseIDPath = true, 2, 3, "p"
				o.ParentShutdownTime = 4 * time.Second
			}},
		{[]string{"--use-dynamic-base-id", "--skip-hot-restart-on-no-parent", "--skip-hot-restart-parent-stats"}, func(o *server.Options) {
			o.UseDynamicBaseID, o.SkipHotRestartOnNoParent, o.SkipHotRestartParentStats = true, true, true
		}},
		{[]string{"--socket-path", "@s", "--socket-mode", "755"}, func(o *server.Options) { o.SocketPath, o.SocketMode = "@s", 0o755 }},
	} {
		want := server.DefaultOptions()
		want.Concurrency = 4
		c.set(&want)
		got, err := run(c.words...)
		if err != nil || got.Kind != KindServe || !reflect.DeepEqual(got.Options, want) {
			t.Errorf("%q: kind %d, error %v\n got %+v\nwant %+v", c.words, got.Kind, err, got.Options, want)
		}
	}
}

func TestSubcommands(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  Command // Kind, JSON, PrintConfig and Options.Mode
		err   string
	}{
		{[]string{"-c", "x"}, Command{Kind: KindServe}, ""},
		{[]string{"-c", "x", "--mode", "validate"}, Command{Kind: KindValidate}, ""},
		{[]string{"validate", "-c", "x"}, Command{Kind: KindValidate}, ""},
		{[]string{"validate", "--json", "-c", "x", "--mode", "validate"}, Command{Kind: KindValidate, JSON: true}, ""},
		{[]string{"validate", "--mode", "serve"}, Command{}, "error: the command validate and another --mode exclude each other"},
		{[]string{"validate", "--restart-epoch", "1"}, Command{Kind: KindValidate}, ""},
		{[]string{"demo"}, Command{Kind: KindDemo}, ""},
		{[]string{"demo", "--print-config", "-l", "off"}, Command{Kind: KindDemo, PrintConfig: true}, ""},
		{[]string{"demo", "-c", "x"}, Command{}, "error: the command demo brings its own configuration and takes no --config-path"},
		{[]string{"demo", "--json"}, Command{}, "PARSE ERROR: Argument: --json\n             Couldn't find match for argument"},
		{[]string{"--json"}, Command{}, "PARSE ERROR: Argument: --json\n             Couldn't find match for argument"},
		{[]string{"-l", "off", "demo"}, Command{}, "PARSE ERROR: Argument: demo\n             Couldn't find match for argument"},
		{[]string{"--restart-epoch", "1"}, Command{}, "error: not implemented: --restart-epoch"},
		{[]string{"--base-id-path", "x", "--restart-epoch", "1"}, Command{}, "error: not implemented: --restart-epoch, --base-id-path"},
		{[]string{"--concurrency", "4000000000"}, Command{}, "error: --concurrency may be at most 8192"},
		{[]string{"--json=true", "x"}, Command{}, "PARSE ERROR: Argument: --json=true\n             Couldn't find match for argument"},
	} {
		got, err := run(c.words...)
		if c.err != "" {
			if got := answer(got, err); got != c.err {
				t.Errorf("%q: got %q, want %q", c.words, got, c.err)
			}
			continue
		}
		if err != nil || got.Kind != c.want.Kind || got.JSON != c.want.JSON || got.PrintConfig != c.want.PrintConfig {
			t.Errorf("%q: got %+v, %v", c.words, got, err)
		}
		if (got.Kind == KindValidate) != (got.Options.Mode == server.ModeValidate) {
			t.Errorf("%q: kind %d with mode %d", c.words, got.Kind, got.Options.Mode)
		}
	}
}

func TestVersion(t *testing.T) {
	got, err := parse([]string{"/opt/bin/envoy", "--version"}, around(map[string]string{"NUNCIO_ENVOY_VERSION": "1.37.2"}))
	if err != nil || got.Kind != KindPrint || got.Stderr != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	form := regexp.MustCompile(`^nuncio  version: [0-9a-f]{40}/1\.37\.2/(Clean|Modified)/RELEASE/BoringSSL\nnuncio \S+ go\S+ \w+/\w+\n$`)
	if !form.MatchString(got.Stdout) {
		t.Errorf("%q", got.Stdout)
	}
	if first := regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(got.Stdout); first != "1.37.2" {
		t.Errorf("the first version is %s", first)
	}
	for _, bad := range []string{"1.37", "1.37.2-dev", "v1.37.2", "1..2", "1.2.", "1.2.3.4"} {
		if _, err := parse([]string{"nuncio"}, around(map[string]string{"NUNCIO_ENVOY_VERSION": bad})); err == nil {
			t.Errorf("%s is taken for a version", bad)
		}
	}
	if _, err := Parse(nil, nil); err != nil {
		t.Errorf("no words at all: %v", err)
	}
}

// TestHelp compares the flags with those of Envoy's help text.
func TestHelp(t *testing.T) {
	envoys, err := os.ReadFile("testdata/envoy_flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	c, err := run("-h")
	if err != nil || c.Kind != KindPrint || c.Stderr != "" {
		t.Fatalf("%+v, %v", c, err)
	}
	entry := regexp.MustCompile(`(?m)^  (-\S*(?:, --\S+)?)(?: <\S+>)?$`)
	ours := map[string]bool{}
	for _, m := range entry.FindAllStringSubmatch(c.Stdout, -1) {
		ours[m[1]] = true
	}
	for _, name := range strings.Fields(strings.ReplaceAll(string(envoys), ", ", ",")) {
		name = strings.ReplaceAll(name, ",", ", ")
		if !ours[name] {
			t.Errorf("the help text has no %s", name)
		}
		delete(ours, name)
	}
	if len(ours) > 0 {
		t.Errorf("flags that Envoy does not have: %v", ours)
	}
	for _, line := range strings.Split(c.Stdout, "\n") {
		if len(line) > 120 {
			t.Errorf("long line %q", line)
		}
	}
}

func TestDefaultConcurrency(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	v2 := func(limit string) fstest.MapFS {
		return fstest.MapFS{"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/cpu.max": file(limit)}
	}
	for name, c := range map[string]struct {
		files     fstest.MapFS
		detection string
		want      uint32
	}{
		"no cgroup":      {fstest.MapFS{}, "", 8},
		"unlimited":      {v2("max 100000\n"), "", 8},
		"half":           {v2("50000 100000\n"), "", 1},
		"nearly two":     {v2("199000 100000\n"), "", 1},
		"two and a half": {v2("250000 100000\n"), "", 2},
		"many":           {v2("9000000 100000\n"), "", 8},
		"malformed":      {v2("lots\n"), "", 8},
		"no period":      {v2("100000\n"), "", 8},
		"zero period":    {v2("100000 0\n"), "", 8},
		"negative":       {v2("-100000 100000\n"), "", 8},
		"off":            {v2("200000 100000\n"), "FALSE", 8},
		"not off":        {v2("200000 100000\n"), "0", 2},
		"parent only":    {fstest.MapFS{"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/cpu.max": file("200000 100000")}, "", 8},
		"host's path":    {fstest.MapFS{"proc/self/cgroup": file("0::/../../pod\n"), "sys/fs/cgroup/cpu.max": file("200000 100000")}, "", 2},
		"version 1 first": {fstest.MapFS{
			"proc/self/cgroup": file("3:cpu,cpuacct:/g\n0::/g\ngarbage\n"),
			"sys/fs/cgroup/cpu,cpuacct/g/cpu.cfs_quota_us":     file("300000\n"),
			"sys/fs/cgroup/cpu,cpuacct/g/cpu.cfs_period_us":    file("100000\n"),
			"sys/fs/cgroup/g/cpu.max":                          file("500000 100000\n"),
			"sys/fs/cgroup/cpu,cpuacct/ignored/cpu.cfs_period": file("1"),
		}, "", 3},
		"version 1 unlimited": {fstest.MapFS{
			"proc/self/cgroup":                          file("2:memory:/g\n3:cpu:/g\n"),
			"sys/fs/cgroup/cpu/g/cpu.cfs_quota_us":      file("-1\n"),
			"sys/fs/cgroup/cpu/g/cpu.cfs_period_us":     file("100000\n"),
			"sys/fs/cgroup/memory/g/memory.limit_bytes": file("1"),
		}, "", 8},
	} {
		s := surroundings{root: c.files, cpus: 8, getenv: func(string) string { return c.detection }}
		if got := defaultConcurrency(s); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("-c\x00x\x00--stats-tag a:b\x00--drain-time-s=5")
	f.Add("validate\x00--json\x00--config-yaml {}\x00--\x00--bogus")
	f.Add("demo\x00-l\x00trace\x00--version")
	f.Fuzz(func(t *testing.T, joined string) {
		words := strings.Split(joined, "\x00")
		c, err := run(words...)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "PARSE ERROR: Argument: ") && !strings.HasPrefix(err.Error(), "error: ") {
				t.Fatalf("%q: error %q", words, err)
			}
			return
		}
		if (c.Kind == KindPrint) != (c.Stdout+c.Stderr != "") || c.Options.Concurrency < 1 || c.Options.Concurrency > maxConcurrency {
			t.Fatalf("%q: %+v", words, c)
		}
		// What follows the end of the flags changes nothing.
		if again, err := run(append(words, "--", "--bogus")...); err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%q: with -- at the end: %+v, %v", words, again, err)
		}
	})
}
