package stats

import "strings"

// sanitizer replaces what must not stand in a name: sinks and the text output use ':'
// as their separator, and a newline would forge a line of output.
var sanitizer = strings.NewReplacer("://", "_", ":/", "_", ":", "_", "\x00", "_", "\n", "_", "\r", "_")

func sanitize(name string) string { return sanitizer.Replace(name) }

// sanitizePrefix returns prefix with exactly one dot at its end, or "".
func sanitizePrefix(prefix string) string {
	prefix = strings.Trim(prefix, ".")
	if prefix == "" {
		return ""
	}
	return sanitize(prefix) + "."
}
