// Package routecheck runs unit tests of route configurations, in the format of
// Envoy's route table check tool.
package routecheck

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

// Options are what the command nuncio routes check is given.
type Options struct {
	ConfigPath string // a bootstrap, a configuration dump or a route configuration
	TestPath   string
	// RouteConfig is the name of the route configuration, if there are several.
	RouteConfig string
	// FailUnder is the coverage in percent that is wanted.
	FailUnder float64
	// CoverAll measures coverage by all that can be checked of a route.
	CoverAll bool
	// DetailedCoverage names the routes that nothing was checked of.
	DetailedCoverage bool
	// Details prints every test, OnlyFailures those that fail and nothing else.
	Details, OnlyFailures   bool
	DisableDeprecationCheck bool
}

// start is the time of all requests, always the same so that tests can rely on it.
func start() time.Time { return time.Unix(0, 0).UTC() }

// Run runs the tests and reports on out and errOut. It returns true if all of them
// passed, and the coverage is as wanted. The error, a conf.Errors where possible, says
// that there is nothing to run.
func Run(o Options, registry *extension.Registry, out, errOut io.Writer) (ok bool, err error) {
	text, err := os.ReadFile(o.ConfigPath)
	if err != nil {
		return false, err
	}
	sources, positions, err := readSources(o.ConfigPath, text, protoconv.Options{
		Runtime: func(_ string, otherwise bool) bool { return otherwise || o.DisableDeprecationCheck }})
	if err != nil {
		return false, err
	}
	chosen, err := choose(sources, o.RouteConfig)
	if err != nil {
		return false, fmt.Errorf("%s: %w", o.ConfigPath, err)
	}
	nameRoutes(chosen)
	rules, errs := new(runtime), conf.Errors(nil)
	table := buildTable(chosen, rules, registry, &errs)
	if positions.Locate(errs); len(errs) > 0 {
		return false, errs
	}
	if text, err = os.ReadFile(o.TestPath); err != nil {
		return false, err
	}
	tests, err := readTests(o.TestPath, text)
	if err != nil {
		return false, err
	}
	seen, ok := newCoverage(chosen.config), true
	for _, t := range tests {
		t.stream.Start, t.stream.Downstream = start(), client(start())
		failures, why := t.run(table, rules, seen)
		ok = ok && len(failures) == 0
		o.report(t.name, failures, why, out, errOut)
	}
	return ok && o.cover(seen, out, errOut), nil // as with Envoy, no coverage after a failure
}

// nameRoutes gives every route a name of its own, by which the coverage knows it.
func nameRoutes(s *source) {
	for i, host := range s.config.GetVirtualHosts() {
		for j, r := range host.GetRoutes() {
			r.Name = fmt.Sprintf("%s-%d.%d", r.GetName(), i, j)
		}
	}
}

// configuredName takes back what nameRoutes did.
func configuredName(name string) string { return name[:max(0, strings.LastIndexByte(name, '-'))] }

// report prints one test: its name, and what failed with the reasons for the route.
func (o *Options) report(name string, failures, why []string, out, errOut io.Writer) {
	if len(failures) == 0 {
		if o.Details && !o.OnlyFailures {
			fmt.Fprintln(out, name)
		}
		return
	}
	fmt.Fprintln(errOut, name)
	for _, line := range failures {
		fmt.Fprintln(errOut, line)
	}
	for _, line := range why {
		fmt.Fprintln(errOut, "  "+line)
	}
}

// cover prints the coverage and reports whether it is enough.
func (o *Options) cover(seen *coverage, out, errOut io.Writer) bool {
	percent := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) + "%" }
	if o.CoverAll || o.DetailedCoverage {
		for _, line := range seen.missing(!o.CoverAll) {
			fmt.Fprintln(out, line)
		}
	}
	have := seen.percent(o.CoverAll)
	fmt.Fprintln(out, "Current route coverage: "+percent(have))
	if have < o.FailUnder {
		fmt.Fprintln(errOut, "Failed to meet coverage requirement: "+percent(o.FailUnder))
		return false
	}
	return true
}
