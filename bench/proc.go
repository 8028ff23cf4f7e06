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

// cpuSample holds CPU times at one moment: the proxy's, those of the load
// process and the upstream together, and those of all processes.
type cpuSample struct{ proxy, load, all time.Duration }

func (s loadSpec) sampleCPU() (now cpuSample, err error) {
	if s.ProxyPID != 0 {
		if now.proxy, err = processCPU(s.ProxyPID); err != nil {
			return now, err
		}
	}
	for _, pid := range []int{os.Getpid(), s.UpstreamPID} {
		if pid == 0 {
			continue
		}
		d, err := processCPU(pid)
		if err != nil {
			return now, err
		}
		now.load += d
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return now, err
	}
	now.all, err = parseStat(string(text))
	return now, err
}

// processCPU returns the CPU time that the threads of the process have used, to
// the nanosecond.
func processCPU(pid int) (time.Duration, error) {
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
	return sum, nil
}

// processRSS returns the resident memory of the process in bytes.
func processRSS(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parseStatusRSS(string(text))
}

// parseStat returns the CPU time that processes, and other guests of a virtual
// machine's host, have used according to /proc/stat.
func parseStat(text string) (time.Duration, error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("stat begins with %q", line)
	}
	var sum time.Duration
	for _, i := range []int{1, 2, 3, 8} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
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
