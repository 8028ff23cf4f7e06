package oplog

import (
	"fmt"
	"strings"
	"time"
)

// An event is one line to be.
type event struct {
	time      time.Time
	elapsed   time.Duration // since the event before
	level     Level
	component string
	message   string
	source    source
	thread    int
}

// A Pattern is a compiled line format. It is immutable.
type Pattern struct {
	fields      []field
	needsSource bool
}

// A field is a piece of literal text, or a flag with its padding.
type field struct {
	literal  []byte // when flag is 0
	flag     byte
	padded   bool // a width is given
	width    int
	align    align
	truncate bool
}

type align uint8

const (
	alignRight align = iota // padding on the left
	alignLeft
	alignCenter
)

// maxWidth is the greatest padding spdlog allows.
const maxWidth = 64

const (
	sourceFlags = "sg#!@"
	// knownFlags are spdlog's, and Envoy's own: j (message escaped for JSON), _ (message with
	// newlines escaped), + (as j; Envoy takes the tags out, which our messages do not have)
	// and * (those tags: nothing). ^ $ & stand for colours and thread-local values: nothing.
	knownFlags = "%+nlLtPv" + "aAbhBcCYDxmdHIMSefFEprRTXz" + "uioO" + sourceFlags + "^$&" + "j_*"
)

// CompilePattern compiles a format in the notation of spdlog with Envoy's
// additions. As there, no format is wrong: an unknown flag stands for itself.
func CompilePattern(format string) *Pattern {
	p := &Pattern{}
	for {
		text, rest, found := strings.Cut(format, "%")
		p.literal(text)
		if !found {
			return p
		}
		f, rest := parsePadding(rest)
		if rest == "" {
			return p // an unfinished flag at the end is dropped
		}
		p.flag(f, rest[0])
		format = rest[1:]
	}
}

// CompileJSONPattern compiles application_log_config's json_format. The argument is the
// message as JSON text. %v and %_ would break the quoting, so they are errors; %j is the one to use.
func CompileJSONPattern(jsonText string) (*Pattern, error) {
	p := CompilePattern(jsonText)
	for _, f := range p.fields {
		if f.flag == 'v' || f.flag == '_' {
			return nil, fmt.Errorf("usage of %%%c is unavailable for JSON log formats", f.flag)
		}
	}
	return p, nil
}

// parsePadding takes the padding between % and the flag: [-=]digits[!].
// Without digits there is none, and a ! belongs to what follows.
func parsePadding(s string) (field, string) {
	var f field
	if s == "" {
		return f, s
	}
	switch s[0] {
	case '-':
		f.align, s = alignLeft, s[1:]
	case '=':
		f.align, s = alignCenter, s[1:]
	}
	for s != "" && s[0] >= '0' && s[0] <= '9' {
		f.padded = true
		f.width = min(maxWidth, f.width*10+int(s[0]-'0'))
		s = s[1:]
	}
	if f.padded && s != "" && s[0] == '!' {
		f.truncate, s = true, s[1:]
	}
	return f, s
}

func (p *Pattern) literal(text string) {
	if text == "" {
		return
	}
	if n := len(p.fields); n > 0 && p.fields[n-1].flag == 0 {
		p.fields[n-1].literal = append(p.fields[n-1].literal, text...)
		return
	}
	p.fields = append(p.fields, field{literal: []byte(text)})
}

func (p *Pattern) flag(f field, flag byte) {
	switch {
	case flag == '%':
		p.literal("%")
		return
	case strings.IndexByte(knownFlags, flag) >= 0:
		f.flag = flag
	case f.truncate:
		// "%10!]" means a padded %! and a bracket, not a truncated %].
		f.truncate = false
		p.flag(f, '!')
		p.literal(string([]byte{flag}))
		return
	default:
		p.literal(string([]byte{'%', flag}))
		return
	}
	p.needsSource = p.needsSource || strings.IndexByte(sourceFlags, flag) >= 0
	p.fields = append(p.fields, f)
}

// appendLine appends the event, laid out, without an end of line.
func (p *Pattern) appendLine(dst []byte, e *event) []byte {
	for i := range p.fields {
		f := &p.fields[i]
		if f.flag == 0 {
			dst = append(dst, f.literal...)
			continue
		}
		start := len(dst)
		dst = e.appendFlag(dst, f.flag)
		if f.padded {
			dst = f.pad(dst, start)
		}
	}
	return dst
}

// pad pads or truncates dst[start:], counting bytes.
func (f *field) pad(dst []byte, start int) []byte {
	gap := f.width - (len(dst) - start)
	switch f.flag {
	case 'j', '_', '+', '*', '^', '$', '&': // Envoy's additions and the empty flags take no padding
		return dst
	}
	if gap <= 0 {
		if f.truncate {
			return dst[:start+f.width]
		}
		return dst
	}
	before := 0
	switch f.align {
	case alignRight:
		before = gap
	case alignCenter:
		before = gap / 2
	}
	end := len(dst)
	for range gap {
		dst = append(dst, ' ')
	}
	copy(dst[start+before:], dst[start:end])
	for i := start; i < start+before; i++ {
		dst[i] = ' '
	}
	return dst
}
