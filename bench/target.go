//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"io"
	"math"
)

// A target is what nuncio is to reach: its metric, or the ratio of it to
// another figure, may be at most limit.
type target struct {
	name   string // of the case
	metric metric
	limit  float64
	peer   string // whose figure it is divided by; "" means the limit is absolute
	base   string // the case of that figure, if another
}

func targets() []target {
	list := []target{
		{"h1-64", cpuTime, 0.30, "envoy", ""},
		{"h1-64", cpuTime, 1.0, "haproxy", ""},
		{"h1-1000", cpuTime, 0.30, "envoy", ""},
		{"h1-1000", cpuTime, 1.0, "haproxy", ""},
		{"newconn", cpuTime, 0.5, "envoy", ""},
		{"tcp-small", cpuTime, 0.8, "envoy", ""},
		{"tcp-bulk", cpuTime, 1.0, "envoy", ""},
		{"routes-last", cpuTime, 1.05, "nuncio", "routes-first"},
		{"h1-tls", cpuTime, 0.30, "envoy", ""},
		{"h1-tls", cpuTime, 1.0, "haproxy", ""},
		{"handshake-ecdsa", cpuTime, 1.0, "envoy", ""},
		{"handshake-ecdsa-resumed", cpuTime, 1.0, "envoy", ""},
		{"handshake-rsa", cpuTime, 1.0, "envoy", ""},
		{"handshake-rsa-resumed", cpuTime, 1.0, "envoy", ""},
		{"h2-h1", cpuTime, 0.25, "envoy", ""},
		{"h2-h1", cpuTime, 1.1, "haproxy", ""},
		{"h2-h2", cpuTime, 0.25, "envoy", ""},
		{"h2-h2", cpuTime, 1.1, "haproxy", ""},
		{"idle", idleMemory, 4, "", ""},
		{"idle-h2", idleMemory, 8, "", ""},
		{"idle-tls", idleMemory, 20, "", ""},
		{"idle", restMemory, 60, "", ""},
	}
	for _, s := range scenarios() {
		if s.idle || s.storm || s.handshakes() {
			continue
		}
		for _, c := range s.cases {
			list = append(list, target{c.name, p99, 1.0, "envoy", ""})
		}
	}
	return list
}

// value returns nuncio's figure, NaN if it was not measured.
func (t target) value(cases []*caseResult) float64 {
	median := func(name, peer string) float64 {
		for _, c := range cases {
			if c.Name == name {
				return c.median(peer, t.metric)
			}
		}
		return math.NaN()
	}
	v := median(t.name, "nuncio")
	switch {
	case t.peer == "":
		return v
	case t.base == "":
		return v / median(t.name, t.peer)
	}
	return v / median(t.base, t.peer)
}

// String describes the target without its limit.
func (t target) String() string {
	text := fmt.Sprintf("%s: %s", t.name, t.metric)
	if t.peer != "" {
		text += " / " + t.peer + "'s"
	}
	if t.base != "" {
		text += " in " + t.base
	}
	return text
}

// printTargets says of each target whether it is reached.
func (r *report) printTargets(w io.Writer) {
	fmt.Fprintln(w, "\nTargets")
	for _, t := range targets() {
		v := t.value(r.Cases)
		verdict := "reached"
		switch {
		case math.IsNaN(v):
			continue
		case v > t.limit:
			verdict = "NOT REACHED"
		}
		fmt.Fprintf(w, "  %-11s  %s is %.2f (at most %.2f)\n", verdict, t, v, t.limit)
	}
}
