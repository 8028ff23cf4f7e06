package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/nuncio-proxy/nuncio/internal/observe/oplog"
	"github.com/nuncio-proxy/nuncio/internal/server"
)

// maxConcurrency keeps the workers, a thread each, below the number of threads
// at which the Go runtime gives up.
const maxConcurrency = 8192

// The functions below make the set function of a flag.

func text(to *string) func(string) error {
	return func(v string) error { *to = v; return nil }
}

func on(to *bool) func(string) error {
	return func(string) error { *to = true; return nil }
}

func oneOf[T any](to *T, what string, values map[string]T) func(string) error {
	return func(v string) error {
		value, ok := values[v]
		if !ok {
			return optionError("unknown %s '%s'", what, v)
		}
		*to = value
		return nil
	}
}

// number reads a uint32. Like Envoy's it takes leading space and a plus sign,
// and leaves the default for an empty value; unlike Envoy's it does not wrap a negative number.
func (p *parser) number(long string, store func(uint32)) func(string) error {
	return func(v string) error {
		if v == "" {
			return nil
		}
		n, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimLeft(v, " \t\n\v\f\r"), "+"), 10, 32)
		if err != nil {
			return p.usageError("("+long+")", "Couldn't read argument value from string '"+v+"'")
		}
		store(uint32(n))
		return nil
	}
}

func (p *parser) duration(long string, unit time.Duration, to *time.Duration) func(string) error {
	return p.number(long, func(n uint32) { *to = time.Duration(n) * unit })
}

// concurrency reads a number of workers; 0 means 1.
func (p *parser) concurrency(long string) func(string) error {
	return func(v string) error {
		o := &p.command.Options
		if err := p.number(long, func(n uint32) { o.Concurrency = max(1, n) })(v); err != nil {
			return err
		}
		if o.Concurrency > maxConcurrency {
			return optionError("--concurrency may be at most %d", maxConcurrency)
		}
		return nil
	}
}

func logLevel(to *oplog.Level) func(string) error {
	return func(v string) error {
		level, err := oplog.ParseLevel(v)
		if err != nil {
			return optionError("%w", err)
		}
		*to = level
		return nil
	}
}

func componentLogLevel(to *string) func(string) error {
	return func(v string) error {
		if _, err := oplog.ParseComponentLevels(v); err != nil {
			return optionError("%w", err)
		}
		*to = v
		return nil
	}
}

func socketMode(to *uint32) func(string) error {
	return func(v string) error {
		if v == "" {
			return nil
		}
		mode, err := strconv.ParseUint(v, 8, 32)
		if err != nil || mode > 0o777 {
			return optionError("invalid socket-mode '%s'", v)
		}
		*to = uint32(mode)
		return nil
	}
}

// statsTag reads name:value. Names are letters and digits; a dot in the value would
// end the tag within a statistic's name.
func statsTag(to *[]server.StatsTag) func(string) error {
	return func(v string) error {
		name, value, ok := strings.Cut(v, ":")
		if !ok {
			return optionError("misformatted stats-tag '%s'", v)
		}
		if name == "" || strings.ContainsFunc(name, notAlphanumeric) {
			return optionError("misformatted stats-tag '%s' contains invalid char in '%s'", v, name)
		}
		if value == "" || strings.Contains(value, ".") {
			return optionError("misformatted stats-tag '%s' contains invalid char in '%s'", v, value)
		}
		for _, tag := range *to {
			if tag.Name == name {
				return optionError("stats-tag '%s' is given twice", name)
			}
		}
		*to = append(*to, server.StatsTag{Name: name, Value: value})
		return nil
	}
}

func notAlphanumeric(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// disabledExtensions reads a list of category/name.
func (p *parser) disabledExtensions(to *[]string) func(string) error {
	return func(v string) error {
		for name := range strings.SplitSeq(v, ",") {
			if name == "" {
				continue
			}
			if !strings.Contains(name, "/") {
				p.warn("failed to disable invalid extension name '" + name + "'")
			}
			*to = append(*to, name)
		}
		return nil
	}
}
