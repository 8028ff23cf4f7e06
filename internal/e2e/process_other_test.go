//go:build !linux

package e2e

import (
	"os/exec"
	"testing"
)

func tie(*exec.Cmd) {}

func descriptors(int) ([]string, bool) { return nil, false }

func residentMemory(int) int64 { return 0 }

func fullListener(t *testing.T) string {
	t.Skip("this system has no way to fill the queue of a socket")
	return ""
}
