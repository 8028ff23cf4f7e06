package format

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/format"
)

// xfcc adds XFCC_VALUE(key): a value of the first element of the header
// x-forwarded-client-cert that has the key, which speaks of the first client.
func (t table) xfcc() {
	t["XFCC_VALUE"] = spec{args: optionalArgs, limit: true, uncut: true, build: func(_ *Compiler, arg string) (operator, error) {
		key := strings.ToLower(arg)
		switch key {
		case "by", "hash", "cert", "chain", "subject", "uri", "dns":
		case "":
			return nil, errors.New("XFCC_VALUE command requires a subcommand")
		default:
			return nil, fmt.Errorf("XFCC_VALUE command does not support subcommand: %s", key)
		}
		header := newHeader("x-forwarded-client-cert")
		return func(dst []byte, e *format.Entry) ([]byte, kind) {
			value, _ := header.find(e.Request)
			return appendXFCC(dst, value, key)
		}, nil
	}}
}

// appendXFCC appends the value of the key. A header is elements with commas between
// them, an element key=value pairs with semicolons; what is in quotes separates
// nothing. An element whose quotes do not close is no element.
func appendXFCC(dst []byte, header, key string) ([]byte, kind) {
	for header != "" {
		element, rest, closed := cutUnquoted(header, ',')
		if !closed {
			break
		}
		for element != "" {
			var pair string
			pair, element, _ = cutUnquoted(element, ';')
			name, value, _ := strings.Cut(pair, "=")
			if strings.EqualFold(trimSpace(name), key) {
				return appendUnquoted(dst, trimSpace(value)), text
			}
		}
		header = rest
	}
	return dst, missing
}

// cutUnquoted cuts s around the first separator that is not in quotes. It reports
// whether the quotes of the first part close. A backslash takes the meaning from a
// quote.
func cutUnquoted(s string, separator byte) (part, rest string, closed bool) {
	quoted, escaped := false, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"' && !escaped:
			quoted = !quoted
		case s[i] == separator && !quoted:
			return s[:i], s[i+1:], true
		}
		escaped = s[i] == '\\' && !escaped
	}
	return s, "", !quoted
}

// appendUnquoted appends a value without its quotes and escapes.
func appendUnquoted(dst []byte, s string) []byte {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\') {
			i++
		}
		dst = append(dst, s[i])
	}
	return dst
}

func trimSpace(s string) string { return strings.Trim(s, " \t\n\v\f\r") }
