//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A metric is one measured figure; its value is its name in the JSON file.
type metric string

const (
	throughput metric = "requests_per_second"
	cpuTime    metric = "cpu_us_per_request"
	loadCore   metric = "load_core_percent"
	p50        metric = "p50_us"
	p99        metric = "p99_us"
	rateCPU    metric = "cpu_us_per_request_at_rate"
	unfinished metric = "unfinished_at_rate"
	failed     metric = "failed_requests"
	otherCPU   metric = "other_cpu_percent"
	restMemory metric = "rss_at_rest_mb"
	idleMemory metric = "kb_per_idle_connection"
	stormP99   metric = "p99_us_in_storm"
	handshakes metric = "handshakes_per_second_in_storm"
)

const (
	// busyPercent is the use of the load core from which on a proxy may be
	// able to do more than the measured throughput.
	busyPercent = 95
	// disturbedPercent of one CPU, used by others, make figures doubtful.
	disturbedPercent = 10
)

// samples are one metric's values, one per round.
type samples []float64

func (s samples) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// spread returns half the distance from the least to the greatest value, in
// percent of the median.
func (s samples) spread() float64 {
	if len(s) == 0 || s.median() == 0 {
		return 0
	}
	return 50 * (slices.Max(s) - slices.Min(s)) / s.median()
}

// A caseResult is one table.
type caseResult struct {
	Name, About string
	Rate        float64 // of the latency measurement, per second
	Order       []string
	Peers       map[string]map[metric]samples
	LeftOut     map[string]string // why, by peer
}

func newCaseResult(name, about string, peers []peer) *caseResult {
	r := &caseResult{Name: name, About: about, Peers: map[string]map[metric]samples{}, LeftOut: map[string]string{}}
	for _, p := range peers {
		r.Order = append(r.Order, p.name)
		r.Peers[p.name] = map[metric]samples{}
	}
	return r
}

func (r *caseResult) add(peer string, m metric, v float64) {
	r.Peers[peer][m] = append(r.Peers[peer][m], v)
}

func (r *caseResult) median(peer string, m metric) float64 { return r.Peers[peer][m].median() }

func (r *caseResult) addThroughput(peer string, l loadResult) {
	r.add(peer, throughput, float64(l.Requests)/l.Elapsed.Seconds())
	if l.ProxyCPU > 0 {
		r.add(peer, cpuTime, micros(l.ProxyCPU)/float64(l.Requests))
	}
	r.add(peer, loadCore, 100*l.LoadCPU.Seconds()/l.Elapsed.Seconds())
	r.addConditions(peer, l)
}

func (r *caseResult) addLatency(peer string, l loadResult) {
	r.add(peer, p50, micros(l.P50))
	r.add(peer, p99, micros(l.P99))
	if l.ProxyCPU > 0 {
		r.add(peer, rateCPU, micros(l.ProxyCPU)/float64(l.Requests))
	}
	r.add(peer, unfinished, float64(l.Unfinished))
	r.addConditions(peer, l)
}

// addStorm adds the latency of established connections, and how many handshakes
// there were meanwhile.
func (r *caseResult) addStorm(peer string, established, storm loadResult) {
	r.add(peer, stormP99, micros(established.P99))
	r.add(peer, handshakes, float64(storm.Requests)/storm.Elapsed.Seconds())
	r.add(peer, unfinished, float64(established.Unfinished))
	r.add(peer, failed, float64(established.Errors+storm.Errors))
}

func (r *caseResult) addConditions(peer string, l loadResult) {
	r.add(peer, failed, float64(l.Errors))
	r.add(peer, otherCPU, 100*l.OtherCPU.Seconds()/l.Elapsed.Seconds())
}

