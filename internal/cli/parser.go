package cli

import (
	"fmt"
	"strings"

	"github.com/nuncio-proxy/nuncio/internal/server"
)

// A flag is an entry of the table of flags.
type flag struct {
	long, short string // with dashes; short may be ""
	value       string // placeholder of the value in the help text; "" for a switch
	repeatable  bool
	group       string
	help        string
	set         func(value string) error // value is "" for a switch

	given bool
}

// id names the flag in an error, as Envoy does.
func (f *flag) id() string {
	if f.short == "" {
		return "(" + f.long + ")"
	}
	return f.short + " (" + f.long + ")"
}

// A parser reads one command line. The flags write into command.
type parser struct {
	program    string
	subcommand string
	flags      []*flag
	command    Command

	hotRestartVersion bool
}

// words reads the command line. A flag that prints something ends it at once.
func (p *parser) words(words []string) error {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		switch word {
		case "", "-":
			continue
		case "--", "--ignore_rest":
			return nil
		}
		f, value, attached := p.match(word)
		switch {
		case f == nil:
			return p.usageError(word, "Couldn't find match for argument")
		case f.given && !f.repeatable:
			return p.usageError(f.id(), "Argument already set!")
		case f.value != "" && !attached:
			if len(words) == 0 {
				return p.usageError(f.id(), "Missing a value for this argument!")
			}
			value, words = words[0], words[1:]
		}
		f.given = true
		if err := f.set(value); err != nil {
			return err
		}
		if p.command.Kind == KindPrint {
			return nil
		}
	}
	return nil
}

// match finds the flag that a word begins with, and the value if it is in the
// same word: after a space, as control planes written for Envoy pass it, or after
// an equals sign, as people type it.
func (p *parser) match(word string) (f *flag, value string, attached bool) {
	name, value, attached := word, "", false
	if i := strings.IndexAny(word, " ="); i >= 0 && (word[i] == ' ' || strings.HasPrefix(word, "--")) {
		name, value = word[:i], word[i+1:]
		attached = value != "" || word[i] == '=' // after a space alone, the value is the next word
	}
	for _, f := range p.flags {
		if name != f.long && (f.short == "" || name != f.short) {
			continue
		}
		if f.value == "" && name != word {
			return nil, "", false // a switch takes no value
		}
		return f, value, attached
	}
	return nil, "", false
}

// finish checks what no single flag can tell.
func (p *parser) finish() error {
	if p.subcommand == routesCheck {
		return p.finishRoutes()
	}
	o := &p.command.Options
	if err := p.checkTogether(); err != nil {
		return err
	}
	if p.hotRestartVersion {
		p.command.Kind, p.command.Stderr = KindPrint, "11.104\n"
		if o.DisableHotRestart {
			p.command.Stderr = "disabled\n"
		}
		return nil
	}
	if err := p.applySubcommand(); err != nil {
		return err
	}
	if p.given("--concurrency") && o.CPUSetThreads {
		p.warn("Both --concurrency and --cpuset-threads options are set; not applying --cpuset-threads.")
	}
	if p.given("--allow-unknown-fields") {
		p.warn("--allow-unknown-fields is deprecated, use --allow-unknown-static-fields instead.")
	}
	return p.checkImplemented()
}

func (p *parser) applySubcommand() error {
	c := &p.command
	switch p.subcommand {
	case "validate":
		if p.given("--mode") && c.Options.Mode != server.ModeValidate {
			return optionError("the command validate and another --mode exclude each other")
		}
		c.Options.Mode = server.ModeValidate
	case "demo":
		for _, name := range []string{"--config-path", "--config-yaml", "--mode"} {
			if p.given(name) {
				return optionError("the command demo brings its own configuration and takes no %s", name)
			}
		}
		c.Kind = KindDemo
	}
	if c.Options.Mode == server.ModeValidate {
		c.Kind = KindValidate
	}
	return nil
}

// checkTogether refuses flags that exclude one another.
func (p *parser) checkTogether() error {
	o := &p.command.Options
	switch {
	case o.EnableFineGrainLogging && o.ComponentLogLevel != "":
		return optionError("--component-log-level will not work with --enable-fine-grain-logging")
	case o.UseDynamicBaseID && o.RestartEpoch > 0:
		return optionError("cannot use --restart-epoch=%d with --use-dynamic-base-id", o.RestartEpoch)
	}
	return nil
}

// checkImplemented refuses by name what would have an effect in Envoy and has none here.
func (p *parser) checkImplemented() error {
	o := &p.command.Options
	var refused []string
	if !o.DisableHotRestart && o.Mode == server.ModeServe {
		if o.RestartEpoch > 0 {
			refused = append(refused, "--restart-epoch")
		}
		if o.BaseIDPath != "" {
			refused = append(refused, "--base-id-path")
		}
	}
	if len(refused) > 0 {
		return optionError("not implemented: %s", strings.Join(refused, ", "))
	}
	return nil
}

func (p *parser) given(long string) bool {
	for _, f := range p.flags {
		if f.long == long {
			return f.given
		}
	}
	return false
}

func (p *parser) warn(text string) { p.command.Warnings = append(p.command.Warnings, text) }

// usageError is an error of the command line's form.
func (p *parser) usageError(argument, problem string) error {
	return fmt.Errorf("PARSE ERROR: Argument: %s\n             %s\n\nFor all flags type:\n   %s --help", argument, problem, p.program)
}

// optionError is an error of a flag's value or of flags together.
func optionError(format string, args ...any) error {
	return fmt.Errorf("error: "+format, args...)
}
