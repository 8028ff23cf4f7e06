package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/adminhook"
	"github.com/nuncio-proxy/nuncio/internal/observe/admin"
)

func ipAddress(s string) address.Address { return address.FromAddrPort(netip.MustParseAddrPort(s)) }

// calls notes what admin asked the server to do.
type calls struct {
	mu   sync.Mutex
	text strings.Builder
}

func (c *calls) add(call string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.WriteString(call + " ")
}

func (c *calls) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// fake is a server for admin to steer.
type fake struct {
	calls   calls
	config  admin.Config
	mu      sync.Mutex
	failing bool
	values  admin.RuntimeValues
}

func newFake() *fake {
	f := &fake{values: admin.RuntimeValues{Layers: []string{"s", "adm"}, Entries: map[string]admin.RuntimeEntry{
		"b": {Final: "1", Layers: []string{"1", ""}}, "a.c": {Final: "x", Layers: []string{"x", ""}}}}}
	f.config = admin.Config{
		Lifecycle:         f,
		JSON:              printJSON,
		Regexp:            compile,
		Clusters:          func() []admin.ClusterStatus { return nil },
		Listeners:         func() []admin.ListenerStatus { return nil },
		Runtime:           func() admin.RuntimeValues { return f.values },
		ModifyRuntime:     f.modify,
		Logging:           func(q url.Values) (int, string) { return 400, "levels: " + q.Get("level") + "\n" },
		ReopenLogs:        func() { f.calls.add("reopen") },
		HotRestartVersion: "disabled",
		Endpoints: []adminhook.Endpoint{{Path: "/reset_counters", Mutates: true, Serve: func(w http.ResponseWriter, _ *http.Request, _ url.Values) {
			io.WriteString(w, "OK\n")
		}}},
	}
	return f
}

func (f *fake) State() adminv3.ServerInfo_State {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing {
		return adminv3.ServerInfo_DRAINING
	}
	return adminv3.ServerInfo_LIVE
}

func (f *fake) Info() *adminv3.ServerInfo {
	return &adminv3.ServerInfo{Version: "v", UptimeAllEpochs: durationpb.New(time.Second), CommandLineOptions: &adminv3.CommandLineOptions{}}
}

func (f *fake) DrainListeners(graceful, skipExit, inboundOnly bool) {
	var how []string
	for name, set := range map[string]bool{"graceful": graceful, "skip": skipExit, "inbound": inboundOnly} {
		if set {
			how = append(how, name)
		}
	}
	f.calls.add("drain(" + strings.Join(how, ",") + ")")
}

func (f *fake) setFailing(failing bool, call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing = failing
	f.calls.add(call)
}

func (f *fake) FailHealthChecks() { f.setFailing(true, "fail") }
func (f *fake) PassHealthChecks() { f.setFailing(false, "pass") }
func (f *fake) Quit()             { f.calls.add("quit") }

func (f *fake) modify(changes map[string]string) error {
	if len(f.values.Layers) == 0 {
		return errors.New("No admin layer specified")
	}
	for key, text := range changes {
		if text == "" {
			continue // nothing was set before
		}
		e, ok := f.values.Entries[key]
		if !ok {
			e.Layers = []string{"", ""}
		}
		e.Final, e.Layers[1] = text, text
		f.values.Entries[key] = e
	}
	return nil
}

