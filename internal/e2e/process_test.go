package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var versionLine = regexp.MustCompile(`^nuncio  version: [0-9a-f]{40}/1\.40\.0/(Clean|Modified)/RELEASE/BoringSSL$`)

// TestReopenLogs: after SIGUSR1 the access log goes to a new file, as logrotate
// expects.
func TestReopenLogs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	h := hcm{routes: direct}.yaml()
	h = strings.Replace(h, stdoutLog(logFormat), fileLog(path, "%REQ(:PATH)%"), 1)
	p := run(t, setup{listeners: []listener{{name: "front", filters: []string{h}}}, args: []string{"--log-path", filepath.Join(dir, "server.log")}})
	read := func(path string) func() string {
		return func() string {
			text, err := os.ReadFile(path)
			if err != nil {
				return ""
			}
			return string(text)
		}
	}
	get(t, p.addr("front"), "/before")
	awaitLine(t, "/before", read(path))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file is there again", func() bool {
		get(t, p.addr("front"), "/after")
		return read(path)() != ""
	})
	awaitLine(t, "/after", read(path))
	if text := read(path + ".1")(); !strings.HasPrefix(text, "/before\n") {
		t.Errorf("the old file has %q", text)
	}
}

// TestSignals: the program ends in order while requests are on their way.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		u := newUpstream(t, (*upstreamConn).stall)
		p := run(t, setup{listeners: front(hcm{routes: toCluster("up", "")}), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
		c := dial(t, p.addr("front"))
		c.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
		p.wantStats(map[string]int64{"cluster.up.upstream_rq_active": 1})
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil { // is ignored
			t.Fatal(err)
		}
		p.stopBy(signal)
		c.rest()
		u.stop()
	}
}

// TestDescriptorsExhausted: with fewer descriptors than clients accepting pauses and
// goes on; everybody is served in the end.
func TestDescriptorsExhausted(t *testing.T) {
	onlyNuncio(t)
	t.Parallel()
	u := newUpstream(t, say("x"))
	p := run(t, setup{listeners: []listener{{name: "front", filters: []string{hcm{routes: toCluster("up", "")}.yaml()}, fields: "stat_prefix: front"}},
		clusters: []cluster{{name: "up", hosts: []*upstream{u}}}, wrap: []string{"sh", "-c", `ulimit -n 64; exec "$0" "$@"`}})
	const n = 200
	var clients []*client
	for range n {
		c := dial(t, p.addr("front"))
		c.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
		clients = append(clients, c)
	}
	held := dial(t, p.addr("front")) // and one that stays
	var served, refused int
	for _, c := range clients {
		switch m, err := readResponse(c.r, "GET"); {
		case err == nil && m.status() == 200:
			served++
		case err == nil && m.status() == 503: // no descriptor for the upstream connection
			refused++
		default:
			t.Errorf("a client got %q, %v", m.head, err)
		}
		c.Close()
	}
	if served == 0 {
		t.Errorf("%d were served, %d were refused", served, refused)
	}
	eventually(t, "the proxy serves again", func() bool { return get(t, p.addr("front"), "/").status() == 200 })
	if m := held.get("/"); m.status() != 200 {
		t.Errorf("the waiting connection got %q", m.head)
	}

	// All descriptors at once, by clients that do nothing.
	var idle []*client
	for range 100 {
		idle = append(idle, dial(t, p.addr("front")))
	}
	if m := held.get("/"); m.status() != 200 {
		t.Errorf("an open connection got %q while no descriptor is left", m.head)
	}
	for _, c := range idle {
		c.Close()
	}
	eventually(t, "the proxy serves again", func() bool { return get(t, p.addr("front"), "/").status() == 200 })
	all := p.stats()
	counted := false
	for name, value := range all {
		counted = counted || value > 0 && strings.Contains(name, "accept") && strings.HasPrefix(name, "listener.front.")
	}
	if !counted {
		t.Errorf("no counter tells of the pause; listener statistics:\n%s", p.adminGet("/stats?filter=listener.front"))
	}
}

// TestDemo runs the demonstration with its fixed ports, tries the lines that it
// prints, and ends it with Ctrl-C.
func TestDemo(t *testing.T) {
	onlyNuncio(t)
	awaitPorts(t, 9901, 10000, 10001, 10002, 10011, 10012)
	p := &proxy{t: t, ended: make(chan struct{})}
	p.start([]string{program, "demo"})
	t.Cleanup(p.kill)
	eventually(t, "the demonstration says how to try it", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("the demonstration ended\n%s", p.stderr.String())
		default:
		}
		return strings.Contains(p.stdout.String(), "Ctrl-C")
	})
	curl := regexp.MustCompile(`(?m)^ *curl (?:-v )?127\.0\.0\.1:(\d+)(\S*)$`).FindAllStringSubmatch(p.stdout.String(), -1)
	if len(curl) != 3 {
		t.Fatalf("%d lines to try:\n%s", len(curl), p.stdout.String())
	}
	for i, line := range curl {
		m := do(t, "127.0.0.1:"+line[1], "GET "+line[2]+" HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
		want := []string{"service 1", "service 2", "http.ingress_http.downstream_rq_2xx: 2"}[i]
		if m.status() != 200 || !strings.Contains(m.body, want) {
			t.Errorf("%s: %q %q, want %q", line[0], m.head, clip(m.body), want)
		}
	}
	keep := dial(t, "127.0.0.1:10000") // a connection that stays does not hold it up for long
	keep.get("/service/1")
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if status := p.status(); status != 0 {
		t.Errorf("status %d\n%s", status, p.stderr.String())
	}
}

// awaitPorts waits until the ports are free: another run of this test may have them.
func awaitPorts(t *testing.T, ports ...int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		var taken error
		for _, port := range ports {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				taken = err
				continue
			}
			l.Close()
		}
		if taken == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the ports of the demonstration are not free: %v", taken)
		}
	}
}

// TestAdminUnderLoad: admin answers while the workers are busy, and does not hold
// them up when its client does not read.
func TestAdminUnderLoad(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, say("x"))
	p := run(t, setup{listeners: front(hcm{routes: toCluster("up", "")}), clusters: []cluster{{name: "up", hosts: []*upstream{u}}}})
	lazy := dial(t, p.admin)
	for range 200 {
		lazy.send("GET /stats HTTP/1.1\r\nhost: a\r\n\r\n") // and never read
	}
	stop := make(chan struct{})
	defer close(stop)
	for range 4 {
		c := dial(t, p.addr("front"))
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nhost: a\r\n\r\n"); err != nil {
					return
				}
				if _, err := readResponse(c.r, "GET"); err != nil {
					return
				}
			}
		}()
	}
	for range 50 {
		p.adminGet("/ready")
		p.adminGet("/stats?filter=http.http")
	}
}
