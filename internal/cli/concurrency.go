package cli

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// defaultConcurrency is the number of workers when none is given: the CPUs that
// may be used, or the whole CPUs of the cgroup's limit if these are fewer, at least 1.
func defaultConcurrency(around surroundings) uint32 {
	n := around.cpus
	if !strings.EqualFold(around.getenv("ENVOY_CGROUP_CPU_DETECTION"), "false") {
		if limit, ok := cgroupCPUs(around.root); ok {
			n = min(n, limit)
		}
	}
	return uint32(max(1, n))
}

// cgroupCPUs returns the CPU limit of this process's own cgroup, rounded down
// as Envoy does. Where both versions of cgroups are mounted, version 1 counts.
// What is missing or malformed is no limit.
func cgroupCPUs(root fs.FS) (int, bool) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	v2 := ""
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path, where version 2 is 0::path
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if parts[0] == "0" && parts[1] == "" {
			v2 = parts[2]
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			if controller == "cpu" {
				return cgroupV1CPUs(root, parts[1], parts[2])
			}
		}
	}
	if v2 == "" {
		return 0, false
	}
	quota, period, _ := strings.Cut(readCgroup(root, "", v2, "cpu.max"), " ")
	return wholeCPUs(quota, period)
}

func cgroupV1CPUs(root fs.FS, controllers, group string) (int, bool) {
	for _, mount := range []string{controllers, "cpu"} {
		if quota := readCgroup(root, mount, group, "cpu.cfs_quota_us"); quota != "" {
			return wholeCPUs(quota, readCgroup(root, mount, group, "cpu.cfs_period_us"))
		}
	}
	return 0, false
}

// readCgroup reads a file of a cgroup. In a container the path of the group is
// often the host's, and the group's files are at the mount itself.
func readCgroup(root fs.FS, mount, group, file string) string {
	base := path.Join("sys/fs/cgroup", mount)
	for _, dir := range []string{path.Join(base, path.Clean("/"+group)), base} {
		if content, err := fs.ReadFile(root, path.Join(dir, file)); err == nil {
			return strings.TrimSpace(string(content))
		}
	}
	return ""
}

// wholeCPUs is quota/period rounded down, at least 1. An unlimited quota is "max" or "-1".
func wholeCPUs(quota, period string) (int, bool) {
	q, err := strconv.ParseUint(quota, 10, 63)
	if err != nil {
		return 0, false
	}
	p, err := strconv.ParseUint(period, 10, 63)
	if err != nil || q == 0 || p == 0 {
		return 0, false
	}
	return int(max(1, min(q/p, 1<<20))), true
}