// start serves until the test's end and returns the address.
func (f *fake) start(t *testing.T) string {
	t.Helper()
	s, err := admin.New(f.config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(l)
	t.Cleanup(func() { s.Close(time.Minute) })
	return "http://" + l.Addr().String()
}

func printJSON(msg proto.Message) []byte {
	compact, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(msg)
	if err != nil {
		return []byte(err.Error())
	}
	var plain, indented bytes.Buffer
	json.Compact(&plain, compact)
	json.Indent(&indented, plain.Bytes(), "", " ")
	return indented.Bytes()
}

func compile(pattern string) (func(string) bool, error) {
	r, err := regexp.Compile(pattern)
	if err != nil {
		return nil, errors.New("missing ): " + pattern)
	}
	return r.MatchString, nil
}

func TestIndexAndHelp(t *testing.T) {
	f := newFake()
	f.config.Endpoints = []adminhook.Endpoint{{Path: "/a<b", Help: `x & "y"`, Mutates: true, Params: []adminhook.Param{
		{Name: "p<", Options: []string{"1<2"}}, {Name: "flag", Flag: true, Help: "f"}}}}
	url := f.start(t)
	index := ask(t, url, "GET /")
	if index.contentType != "text/html; charset=UTF-8" {
		t.Error(index.contentType)
	}
	for _, want := range []string{`<form action="/a%3cb" method="post">`, `x &amp; &#34;y&#34;`, "<option>1&lt;2</option>", `<form action="/ready" method="get">`} {
		if !strings.Contains(index.body, want) {
			t.Errorf("no %s in\n%s", want, index.body)
		}
	}
	help := ask(t, url, "GET /help").body
	if want := "admin commands are:\n  /: this page\n  /a<b (POST): x & \"y\"\n      p<: ; One of (1<2)\n      flag: f\n  /allocprofiler (POST): "; !strings.HasPrefix(help, want) {
		t.Errorf("got %s", help)
	}
	if got := ask(t, url, "GET /nope"); got.body != "invalid path. "+help {
		t.Error(got)
	}
}

// TestHelpHasEnvoysPaths checks that every endpoint of Envoy is one of ours.
func TestHelpHasEnvoysPaths(t *testing.T) {
	url := newFake().start(t)
	help := ask(t, url, "GET /help").body
	for _, path := range strings.Fields(`/ /allocprofiler /certs /clusters /config_dump /contention /cpuprofiler /drain_listeners
		/healthcheck/fail /healthcheck/ok /heap_dump /heapprofiler /help /hot_restart_version /init_dump /listeners /logging /memory
		/memory/tcmalloc /peak_heap_dump /quitquitquit /ready /reopen_logs /runtime /runtime_modify /server_info`) {
		if !strings.Contains(help, "\n  "+path+": ") && !strings.Contains(help, "\n  "+path+" (POST): ") {
			t.Errorf("no %s", path)
		}
	}
}

func TestDuplicatePath(t *testing.T) {
	f := newFake()
	f.config.Endpoints = []adminhook.Endpoint{{Path: "/ready"}}
	if _, err := admin.New(f.config); err == nil || err.Error() != `two admin endpoints have the path "/ready"` {
		t.Error(err)
	}
}

func TestServerInfo(t *testing.T) {
	got := ask(t, newFake().start(t), "GET /server_info")
	if got.contentType != "application/json" || !strings.HasPrefix(got.body, "{\n \"version\": \"v\",\n \"state\": \"LIVE\",") ||
		!strings.Contains(got.body, "\n  \"concurrency\": 0,") {
		t.Error(got.body)
	}
	if err := protojson.Unmarshal([]byte(got.body), new(adminv3.ServerInfo)); err != nil {
		t.Error(err)
	}
}

func TestOptionalParts(t *testing.T) {
	f := newFake()
	f.values = admin.RuntimeValues{}
	f.config.Unready = func(component string) *adminv3.UnreadyTargetsDumps {
		return &adminv3.UnreadyTargetsDumps{UnreadyTargetsDumps: []*adminv3.UnreadyTargetsDumps_UnreadyTargetsDump{{Name: component}}}
	}
	f.config.Certificates = func() *adminv3.Certificates {
		return &adminv3.Certificates{Certificates: []*adminv3.Certificate{{}}}
	}
	f.config.Contention = func() *adminv3.MutexStats { return &adminv3.MutexStats{NumContentions: 2, LifetimeWaitCycles: 9} }
	f.config.AllowPaths = []func(string) bool{func(p string) bool { return !strings.HasPrefix(p, "/memory") }, func(p string) bool { return p == "/x" }}
	url := f.start(t)
	for request, want := range map[string]string{
		"GET /init_dump?mask=listener":   "{\n \"unready_targets_dumps\": [\n  {\n   \"name\": \"listener\"\n  }\n ]\n}\n",
		"GET /certs":                     "{\n \"certificates\": [\n  {\n   \"ca_cert\": [],\n   \"cert_chain\": []\n  }\n ]\n}\n",
		"GET /contention":                "{\n \"num_contentions\": \"2\",\n \"current_wait_cycles\": \"0\",\n \"lifetime_wait_cycles\": \"9\"\n}\n",
		"GET /memory":                    "request to path /memory not allowed",
		"GET //./memory?":                "request to path /memory? not allowed",
		"GET /runtime":                   "{\n \"layers\": [],\n \"entries\": {}\n}\n",
		"POST /runtime_modify?a=1":       "No admin layer specified",
		"POST /logging?level=info":       "levels: info\n",
		"POST /logging level=off":        "levels: off\n",
		"POST /drain_listeners?graceful": "OK\n",
		"GET /listeners?format=json":     "{}\n",
		"GET /peak_heap_dump":            "The current build does not support peak heap dump",
	} {
		if got := ask(t, url, request); got.body != want {
			t.Errorf("%s: got %q", request, got.body)
		}
	}
	if got := f.calls.String(); got != "drain(graceful) " {
		t.Error(got)
	}
}

func TestProfiles(t *testing.T) {
	f := newFake()
	f.config.ProfilePath = filepath.Join(t.TempDir(), "cpu")
	url := f.start(t)
	for range 2 {
		for _, request := range []string{"POST /cpuprofiler?enable=y", "POST /cpuprofiler?enable=y", "POST /cpuprofiler?enable=n"} {
			if got := ask(t, url, request); got.status != "200 OK" || got.body != "OK\n" {
				t.Errorf("%s: %s %s", request, got.status, got.body)
			}
		}
	}
	gzip := []byte{0x1f, 0x8b}
	if profile, err := os.ReadFile(f.config.ProfilePath); err != nil || !bytes.HasPrefix(profile, gzip) {
		t.Errorf("the profile is %.10q, %v", profile, err)
	}
	if got := ask(t, url, "GET /heap_dump"); !strings.HasPrefix(got.body, string(gzip)) {
		t.Errorf("the heap dump is %.10q", got.body)
	}
	if got := ask(t, url, "GET /memory/tcmalloc"); !strings.Contains(got.body, "\n/memory/classes/total:bytes ") {
		t.Error(got.body)
	}
	f = newFake()
	f.config.ProfilePath = filepath.Join(t.TempDir(), "missing", "cpu")
	if got := ask(t, f.start(t), "POST /cpuprofiler?enable=y"); got.status != "500 Internal Server Error" || got.body != "failure to start the profiler" {
		t.Error(got)
	}
}

func TestLogs(t *testing.T) {
	f := newFake()
	var access, lines calls
	f.config.AccessLog = func(r *http.Request) func(int, int64) {
		access.add(r.Method + " " + r.URL.Path)
		return func(status int, bytes int64) { access.add(http.StatusText(status) + strings.Repeat("+", int(bytes))) }
	}
	f.config.Log = lines.add
	f.config.Endpoints = []adminhook.Endpoint{{Path: "/panic", Serve: func(http.ResponseWriter, *http.Request, url.Values) { panic("oh") }}}
	url := f.start(t)
	ask(t, url, "GET /ready")
	ask(t, url, "GET /quitquitquit")
	if _, err := http.Get(url + "/panic"); err == nil {
		t.Error("a panic was answered")
	}
	if got := ask(t, url, "GET /ready"); got.body != "LIVE\n" {
		t.Error("admin did not survive a panic")
	}
	if got := access.String(); !strings.HasPrefix(got, "GET /ready OK+++++ GET /quitquitquit Method Not Allowed++") {
		t.Error(got)
	}
	if got := lines.String(); !strings.HasPrefix(got, `admin path "/quitquitquit" mutates state, method=GET rather than POST http: panic serving`) {
		t.Error(got)
	}
}

func TestBodyIsLimited(t *testing.T) {
	got := ask(t, newFake().start(t), "POST /runtime_modify a="+strings.Repeat("x", 2<<20))
	if got.status != "413 Request Entity Too Large" {
		t.Error(got.status)
	}
}

// TestClose checks that an answer in progress is finished, and that Close does not
// wait for one that never ends.
func TestClose(t *testing.T) {
	for _, ends := range []bool{true, false} {
		started, finish := make(chan struct{}), make(chan struct{})
		f := newFake()
		f.config.Endpoints = []adminhook.Endpoint{{Path: "/slow", Serve: func(w http.ResponseWriter, r *http.Request, _ url.Values) {
			close(started)
			select {
			case <-finish:
			case <-r.Context().Done():
			}
			io.WriteString(w, "done")
		}}}
		s, err := admin.New(f.config)
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "admin"))
		if err != nil {
			t.Fatal(err)
		}
		s.Serve(l)
		client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", l.Addr().String())
		}}}
		answer := make(chan error)
		go func() {
			resp, err := client.Get("http://admin/slow")
			if err == nil {
				resp.Body.Close()
			}
			answer <- err
		}()
		<-started
		grace := time.Duration(0)
		if ends {
			close(finish)
			grace = time.Minute
		}
		s.Close(grace)
		if err := <-answer; (err == nil) != ends {
			t.Errorf("ends %v: %v", ends, err)
		}
	}
}

func BenchmarkReady(b *testing.B) {
	f := newFake()
	s, err := admin.New(f.config)
	if err != nil {
		b.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodGet, "/ready", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.ServeHTTP(discard{http.Header{}}, r)
	}
}

// discard is a client that reads everything.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
