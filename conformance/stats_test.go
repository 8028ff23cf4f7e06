package conformance

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// settleStats waits until the statistics of all cases are as expected, or do not change
// any more, and adds them to what the cases came to.
func settleStats(x *process, runs []*run, before map[string]int64) error {
	known := !slices.ContainsFunc(runs, func(r *run) bool { return r.want == nil })
	var last map[string]int64
	var since time.Time
	for {
		now, err := x.stats()
		if err != nil {
			return err
		}
		expected := known
		for _, r := range runs {
			if lines := r.stats(before, now); len(lines) > 0 {
				r.got["stats"] = lines
			}
			expected = expected && slices.Equal(r.got["stats"], r.want["stats"])
		}
		// The admin interface counts what this asks.
		maps.DeleteFunc(now, func(name string, _ int64) bool { return !strings.Contains(name, "case") && !shared(name) })
		if !maps.Equal(last, now) {
			last, since = now, time.Now()
		}
		if expected || time.Since(since) > quiet {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// shared tells whether a statistic has no name of a case though it counts what cases do:
// it is compared if a case has a process of its own.
func shared(name string) bool {
	return strings.HasPrefix(name, "http2.") || strings.HasPrefix(name, "tls_inspector.")
}

// stats are the statistics of this case that differ from before, with their values.
func (r *run) stats(before, now map[string]int64) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		value := now[name]
		if value == before[name] || !strings.Contains(name, r.names.id+"_") && !(r.c.Alone && shared(name)) {
			continue
		}
		if strings.HasSuffix(name, "_cx_rx_bytes_buffered") {
			continue // what Envoy read last, not what it holds: it depends on how reads were cut
		}
		if wireBytesTotal.MatchString(name) && r.speaksH2(name) {
			continue // how headers are packed, and how often window is given back, is no contract
		}
		text := fmt.Sprint(value)
		if strings.HasSuffix(name, ".downstream_cx_tx_bytes_total") && value == r.received() {
			text = "all that the client received" // it varies with the digits of durations
		}
		lines = append(lines, r.names.normalize(name)+": "+text)
	}
	return lines
}

var (
	wireBytesTotal = regexp.MustCompile(`_cx_[rt]x_bytes_total$`)
	wireBytesInLog = regexp.MustCompile(`\bupstream_rx=\d+ upstream_tx=\d+`)
)

// speaksH2 tells whether a statistic counts bytes of HTTP/2.
func (r *run) speaksH2(stat string) bool {
	r.board.mu.Lock()
	defer r.board.mu.Unlock()
	if !strings.HasPrefix(stat, "cluster.") {
		return slices.ContainsFunc(r.clients, func(w *wire) bool { return w != nil && w.h2 != nil })
	}
	for name, u := range r.ups {
		if strings.HasPrefix(stat, "cluster."+r.names.id+"_"+name+".") {
			return slices.ContainsFunc(u.wires, func(w *wire) bool { return w.h2 != nil })
		}
	}
	return false
}

// dropWireBytes takes out of the access log how many bytes upstreams of HTTP/2 got.
func (r *run) dropWireBytes(log []byte) []byte {
	for name := range r.ups {
		if r.speaksH2("cluster." + r.names.id + "_" + name + ".") {
			return wireBytesInLog.ReplaceAll(log, []byte("upstream_rx=HTTP/2 upstream_tx=HTTP/2"))
		}
	}
	return log
}

// received counts the bytes that clients received.
func (r *run) received() int64 {
	var n int64
	r.board.mu.Lock()
	defer r.board.mu.Unlock()
	for _, w := range r.clients {
		if w != nil {
			n += int64(len(w.got))
		}
	}
	return n
}