func (r *caseResult) addMemory(peer string, rest, full int64) {
	r.add(peer, restMemory, float64(rest)/(1<<20))
	r.add(peer, idleMemory, float64(full-rest)/idleConns/(1<<10))
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// latencyRate returns half of Envoy's throughput, or half of the slowest
// peer's when Envoy was not measured.
func (r *caseResult) latencyRate() float64 {
	if rate := r.median("envoy", throughput); !math.IsNaN(rate) {
		return rate / 2
	}
	rate := math.Inf(1)
	for _, peer := range r.Order {
		if r.LeftOut[peer] == "" {
			rate = min(rate, r.median(peer, throughput))
		}
	}
	return rate / 2
}

// A column of a table shows a metric, or its ratio to that of another peer.
type column struct {
	title  string
	metric metric
	format string
	base   string // the other peer
}

func (r *caseResult) columns() []column {
	all := []column{
		{"req/s", throughput, "%.0f", ""},
		{"CPU us/req", cpuTime, "%.1f", ""},
		{"of envoy", cpuTime, "%.2f", "envoy"},
		{"of haproxy", cpuTime, "%.2f", "haproxy"},
		{fmt.Sprintf("p50 us at %.0f/s", r.Rate), p50, "%.0f", ""},
		{"p99 us", p99, "%.0f", ""},
		{"of envoy", p99, "%.2f", "envoy"},
		{"of haproxy", p99, "%.2f", "haproxy"},
		{"p99 us in storm", stormP99, "%.0f", ""},
		{"of envoy", stormP99, "%.2f", "envoy"},
		{"of haproxy", stormP99, "%.2f", "haproxy"},
		{"handshakes/s in storm", handshakes, "%.0f", ""},
		{"load core %", loadCore, "%.0f", ""},
		{"RSS at rest MB", restMemory, "%.1f", ""},
		{"of envoy", restMemory, "%.2f", "envoy"},
		{"KB per idle connection", idleMemory, "%.2f", ""},
		{"of envoy", idleMemory, "%.2f", "envoy"},
		{"of haproxy", idleMemory, "%.2f", "haproxy"},
	}
	return slices.DeleteFunc(all, func(c column) bool {
		if c.base != "" {
			return math.IsNaN(r.median(c.base, c.metric))
		}
		return !slices.ContainsFunc(r.Order, func(peer string) bool { return len(r.Peers[peer][c.metric]) > 0 })
	})
}

func (r *caseResult) cell(peer string, c column) string {
	s := r.Peers[peer][c.metric]
	switch {
	case len(s) == 0:
		return ""
	case c.base != "":
		return fmt.Sprintf(c.format, s.median()/r.median(c.base, c.metric))
	case len(s) == 1:
		return fmt.Sprintf(c.format, s.median())
	}
	return fmt.Sprintf(c.format+" ±%.0f%%", s.median(), s.spread())
}

// print writes the table.
func (r *caseResult) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n", r.Name, r.About)
	columns := r.columns()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	var notes []string
	for _, c := range columns {
		fmt.Fprintf(t, "\t%s", c.title)
	}
	fmt.Fprintln(t, "\t")
	for _, peer := range r.Order {
		fmt.Fprint(t, peer)
		for _, c := range columns {
			fmt.Fprintf(t, "\t%s", r.cell(peer, c))
		}
		fmt.Fprintln(t, "\t")
		notes = append(notes, r.notes(peer)...)
	}
	_ = t.Flush() // like all that is printed
	for _, note := range notes {
		fmt.Fprintln(w, "  note:", note)
	}
}

// notes returns what a reader of the peer's row must know.
func (r *caseResult) notes(peer string) (notes []string) {
	if reason := r.LeftOut[peer]; reason != "" {
		return []string{peer + " is left out: " + reason}
	}
	if r.median(peer, loadCore) >= busyPercent {
		notes = append(notes, peer+": the load core was busy: req/s is a lower bound (CPU us/req is not touched)")
	}
	if n := total(r.Peers[peer][unfinished]); n > 0 {
		notes = append(notes, fmt.Sprintf("%s: %.0f requests at the fixed rate were not answered within %v", peer, n, grace))
	}
	if n := total(r.Peers[peer][failed]); n > 0 {
		notes = append(notes, fmt.Sprintf("%s: %.0f requests failed", peer, n))
	}
	others := r.Peers[peer][otherCPU]
	if p := total(others) / float64(len(others)); p >= disturbedPercent {
		notes = append(notes, fmt.Sprintf("%s: other processes used %.0f%% of a CPU meanwhile: the machine is not quiet", peer, p))
	}
	return notes
}

func total(s samples) (sum float64) {
	for _, v := range s {
		sum += v
	}
	return sum
}

// A report is the whole run; as JSON it is the file that -json names.
type report struct {
	Machine []string
	Rounds  int
	Seconds float64 // of each measurement
	Cases   []*caseResult
}

// describeMachine returns lines on the machine and the peers' versions.
func describeMachine(peers []peer) []string {
	lines := []string{fmt.Sprintf("%d CPUs, %s, %s/%s", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)}
	if text, err := os.ReadFile("/proc/version"); err == nil {
		fields := strings.Fields(string(text))
		lines[0] += ", kernel " + fields[min(2, len(fields)-1)]
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := strings.Cut(string(text), "model name\t: "); ok {
			model, _, _ := strings.Cut(after, "\n")
			lines[0] += ", " + model
		}
	}
	for _, p := range peers {
		if p.version != "" {
			lines = append(lines, p.name+": "+p.version)
		}
	}
	return lines
}

func (r *report) printHead(w io.Writer) {
	for _, line := range r.Machine {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintf(w, "median of %d rounds of %gs, ± half the range\n", r.Rounds, r.Seconds)
}
