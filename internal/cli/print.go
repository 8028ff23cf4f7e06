package cli

import (
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/nuncio-proxy/nuncio/internal/server"
)

const helpWidth = 78

// print makes the command one that prints.
func (p *parser) print(text string) { p.command.Kind, p.command.Stdout = KindPrint, text }

// versionText has Envoy's line first, for the programs that start Envoy search
// the output for the first version and for the five parts; ours comes after it.
func (p *parser) versionText() string {
	own := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		own = info.Main.Version
	}
	return "nuncio  version: " + p.command.Options.Version() +
		"\nnuncio " + own + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n"
}

func (p *parser) helpText() string {
	var b strings.Builder
	b.WriteString("Usage:\n" +
		"  " + p.program + " -c <path> [flags]            run the proxy\n" +
		"  " + p.program + " validate [--json] [flags]    check the configuration and end\n" +
		"  " + p.program + " demo [--print-config]        run a demonstration that needs no configuration\n" +
		"  " + p.program + " routes check -c <path> -t <path>    run unit tests of routes\n\n" +
		"The flags are those of Envoy " + server.ClaimedEnvoyVersion + ". A value may follow as an argument of its own, after\n" +
		"an equals sign, or after a space within the same argument.\n")
	group := ""
	for _, f := range p.flags {
		if f.group != group {
			group = f.group
			b.WriteString("\n" + group + ":\n")
		}
		b.WriteString("  " + f.spelling() + "\n")
		writeWrapped(&b, f.help, "      ")
	}
	return b.String()
}

// spelling is how the flag is written, with a placeholder for its value.
func (f *flag) spelling() string {
	s := f.long
	if f.short != "" {
		s = f.short + ", " + s
	}
	if f.value != "" {
		s += " <" + f.value + ">"
	}
	return s
}

func writeWrapped(b *strings.Builder, text, indent string) {
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+len(word) > helpWidth:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
}
