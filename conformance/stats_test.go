package conformance

import (
	"fmt"
	"maps"
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
		maps.DeleteFunc(now, func(name string, _ int64) bool { return !strings.Contains(name, "case") })
		if !maps.Equal(last, now) {
			last, since = now, time.Now()
		}
		if expected || time.Since(since) > quiet {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stats are the statistics of this case that differ from before, with their values.
func (r *run) stats(before, now map[string]int64) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		value := now[name]
		if value == before[name] || !strings.Contains(name, r.names.id+"_") {
			continue
		}
		if strings.HasSuffix(name, "_cx_rx_bytes_buffered") {
			continue // what Envoy read last, not what it holds: it depends on how reads were cut
		}
		text := fmt.Sprint(value)
		if strings.HasSuffix(name, ".downstream_cx_tx_bytes_total") && value == r.received() {
			text = "all that the client received" // it varies with the digits of durations
		}
		lines = append(lines, r.names.normalize(name)+": "+text)
	}
	return lines
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
