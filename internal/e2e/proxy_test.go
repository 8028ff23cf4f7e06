package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A setup is a bootstrap and how to run the program with it.
type setup struct {
	listeners []listener
	clusters  []cluster
	fields    string // further lines of the bootstrap
	text      string // the whole bootstrap, instead of all above
	upstreams []*upstream
	args      []string   // further arguments
	wrap      []string   // command that runs the program, which comes as its arguments
	files     []*os.File // descriptors 3 and up of the program
}

// A listener is one on a free port of 127.0.0.1 if it has no address.
type listener struct {
	name    string
	address string
	filters []string // of its only filter chain
	fields  string   // further fields
}

// A cluster is a static one of these hosts, unless the fields say otherwise.
type cluster struct {
	name   string
	hosts  []*upstream
	dead   []string // ports of further hosts where nobody listens
	fields string
}

const freeAddress = "{socket_address: {address: 127.0.0.1, port_value: 0}}"

func (l listener) yaml() string {
	if l.address == "" {
		l.address = freeAddress
	}
	text := "{name: " + l.name + ", address: " + l.address
	if l.filters != nil {
		text += ", filter_chains: [{filters: [" + strings.Join(l.filters, ", ") + "]}]"
	}
	return text + more(l.fields) + "}"
}

func (c cluster) yaml() string {
	var hosts []string
	for _, u := range c.hosts {
		hosts = append(hosts, endpoint(u.port()))
	}
	for _, port := range c.dead {
		hosts = append(hosts, endpoint(port))
	}
	text := "{name: " + c.name
	if hosts != nil {
		text += ", load_assignment: {cluster_name: " + c.name + ", endpoints: [{lb_endpoints: [" + strings.Join(hosts, ", ") + "]}]}"
	}
	return text + more(c.fields) + "}"
}

func endpoint(port string) string {
	return "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: " + port + "}}}}"
}

func more(fields string) string {
	if fields == "" {
		return ""
	}
	return ", " + fields
}

func (s *setup) bootstrap() string {
	if s.text != "" {
		return s.text
	}
	text := "admin: {address: " + freeAddress + "}\n" + s.fields + "\nstatic_resources:\n  listeners:\n"
	for _, l := range s.listeners {
		text += "  - " + l.yaml() + "\n"
	}
	text += "  clusters:\n"
	for _, c := range s.clusters {
		text += "  - " + c.yaml() + "\n"
	}
	return text
}

// A proxy is the running program.
type proxy struct {
	t         *testing.T
	cmd       *exec.Cmd
	dir       string
	admin     string // address
	stdout    output
	stderr    output
	listeners map[string][]string // addresses by name
	upstreams []*upstream
	base      []string // descriptors when it was ready
	ended     chan struct{}
	waited    bool // a test has looked at the exit status itself
}

// run starts the program and waits until it is ready. When the test ends, the
// program is checked for everything that may be left behind, and ended.
func run(t *testing.T, s setup) *proxy {
	t.Helper()
	dir := t.TempDir()
	path := writeFile(t, filepath.Join(dir, "bootstrap.yaml"), s.bootstrap())
	p := launch(t, dir, s, "-c", path)
	p.awaitReady()
	return p
}

// launch starts the program with these arguments, and the usual ones.
func launch(t *testing.T, dir string, s setup, args ...string) *proxy {
	t.Helper()
	p := &proxy{t: t, dir: dir, ended: make(chan struct{}), upstreams: s.upstreams}
	for _, c := range s.clusters {
		p.upstreams = append(p.upstreams, c.hosts...)
	}
	args = append(args, "--concurrency", "2", "--disable-hot-restart", "--file-flush-interval-msec", "10",
		"--admin-address-path", filepath.Join(dir, "admin"))
	if *proxyFlag != "" {
		args = append(args, "-l", "warning")
	}
	p.start(append(append(s.wrap, program), append(args, s.args...)...), s.files...)
	t.Cleanup(p.finish)
	return p
}

func (p *proxy) start(command []string, files ...*os.File) {
	p.t.Helper()
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = &p.stdout, &p.stderr, files
	tie(p.cmd)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the status is in ProcessState
		close(p.ended)
	}()
}

