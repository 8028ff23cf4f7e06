package cli

import "strconv"

// routesCheck is the sub-command that runs unit tests of routes. It has the flags of
// Envoy's route table check tool.
const routesCheck = "routes check"

func (p *parser) routesFlags() []*flag {
	o := &p.command.Routes
	const group = "Tests of routes"
	return []*flag{
		{long: "--config-path", short: "-c", value: "path", group: group, set: text(&o.ConfigPath),
			help: "Bootstrap, answer of admin's /config_dump, or route configuration: a .yaml, .json or .pb_text file."},
		{long: "--test-path", short: "-t", value: "path", group: group, set: text(&o.TestPath),
			help: "The tests: a .yaml, .json or .pb_text file."},
		{long: "--route-config", value: "name", group: group, set: text(&o.RouteConfig),
			help: "Name of the route configuration, where there are several."},
		{long: "--details", short: "-d", group: group, set: on(&o.Details), help: "Print the names of tests that pass, too."},
		{long: "--only-show-failures", group: group, set: on(&o.OnlyFailures), help: "Print nothing of tests that pass."},
		{long: "--fail-under", short: "-f", value: "percent", group: group, set: p.percent(&o.FailUnder),
			help: "Fail if the tests cover less of the routes than this."},
		{long: "--covall", group: group, set: on(&o.CoverAll),
			help: "Measure the coverage by all that can be checked of a route, and print the routes without tests."},
		{long: "--detailed-coverage", group: group, set: on(&o.DetailedCoverage), help: "Print the names of routes without tests."},
		{long: "--disable-deprecation-check", group: group, set: on(&o.DisableDeprecationCheck),
			help: "Accept deprecated fields that need a runtime key otherwise."},
	}
}

func (p *parser) percent(to *float64) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return p.usageError("-f (--fail-under)", "Couldn't read argument value from string '"+v+"'")
		}
		*to = n
		return nil
	}
}

func (p *parser) finishRoutes() error {
	if o := &p.command.Routes; o.ConfigPath == "" || o.TestPath == "" {
		return optionError("Both --config-path/c and --test-path/t are mandatory")
	}
	p.command.Kind = KindRoutesCheck
	return nil
}
