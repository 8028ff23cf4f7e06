//go:build !linux

package conformance

import "os/exec"

func tie(*exec.Cmd) {}
