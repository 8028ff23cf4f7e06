// Package cli reads the command line: Envoy's flags with Envoy's grammar, and
// the sub-commands that are our own. It only says what is to be done; proxymain does it.
package cli

import (
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/nuncio-proxy/nuncio/internal/routecheck"
	"github.com/nuncio-proxy/nuncio/internal/server"
)

// A Kind says what a Command asks for.
type Kind uint8

const (
	// KindServe runs the server; Options.Mode is ModeServe or ModeInitOnly.
	KindServe Kind = iota
	// KindValidate checks the configuration, for --mode validate and the sub-command validate.
	KindValidate
	// KindDemo runs the server with the built-in demonstration.
	KindDemo
	// KindRoutesCheck runs the tests of routes that Routes names.
	KindRoutesCheck
	// KindPrint prints Stdout and Stderr and ends with status 0, for --help and the like.
	KindPrint
)

// A Command is what the command line asks for.
type Command struct {
	Kind    Kind
	Options server.Options
	// Warnings are to be logged by the component config once there is a log.
	Warnings []string

	JSON        bool // KindValidate: report machine-readably
	PrintConfig bool // KindDemo: print the demonstration's bootstrap instead of running it

	Routes routecheck.Options // KindRoutesCheck

	Stdout, Stderr string // KindPrint
}

// Parse reads a command line, args[0] being the program. getenv is asked for
// ENVOY_CGROUP_CPU_DETECTION and NUNCIO_ENVOY_VERSION; nil means the environment
// of the process. It also reads the CPU limit of the process's cgroup, for the
// default of --concurrency.
//
// The text of an error is complete: print it to standard error and end with status 1.
func Parse(args []string, getenv func(string) string) (Command, error) {
	if getenv == nil {
		getenv = os.Getenv
	}
	return parse(args, surroundings{getenv: getenv, root: os.DirFS("/"), cpus: runtime.NumCPU()})
}

// surroundings is what a command's meaning depends on besides its words.
type surroundings struct {
	getenv func(string) string
	root   fs.FS // the file system
	cpus   int   // that this process may run on
}

func parse(args []string, around surroundings) (Command, error) {
	program, words := "nuncio", args
	if len(args) > 0 {
		program, words = args[0], args[1:]
	}
	p := &parser{program: program, subcommand: subcommand(words)}
	words = words[len(strings.Fields(p.subcommand)):]
	o := server.DefaultOptions()
	o.Concurrency = defaultConcurrency(around)
	if claimed := around.getenv("NUNCIO_ENVOY_VERSION"); claimed != "" {
		if !isVersion(claimed) {
			return Command{}, optionError("NUNCIO_ENVOY_VERSION is not a version: '%s'", claimed)
		}
		o.EnvoyVersion = claimed
	}
	p.command.Options = o
	p.flags = p.table()
	if err := p.words(words); err != nil {
		return Command{}, err
	}
	if p.command.Kind == KindPrint {
		return p.command, nil
	}
	if err := p.finish(); err != nil {
		return Command{}, err
	}
	return p.command, nil
}

// subcommand returns the sub-command that the words begin with, or "". Envoy has
// no positional arguments, so none of its command lines means something else here.
func subcommand(words []string) string {
	switch {
	case len(words) > 0 && (words[0] == "demo" || words[0] == "validate"):
		return words[0]
	case len(words) > 1 && words[0] == "routes" && words[1] == "check":
		return routesCheck
	}
	return ""
}

// isVersion reports whether s has the form 1.40.0.
func isVersion(s string) bool {
	dots, digits := 0, 0
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && digits > 0:
			dots, digits = dots+1, 0
		default:
			return false
		}
	}
	return dots == 2 && digits > 0
}
