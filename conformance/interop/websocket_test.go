package interop

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// webSocketCases is how many cases of Autobahn there are for the protocol itself; the
// others are about limits, speed and compression.
const webSocketCases = 246

// A webSocketResult is what came of a case.
type webSocketResult struct {
	Behavior        string `json:"behavior"`
	BehaviorClose   string `json:"behaviorClose"`
	RemoteCloseCode *int   `json:"remoteCloseCode"`
}

// TestWebSocket runs the cases of Autobahn against a server, and then through proxies:
// nothing may change, not even what the server does wrong.
func TestWebSocket(t *testing.T) {
	needTools(t)
	server := freePort(t)
	_, port, _ := net.SplitHostPort(server)
	run(t, python(t), "testdata/echo.py", port)
	awaitServer(t, server)
	all := []string{"1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*"}
	direct := webSockets(t, server, all...)
	if len(direct) != webSocketCases {
		t.Fatalf("%d cases, not %d", len(direct), webSocketCases)
	}
	for name, address := range map[string]func(t *testing.T) string{
		"http1": func(t *testing.T) string { return serve(t, hop{upstream: server}) },
		"extended_connect": func(t *testing.T) string {
			return serve(t, hop{http2: true, upstream: serve(t, hop{upstream: server})})
		},
		"extended_connect_tls": func(t *testing.T) string {
			return serve(t, hop{http2: true, connect: withTLS, upstream: serve(t, hop{listen: withTLS, upstream: server})})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := address(t)
			got := webSockets(t, proxy, all...)
			for id, want := range direct {
				if g := got[id]; show(g) != show(want) && !settles(t, proxy, server, id) {
					t.Errorf("case %s: %s, and direct %s", id, show(g), show(want))
				}
			}
		})
	}
}

// settles reports whether the case, alone, gives the same both ways: where an echo and an
// error are due at the same time, either may be told first, with a proxy or without.
func settles(t *testing.T, proxy, server, id string) bool {
	t.Helper()
	for range 5 {
		got, ran := webSockets(t, proxy, id)[id]
		if want := webSockets(t, server, id)[id]; ran && show(got) == show(want) {
			return true
		}
	}
	return false
}

func show(r webSocketResult) string {
	text, _ := json.Marshal(r)
	return string(text)
}

// webSockets runs cases against an address.
func webSockets(t *testing.T, address string, cases ...string) map[string]webSocketResult {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--mode", "fuzzingclient", "--parallelism", "8", "--outdir", dir}
	for _, c := range cases {
		args = append(args, "--include", c)
	}
	// It fails if a case does: the report tells which.
	out, _ := command(t, tool(t, "python/bin/kosoku"), append(args, address)...)
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var report map[string]map[string]webSocketResult // by server, then by case
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	if len(report) != 1 {
		t.Fatalf("a report of %d servers:\n%s", len(report), text)
	}
	for _, cases := range report {
		return cases
	}
	return nil
}
