//go:build !linux || !(amd64 || arm64)

// Command bench measures nuncio next to Envoy, HAProxy and nginx.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: runs on Linux (amd64, arm64) only: it needs epoll, taskset and /proc")
	os.Exit(1)
}
