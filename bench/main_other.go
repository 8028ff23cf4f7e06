//go:build !linux || !(amd64 || arm64)

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: runs on Linux (amd64, arm64) only: it needs epoll, taskset and /proc")
	os.Exit(1)
}
