//go:build linux && (amd64 || arm64)

package main

import (
	"os"
	"os/exec"
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

// TestTree reads a real process that has a child.
func TestTree(t *testing.T) {
	child := exec.Command("cat") // waits for input that ends with the test
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}()
	whole, err := treeRSS(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	part, err := treeRSS(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if part <= 0 || whole <= part {
		t.Errorf("RSS of the tree %d, of the child %d", whole, part)
	}
	if _, err := treeCPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	if _, err := treeCPU(1 << 30); err == nil {
		t.Error("a process that does not exist has used CPU time")
	}
}
