// Package interop puts nuncio between clients and servers that others wrote: h2spec,
// gRPC in Go, C and JavaScript, the WebSocket cases of Autobahn, curl, sslyze, Pebble. They judge
// it as its users' programs will. README.md lists the tools; test.sh installs them.
package interop

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	toolsFlag  = flag.String("tools", "", "directory of the tools, see README.md; without it only what needs no tool is tested")
	nuncioFlag = flag.String("nuncio", "", "program to test, for example a real Envoy, instead of nuncio built from this checkout")
)

// nuncio is the path of the tested program; TestMain sets it.
var nuncio string

// runTime bounds one run of a tool: the longest takes a quarter of it on an idle machine.
const runTime = 2 * time.Minute

func TestMain(m *testing.M) {
	flag.Parse()
	// Tools wait more than they compute: run more of them than there are processors.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "nuncio-interop-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = makeCertificates(dir)
	}
	if nuncio = *nuncioFlag; err == nil && nuncio == "" {
		nuncio = filepath.Join(dir, "nuncio")
		err = build(nuncio)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func build(program string) error {
	args := append(append([]string{"build", "-buildvcs=false"}, buildFlags...), "-o", program, "github.com/nuncio-proxy/nuncio/cmd/nuncio")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// needTools ends a test that needs tools where none were given. Where they were given, one
// that is missing fails its test.
func needTools(t *testing.T) {
	t.Helper()
	if *toolsFlag == "" {
		t.Skip("needs -tools; test.sh gives it")
	}
}

// tool is the path of an installed program.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(*toolsFlag, name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: test.sh installs it", err)
	}
	return path
}

// python is the interpreter that has the packages of test.sh.
func python(t *testing.T) string { return tool(t, "python/bin/python") }

// command runs a tool and returns what it writes.
func command(t *testing.T, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+tool(t, "node/node_modules"), "NO_PROXY=*", "no_proxy=*")
	// What a killed tool leaves behind must not keep the test waiting for its output.
	cmd.WaitDelay = time.Second
	tie(cmd)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("ended after %v", runTime)
	}
	return strings.TrimSpace(string(out)), err
}
