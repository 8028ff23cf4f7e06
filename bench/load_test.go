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

// TestLoad runs every kind of load on the upstream itself.
func TestLoad(t *testing.T) {
	u, ports, err := newUpstream()
	if err != nil {
		t.Fatal(err)
	}
	go u.serve() // until the test binary ends
	for _, s := range scenarios() {
		for _, c := range s.cases {
			for name, rate := range map[string]float64{"closed": 0, "open": 100} {
				t.Run(c.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					port := ports.HTTP
					if s.echo {
						port = ports.Echo
					}
					r, err := runLoad(loadSpec{
						Port: port, Request: c.request(), Reply: c.replyLength(),
						Conns: 4, NewConn: c.newConn, Rate: rate, Duration: 100 * time.Millisecond,
					})
					if err != nil {
						t.Fatal(err)
					}
					if r.Requests == 0 || r.Errors != 0 || r.Unfinished != 0 || r.P99 < r.P50 || r.P50 <= 0 {
						t.Errorf("%+v", r)
					}
				})
			}
		}
	}
}

// TestLoadCountsFailures loads an echo server as if it spoke HTTP.
func TestLoadCountsFailures(t *testing.T) {
	u, ports, err := newUpstream()
	if err != nil {
		t.Fatal(err)
	}
	go u.serve()
	_, err = runLoad(loadSpec{Port: ports.Echo, Request: loadCase{path: "/"}.request(), Conns: 2, Duration: time.Millisecond})
	if err == nil {
		t.Error("requests that fail are not reported")
	}
}
