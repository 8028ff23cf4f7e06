//go:build linux && (amd64 || arm64)

package main

import (
	"os"
	"testing"
	"time"
)

func TestParseSchedstat(t *testing.T) {
	for _, test := range []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"28145595 3840545 65\n", 28145595, true},
		{"0 0 0\n", 0, true},
		{"28145595 3840545\n", 0, false},
		{"", 0, false},
		{"x 0 0\n", 0, false},
	} {
		got, err := parseSchedstat(test.in)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%q: %v, %v", test.in, got, err)
		}
	}
}

func TestParseStat(t *testing.T) {
	for _, test := range []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"cpu  100 20 3 9999 9999 50 60 4 0 0\ncpu0 1 2 3 4\n", 1270 * time.Millisecond, true},
		{"cpu  100 20 3 9999\n", 0, false},
		{"cpu  x 20 3 9999 9999 50 60 4 0 0\n", 0, false},
		{"intr 1 2 3 4 5 6 7 8 9\n", 0, false},
	} {
		got, err := parseStat(test.in)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%q: %v, %v", test.in, got, err)
		}
	}
}

func TestParseStatusRSS(t *testing.T) {
	for _, test := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"Name:\tenvoy\nVmHWM:\t   70000 kB\nVmRSS:\t   65123 kB\nThreads:\t9\n", 65123 << 10, true},
		{"Name:\tzombie\nState:\tZ (zombie)\n", 0, false},
		{"VmRSS:\t many kB\n", 0, false},
	} {
		got, err := parseStatusRSS(test.in)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%q: %d, %v", test.in, got, err)
		}
	}
}

// TestProcess reads this process, and one that does not exist.
func TestProcess(t *testing.T) {
	if n, err := processRSS(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("RSS %d, %v", n, err)
	}
	if d, err := processCPU(os.Getpid()); err != nil || d <= 0 {
		t.Errorf("CPU time %v, %v", d, err)
	}
	const nobody = 1 << 30
	if _, err := processRSS(nobody); err == nil {
		t.Error("a process that does not exist has memory")
	}
	if _, err := processCPU(nobody); err == nil {
		t.Error("a process that does not exist has used CPU time")
	}
}
