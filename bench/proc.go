//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cpuSample holds CPU times at one moment: the proxy's, and those of the load
// process and the upstream together.
type cpuSample struct{ proxy, load time.Duration }

func (s loadSpec) sampleCPU() (now cpuSample, err error) {
	if s.ProxyPID != 0 {
		if now.proxy, err = treeCPU(s.ProxyPID); err != nil {
			return now, err
		}
	}
	for _, pid := range []int{os.Getpid(), s.UpstreamPID} {
		if pid == 0 {
			continue
		}
		d, err := treeCPU(pid)
		if err != nil {
			return now, err
		}
		now.load += d
	}
	return now, nil
}

// treeCPU returns the CPU time that the threads of the process pid and of its
// descendants (nginx's worker) have used, to the nanosecond.
func treeCPU(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	if len(files) == 0 {
		return 0, fmt.Errorf("process %d has ended, or this kernel has no schedstat", pid)
	}
	var sum time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		d, err := parseSchedstat(string(text))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		sum += d
	}
	err = eachChild(pid, func(child int) error {
		d, err := treeCPU(child)
		sum += d
		return err
	})
	return sum, err
}

// treeRSS returns the resident memory of the process pid and its descendants
// in bytes.
func treeRSS(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	sum, err := parseStatusRSS(string(text))
	if err != nil {
		return 0, err
	}
	err = eachChild(pid, func(child int) error {
		n, err := treeRSS(child)
		sum += n
		return err
	})
	return sum, err
}

func eachChild(pid int, f func(child int) error) error {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if err := f(child); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseSchedstat returns the first field of a schedstat file: nanoseconds on
// the CPU.
func parseSchedstat(text string) (time.Duration, error) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return 0, fmt.Errorf("schedstat %q: want 3 fields", text)
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	return time.Duration(n), err
}

// parseStatusRSS returns VmRSS of a status file in bytes.
func parseStatusRSS(text string) (int64, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("status has no VmRSS")
}
