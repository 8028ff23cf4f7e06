//go:build linux && (amd64 || arm64)

package main

import (
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	closed := schedule{start: 100, end: 200}
	if !closed.take(150) || closed.taken != 150 || closed.take(200) {
		t.Error("a closed loop's requests are due until its end")
	}
	var none schedule
	if none.take(0) {
		t.Error("the zero schedule has a request")
	}
	open := schedule{start: 1000, end: 1000 + int64(time.Second), rate: 4}
	var due []time.Duration
	for open.take(open.end + 1) { // all are late
		due = append(due, time.Duration(open.taken-1000))
	}
	want := []time.Duration{0, time.Second / 4, time.Second / 2, 3 * time.Second / 4}
	if len(due) != len(want) {
		t.Fatalf("due at %v", due)
	}
	for i := range want {
		if due[i] != want[i] {
			t.Errorf("request %d is due at %v, want %v", i, due[i], want[i])
		}
	}
	early := schedule{start: 1000, end: 2000, rate: 4}
	if early.take(999) {
		t.Error("a request is taken before it is due")
	}
}

// startTestUpstream serves until the test binary ends.
func startTestUpstream(t *testing.T) upstreamPorts {
	t.Helper()
	dir := t.TempDir()
	if err := writeCertificates(dir); err != nil {
		t.Fatal(err)
	}
	u, ports, err := newUpstream(dir)
	if err != nil {
		t.Fatal(err)
	}
	go u.serve()
	return ports
}

// TestLoad runs every kind of load on the upstream itself.
func TestLoad(t *testing.T) {
	ports := startTestUpstream(t)
	for _, s := range scenarios() {
		for _, c := range s.cases {
			for name, rate := range map[string]float64{"closed": 0, "open": 100} {
				if c.newConn && s.cert != "" && rate > 0 {
					continue // handshakes are not done at a rate
				}
				t.Run(c.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					spec := c.spec(s)
					spec.Port, spec.Conns, spec.Rate, spec.Duration = ports[s.direct()], 4, rate, 100*time.Millisecond
					run := runLoad
					if spec.TLS && spec.NewConn {
						run = runHandshakes
					}
					r, err := run(spec)
					if err != nil {
						t.Fatal(err)
					}
					if r.Requests == 0 || r.Errors != 0 || r.Unfinished != 0 || r.P99 < r.P50 {
						t.Errorf("%+v", r)
					}
				})
			}
		}
	}
}

// TestLoadCountsFailures loads an echo server as if it spoke HTTP.
func TestLoadCountsFailures(t *testing.T) {
	ports := startTestUpstream(t)
	for name, spec := range map[string]loadSpec{
		"HTTP/1.1": {Request: loadCase{path: "/"}.request()},
		"HTTP/2":   {H2: &h2Spec{Scheme: "http", Path: "/", Body: smallBody}},
		"TLS":      {TLS: true, Request: loadCase{path: "/"}.request()},
	} {
		spec.Port, spec.Conns, spec.Streams, spec.Duration = ports[serveEcho], 2, 2, time.Millisecond
		if spec.H2 == nil {
			spec.Streams = 1
		}
		if _, err := runLoad(spec); err == nil {
			t.Errorf("%s: requests that fail are not reported", name)
		}
	}
	spec := loadSpec{TLS: true, NewConn: true, Port: ports[serveEcho], Conns: 1, Streams: 1, Duration: 50 * time.Millisecond}
	if r, err := runHandshakes(spec); err == nil && (r.Errors == 0 || r.Requests != 0 || r.FirstError == "") {
		t.Errorf("handshakes that fail are not reported: %+v", r)
	}
}

// TestIdle opens idle connections of every kind.
func TestIdle(t *testing.T) {
	ports := startTestUpstream(t)
	for _, s := range memoryScenarios() {
		spec := s.cases[0].spec(s)
		spec.Port, spec.Conns = ports[s.direct()], 10
		links, err := openIdle(&spec)
		if err != nil || len(links) != 10 {
			t.Errorf("%s: %d connections, %v", s.name, len(links), err)
		}
		for i := range links {
			links[i].close()
		}
	}
}