// awaitReady returns when the listeners accept, and learns the addresses.
func (p *proxy) awaitReady() {
	p.t.Helper()
	eventually(p.t, "the proxy is ready", func() bool {
		select {
		case <-p.ended:
			p.t.Fatalf("the proxy ended with status %d:\n%s", p.cmd.ProcessState.ExitCode(), p.stderr.String())
		default:
		}
		text, err := os.ReadFile(filepath.Join(p.dir, "admin"))
		if err != nil || len(text) == 0 {
			return false
		}
		p.admin = strings.TrimSpace(string(text))
		status, _, err := p.ask("GET", "/ready")
		return err == nil && status == 200
	})
	p.listeners = p.addresses()
	p.base, _ = descriptors(p.cmd.Process.Pid)
}

// addresses asks admin where the listeners are.
func (p *proxy) addresses() map[string][]string {
	p.t.Helper()
	type address struct {
		Socket struct {
			Address string `json:"address"`
			Port    int    `json:"port_value"`
		} `json:"socket_address"`
		Pipe struct {
			Path string `json:"path"`
		} `json:"pipe"`
	}
	var answer struct {
		Statuses []struct {
			Name  string    `json:"name"`
			Local address   `json:"local_address"`
			More  []address `json:"additional_local_addresses"`
		} `json:"listener_statuses"`
	}
	p.adminJSON("/listeners?format=json", &answer)
	found := map[string][]string{}
	for _, l := range answer.Statuses {
		for _, a := range append([]address{l.Local}, l.More...) {
			text := a.Pipe.Path
			if text == "" {
				text = net.JoinHostPort(a.Socket.Address, strconv.Itoa(a.Socket.Port))
			}
			found[l.Name] = append(found[l.Name], text)
		}
	}
	return found
}

// addr is the first address of a listener.
func (p *proxy) addr(name string) string {
	p.t.Helper()
	if len(p.listeners[name]) == 0 {
		p.t.Fatalf("no listener %q in %v", name, p.listeners)
	}
	return p.listeners[name][0]
}

