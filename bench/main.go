//go:build linux && (amd64 || arm64)

// Command bench measures nuncio next to Envoy, HAProxy and nginx: one proxy on
// one core, the load generator and the upstream on another, each proxy in turn
// within every round. README.md in this directory describes the method.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command line's flags.
type options struct {
	scenarios, peers  string
	nuncio, json      string
	proxyCPU, loadCPU string // numbers of CPUs, for taskset
	duration          time.Duration
	rounds            int
}

func parseFlags() (options, error) {
	var o options
	flag.StringVar(&o.scenarios, "scenario", "all", "comma-separated scenarios or groups of them: "+strings.Join(scenarioNames(), ",")+"; "+strings.Join(scenarioGroups(), ","))
	flag.StringVar(&o.peers, "peers", "nuncio,envoy,haproxy,nginx", "comma-separated proxies; \"direct\" is the load generator on the upstream, with no proxy")
	flag.StringVar(&o.nuncio, "nuncio", "", "nuncio binary to measure (default: build ./cmd/nuncio)")
	flag.StringVar(&o.json, "json", "", "file to write every sample to")
	flag.StringVar(&o.proxyCPU, "proxy-cpu", fmt.Sprint(min(1, runtime.NumCPU()-1)), "CPU of the proxy")
	flag.StringVar(&o.loadCPU, "load-cpu", "0", "CPU of the load generator and the upstream")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "length of one measurement")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; the median of them is reported")
	flag.Parse()
	if flag.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if o.rounds < 1 || o.duration <= 0 {
		return o, fmt.Errorf("-rounds and -duration must be positive")
	}
	return o, nil
}

func main() {
	// Children are killed when the thread that started them ends (Pdeathsig).
	runtime.LockOSThread()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case loadCommand:
			return loadMain(os.Args[2])
		case upstreamCommand:
			return upstreamMain(os.Args[2])
		}
	}
	o, err := parseFlags()
	if err != nil {
		return err
	}
	scenarios, err := selectScenarios(o.scenarios)
	if err != nil {
		return err
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "nuncio-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system clears its temporary files too
	if o.nuncio == "" && slices.Contains(strings.Split(o.peers, ","), "nuncio") {
		o.nuncio = filepath.Join(dir, "nuncio")
		build := exec.CommandContext(ctx, "go", "build", "-o", o.nuncio, modulePath+"/cmd/nuncio")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building nuncio: %w\n%s", err, out)
		}
	}
	peers, err := selectPeers(ctx, o.peers, o.nuncio)
	if err != nil {
		return err
	}
	if err := writeCertificates(dir); err != nil {
		return err
	}
	b := &bench{options: o, self: self, dir: dir, peers: peers}
	if err := b.startUpstream(ctx); err != nil {
		return err
	}
	defer b.upstream.stop()
	return b.measure(ctx, scenarios)
}

// measure runs the scenarios and prints each table as it is complete. A
// scenario that fails does not keep the next ones from running.
func (b *bench) measure(ctx context.Context, scenarios []scenario) error {
	rep := report{Machine: describeMachine(b.peers), Rounds: b.rounds, Seconds: b.duration.Seconds()}
	rep.printHead(os.Stdout)
	var failed []string
	for _, s := range scenarios {
		cases, err := b.runScenario(ctx, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: scenario %s failed: %v\n", s.name, err)
			failed = append(failed, s.name)
			continue
		}
		for _, c := range cases {
			c.print(os.Stdout)
		}
		rep.Cases = append(rep.Cases, cases...)
	}
	rep.printTargets(os.Stdout)
	if b.json != "" {
		text, err := json.MarshalIndent(rep, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed to run: %s", strings.Join(failed, ", "))
	}
	return nil
}

// raiseFileLimit raises the limit of open files to its maximum, for this
// process and (which is why it is called at all) for its children.
func raiseFileLimit() error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	l.Cur = l.Max
	if l.Max < 3*idleConns {
		return fmt.Errorf("the limit of open files (ulimit -Hn) is %d, need %d", l.Max, 3*idleConns)
	}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
}
