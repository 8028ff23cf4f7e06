//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"
)

const (
	modulePath  = "github.com/nuncio-proxy/nuncio"
	startWithin = 15 * time.Second
	stopWithin  = 3 * time.Second
)

//go:embed config
var configFiles embed.FS

// A peer is a proxy that is measured. Peer "direct" has no binary: the load
// goes to the upstream, which shows what the load core can do at most.
type peer struct {
	name, binary, version string
}

// selectPeers finds the binaries of the proxies in the comma-separated list.
func selectPeers(ctx context.Context, list, nuncio string) ([]peer, error) {
	var peers []peer
	for name := range strings.SplitSeq(list, ",") {
		p := peer{name: name}
		var err error
		switch name {
		case "direct":
		case "nuncio":
			p.binary, err = filepath.Abs(nuncio)
		case "envoy", "haproxy", "nginx":
			p.binary, err = findBinary(ctx, name)
		default:
			err = fmt.Errorf("no peer %q; there are nuncio, envoy, haproxy, nginx, direct", name)
		}
		if err == nil && p.binary != "" {
			p.version, err = p.askVersion(ctx)
		}
		if err != nil {
			return nil, err
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// cannot returns why the peer is left out of s, "" if it is not.
func (p peer) cannot(s scenario) string {
	if p.name == "nginx" && s.upstream.isH2() && s.upstream != serveGRPC {
		return "it speaks HTTP/2 to gRPC servers only"
	}
	if p.name == "direct" && s.idle {
		return "there is no proxy whose memory to read"
	}
	return ""
}

// findBinary looks where setup.sh installs.
func findBinary(ctx context.Context, name string) (string, error) {
	dir, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", modulePath+"/bench").Output()
	if err != nil {
		return "", fmt.Errorf("finding the bench directory (run it inside the checkout): %w", err)
	}
	for _, place := range []string{filepath.Join(strings.TrimSpace(string(dir)), ".tools/bin", name), name, "/usr/sbin/" + name} {
		if binary, err := exec.LookPath(place); err == nil {
			return binary, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: run bench/setup.sh", name)
}

// program returns the peer's configuration template, the flag that prints its
// version, and its arguments, which the configuration file's name completes.
func (p peer) program() (config, version string, args []string) {
	switch p.name {
	case "haproxy":
		return "haproxy.cfg", "-v", []string{"-db", "-f"}
	case "nginx":
		return "nginx.conf", "-v", []string{"-e", "stderr", "-c"}
	default: // nuncio is run as Envoy is
		return "envoy.yaml", "--version", []string{"--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"}
	}
}

// askVersion returns the first line of what the binary prints as its version.
func (p peer) askVersion(ctx context.Context) (string, error) {
	_, flag, _ := p.program()
	out, err := exec.CommandContext(ctx, p.binary, flag).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", p.name, flag, err, out)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(strings.TrimPrefix(line, p.binary)), nil
}

// A process is a child pinned to a CPU; it dies with this program.
type process struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
}

// start runs a command on a CPU. prepare, if not nil, sees the
// command before.
func start(ctx context.Context, cpu string, prepare func(*exec.Cmd), name string, args ...string) (*process, error) {
	ctx, cancel := context.WithCancel(ctx)
	// taskset replaces itself by the command: the process keeps its number.
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", cpu, name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWithin // then it is killed
	if prepare != nil {
		prepare(cmd)
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	return &process{cmd, cancel}, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process and waits for it. How it ends is of no interest.
func (p *process) stop() {
	p.cancel()
	_ = p.cmd.Wait()
}

// A proxy is a running peer, or the upstream itself (process nil).
type proxy struct {
	*process
	port int
}

func (p *proxy) stop() {
	if p.process != nil {
		p.process.stop()
	}
}

func (p *proxy) cpuPID() int {
	if p.process == nil {
		return 0
	}
	return p.pid()
}

// startProxy runs the peer for s and waits until it listens.
func (b *bench) startProxy(ctx context.Context, p peer, s scenario) (*proxy, error) {
	upstream := b.ports[s.upstream]
	if p.name == "direct" {
		return &proxy{port: b.ports[s.direct()]}, nil
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	file, _, args := p.program()
	config := filepath.Join(b.dir, file)
	if err := b.writeConfig(config, port, upstream, s); err != nil {
		return nil, err
	}
	args = append(args, config)
	output, err := os.Create(filepath.Join(b.dir, p.name+".log"))
	if err != nil {
		return nil, err
	}
	defer output.Close()
	run, err := start(ctx, b.proxyCPU, func(c *exec.Cmd) { c.Stdout, c.Stderr = output, output }, p.binary, args...)
	if err != nil {
		return nil, err
	}
	if err := run.await(ctx, port); err != nil {
		run.stop()
		text, _ := os.ReadFile(output.Name())
		return nil, fmt.Errorf("%s: %w\n%s", p.name, err, text)
	}
	return &proxy{run, port}, nil
}

// writeConfig fills in the template of the same name.
func (b *bench) writeConfig(path string, port, upstream int, s scenario) error {
	t, err := template.ParseFS(configFiles, "config/"+filepath.Base(path))
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.Execute(f, map[string]any{
		"Dir": b.dir, "Port": port, "Upstream": upstream, "TCP": s.tcp, "Routes": s.table,
		"Cert": s.cert, "H2": s.h2, "UpstreamH2": s.upstream.isH2(), "GRPC": s.upstream == serveGRPC,
	})
}

// freePort returns a port that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// await waits until the process accepts connections on the port.
func (p *process) await(ctx context.Context, port int) error {
	deadline := time.Now().Add(startWithin)
	for {
		conn, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			return conn.Close()
		}
		if _, ended := processRSS(p.pid()); ended != nil {
			return errors.New("ended instead of listening")
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("does not listen after %v: %w", startWithin, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