// ask makes a request to admin.
func (p *proxy) ask(method, path string) (status int, body string, err error) {
	r, err := http.NewRequest(method, "http://"+p.admin+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	r.Close = true
	answer, err := (&http.Client{Timeout: patience}).Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// adminGet returns what admin answers, which has to be a success.
func (p *proxy) adminGet(path string) string { p.t.Helper(); return p.adminDo("GET", path) }

func (p *proxy) adminPost(path string) string { p.t.Helper(); return p.adminDo("POST", path) }

func (p *proxy) adminDo(method, path string) string {
	p.t.Helper()
	status, body, err := p.ask(method, path)
	if err != nil || status != 200 {
		p.t.Fatalf("%s %s: %d %v\n%s", method, path, status, err, clip(body))
	}
	return body
}

func (p *proxy) adminJSON(path string, into any) {
	p.t.Helper()
	if text := p.adminGet(path); json.Unmarshal([]byte(text), into) != nil {
		p.t.Fatalf("GET %s is not the JSON expected:\n%s", path, clip(text))
	}
}

// stats returns all counters and gauges.
func (p *proxy) stats() map[string]int64 {
	p.t.Helper()
	all := map[string]int64{}
	for line := range strings.Lines(p.adminGet("/stats")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			all[name] = n
		}
	}
	return all
}

// wantStats waits until the statistics have these values.
func (p *proxy) wantStats(want map[string]int64) {
	p.t.Helper()
	var wrong string
	deadline := time.Now().Add(patience)
	for {
		wrong = ""
		all := p.stats()
		for name, value := range want {
			if got, known := all[name]; got != value || !known {
				wrong += fmt.Sprintf("\n%s is %d (known: %v), want %d", name, got, known, value)
			}
		}
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatal("statistics:" + wrong)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// logLine waits for a line on standard output, where the access logs of these tests
// go, that begins with prefix, and returns what follows.
func (p *proxy) logLine(prefix string) string {
	p.t.Helper()
	return awaitLine(p.t, prefix, p.stdout.String)
}

func awaitLine(t *testing.T, prefix string, text func() string) string {
	t.Helper()
	var found string
	eventually(t, "a line that begins with "+strconv.Quote(prefix), func() bool {
		for line := range strings.Lines(text()) {
			rest, ok := strings.CutPrefix(line, prefix)
			if ok && strings.HasSuffix(line, "\n") {
				found = strings.TrimSuffix(rest, "\n")
				return true
			}
		}
		return false
	})
	return found
}

// active matches gauges of what is going on. The admin interface counts the request
// that asks.
var active = regexp.MustCompile(`(cx|rq|rq_pending|upgrades|flush)_active$|rq_tx_bytes_buffered$|cx_[rt]x_bytes_buffered$`)

// busy returns the gauges that match and are not zero.
func (p *proxy) busy(pattern *regexp.Regexp) []string {
	p.t.Helper()
	var names []string
	for name, value := range p.stats() {
		if value != 0 && pattern.MatchString(name) && !strings.HasPrefix(name, "http.admin.") && !strings.HasPrefix(name, "listener.admin.") {
			names = append(names, fmt.Sprintf("%s: %d", name, value))
		}
	}
	slices.Sort(names)
	return names
}

// finish checks that nothing is left and ends the program. It runs when all clients
// are closed.
func (p *proxy) finish() {
	if p.t.Failed() {
		p.t.Logf("standard error of the proxy:\n%s\nstandard output:\n%s", clipTail(p.stderr.String(), 20000), clipTail(p.stdout.String(), 1000))
	}
	select {
	case <-p.ended:
		if !p.waited && !p.t.Failed() {
			p.t.Errorf("the proxy ended by itself: %v\n%s", p.cmd.ProcessState, clipTail(p.stderr.String(), 20000))
		}
		return
	default:
	}
	defer p.kill()
	if p.t.Failed() || p.admin == "" {
		return
	}
	for _, u := range p.upstreams {
		u.stop()
	}
	p.wantQuiet()
	p.stopBy(syscall.SIGTERM)
}

// wantQuiet waits until nothing is going on, and fails if something is left.
func (p *proxy) wantQuiet() {
	p.t.Helper()
	var left []string
	deadline := time.Now().Add(patience)
	for {
		if left = append(p.busy(active), p.leaked()...); len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			p.t.Errorf("left behind after everybody has gone:\n%s", strings.Join(left, "\n"))
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n, known := p.stats()["server.nuncio_panics"]; *proxyFlag == "" && (n != 0 || !known) {
		p.t.Errorf("server.nuncio_panics is %d (known: %v)\n%s", n, known, p.stderr.String())
	}
}

// leaked lists the descriptors if there are more than in the beginning.
func (p *proxy) leaked() []string {
	now, known := descriptors(p.cmd.Process.Pid)
	if !known || len(now) <= len(p.base) || *proxyFlag != "" {
		return nil
	}
	return append([]string{fmt.Sprintf("%d descriptors, were %d:", len(now), len(p.base))}, now...)
}

// stopBy ends the program with a signal, which it takes for an orderly end.
func (p *proxy) stopBy(signal os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	if status := p.status(); status != 0 {
		p.t.Errorf("status %d after %v\n%s", status, signal, clipTail(p.stderr.String(), 20000))
	}
}

// status waits for the end of the program and returns its exit status.
func (p *proxy) status() int {
	p.t.Helper()
	p.waited = true
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Errorf("the proxy does not end")
		return -1
	}
}

func (p *proxy) kill() {
	_ = p.cmd.Process.Kill() // fails if it has ended
	<-p.ended
}

// execute runs the program to its end and returns what it wrote.
func execute(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	p := &proxy{t: t, ended: make(chan struct{})}
	p.start(append([]string{program}, args...))
	defer p.kill()
	status = p.status()
	return status, p.stdout.String(), p.stderr.String()
}

// An output collects what the program writes.
type output struct {
	mu   sync.Mutex
	text []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

func clipTail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}
