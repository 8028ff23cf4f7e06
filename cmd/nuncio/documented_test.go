package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

var envoy = flag.String("envoy", "", "program of a real Envoy, which has to take and refuse the same configurations")

// asNuncio is in the environment of a test program that is to be nuncio.
const asNuncio = "NUNCIO_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asNuncio) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// sparing skips most of many tests that start a program each, which takes long with the
// race detector and shows it nothing new.
func sparing(t *testing.T, i int) {
	t.Helper()
	if raceDetector && i%8 != 0 {
		t.Skip("starting a program takes long with the race detector")
	}
}

// validate has a program check a configuration, as a user would.
func validate(t *testing.T, program, dir, file string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(program, "--mode", "validate", "--concurrency", "1", "-c", file)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), asNuncio+"=1")
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// TestDocumentedConfigurationsLoad has all that Envoy's documentation shows of HTTP/1,
// the connection manager, routes and what belongs to them, in bootstraps of our own.
func TestDocumentedConfigurationsLoad(t *testing.T) {
	const dir = "testdata/documented"
	files, err := filepath.Glob(dir + "/*.yaml")
	if err != nil || len(files) < 25 {
		t.Fatal(files, err)
	}
	for i, path := range files {
		file := filepath.Base(path)
		t.Run(file, func(t *testing.T) {
			sparing(t, i)
			t.Parallel()
			status, out, problems := validate(t, os.Args[0], dir, file)
			if want := "configuration '" + file + "' OK\n"; status != 0 || out != want {
				t.Errorf("got status %d\n%s%s", status, out, problems)
			}
			warned := named(deprecated, problems)
			if file == "deprecated.yaml" && len(warned) < 25 {
				t.Errorf("warned of %q only", warned)
			}
			if *envoy == "" {
				return
			}
			status, _, problems = validate(t, *envoy, dir, file)
			if status != 0 {
				t.Errorf("Envoy refuses it:\n%s", problems)
			}
			if want := named(deprecatedInEnvoy, problems); !slices.Equal(warned, want) {
				t.Errorf("warned of\n%q\nEnvoy of\n%q", warned, want)
			}
		})
	}
}

var (
	deprecated        = regexp.MustCompile(`(?:field|value) (\S+) is deprecated`)
	deprecatedInEnvoy = regexp.MustCompile(`deprecated option '(\S+)'`)
)

// named returns the sorted set of what the expression finds.
func named(expression *regexp.Regexp, text string) []string {
	var names []string
	for _, found := range expression.FindAllStringSubmatch(text, -1) {
		names = append(names, found[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}
