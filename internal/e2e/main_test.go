// Package e2e drives the built program from outside, as its users do: with a
// bootstrap file, sockets, signals and the admin interface. What clients and
// upstreams see, byte for byte, is written in the tests; -proxy runs the same tests
// against another program, which is how the expectations were taken from Envoy.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var (
	proxyFlag = flag.String("proxy", "", "program to test, for example a real Envoy, instead of nuncio built from this checkout")
	soakFlag  = flag.Duration("soak", 10*time.Second, "how long TestSoak keeps the load up")
)

// program is the path of the tested program; TestMain sets it.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	if *proxyFlag != "" {
		program = *proxyFlag
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "nuncio-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "nuncio")
	args := append(append([]string{"build", "-buildvcs=false"}, buildFlags...), "-o", program, "github.com/nuncio-proxy/nuncio/cmd/nuncio")
	build := exec.Command("go", args...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "go build:", err)
		return 1
	}
	return m.Run()
}

// onlyNuncio ends a test that checks what Envoy does not have.
func onlyNuncio(t *testing.T) {
	t.Helper()
	if *proxyFlag != "" {
		t.Skip("the program under test is not nuncio")
	}
}
