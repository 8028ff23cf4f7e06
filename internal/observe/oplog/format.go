package oplog

import (
	"os"
	"path"
	"strconv"
	"time"
)

// appendFlag appends what a flag of a pattern stands for.
func (e *event) appendFlag(dst []byte, flag byte) []byte {
	switch flag {
	case 'v':
		return append(dst, e.message...)
	case 'j', '+':
		return appendJSONEscaped(dst, e.message)
	case '_':
		return appendNewlineEscaped(dst, e.message)
	case 'n':
		return append(dst, e.component...)
	case 'l':
		return append(dst, e.level.String()...)
	case 'L':
		return append(dst, e.level.letter())
	case 't':
		return strconv.AppendInt(dst, int64(e.thread), 10)
	case 'P':
		return strconv.AppendInt(dst, int64(os.Getpid()), 10)
	case 's', 'g', '#', '@', '!':
		return e.source.appendFlag(dst, flag)
	case 'u':
		return strconv.AppendInt(dst, int64(e.elapsed), 10)
	case 'i':
		return strconv.AppendInt(dst, e.elapsed.Microseconds(), 10)
	case 'o':
		return strconv.AppendInt(dst, e.elapsed.Milliseconds(), 10)
	case 'O':
		return strconv.AppendInt(dst, int64(e.elapsed/time.Second), 10)
	}
	return appendTime(dst, e.time, flag)
}

func (s *source) appendFlag(dst []byte, flag byte) []byte {
	if s.line == 0 {
		return dst
	}
	switch flag {
	case 's':
		return append(dst, path.Base(s.file)...)
	case 'g':
		return append(dst, s.file...)
	case '#':
		return strconv.AppendInt(dst, int64(s.line), 10)
	case '@':
		return strconv.AppendInt(append(append(dst, s.file...), ':'), int64(s.line), 10)
	}
	return append(dst, s.function...)
}

// appendTime appends what a flag says of the time, and nothing for a flag that does not.
func appendTime(dst []byte, t time.Time, flag byte) []byte {
	switch flag {
	case 'e':
		return appendPadded(dst, t.Nanosecond()/1e6, 3)
	case 'f':
		return appendPadded(dst, t.Nanosecond()/1e3, 6)
	case 'F':
		return appendPadded(dst, t.Nanosecond(), 9)
	case 'E':
		return strconv.AppendInt(dst, t.Unix(), 10)
	case 'I':
		return appendPadded(dst, hour12(t), 2)
	case 'r':
		dst = append(appendPadded(dst, hour12(t), 2), ':')
		return t.AppendFormat(dst, "04:05 PM")
	}
	if layout := timeLayout(flag); layout != "" {
		return t.AppendFormat(dst, layout)
	}
	return dst
}

// timeLayout returns the layout of the flags that package time has a name for.
func timeLayout(flag byte) string {
	switch flag {
	case 'a':
		return "Mon"
	case 'A':
		return "Monday"
	case 'b', 'h':
		return "Jan"
	case 'B':
		return "January"
	case 'c':
		return "Mon Jan 2 15:04:05 2006"
	case 'C':
		return "06"
	case 'Y':
		return "2006"
	case 'D', 'x':
		return "01/02/06"
	case 'm':
		return "01"
	case 'd':
		return "02"
	case 'H':
		return "15"
	case 'M':
		return "04"
	case 'S':
		return "05"
	case 'p':
		return "PM"
	case 'R':
		return "15:04"
	case 'T', 'X':
		return "15:04:05"
	case 'z':
		return "-07:00"
	}
	return ""
}

// hour12 is the hour of the half day; midnight is 0 and noon 12, as spdlog has it.
func hour12(t time.Time) int {
	if h := t.Hour(); h > 12 {
		return h - 12
	}
	return t.Hour()
}

// appendPadded appends n with leading zeros.
func appendPadded(dst []byte, n, width int) []byte {
	var digits [9]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, digits[:width]...)
}

// appendJSONEscaped appends s as it stands inside a JSON string. Bytes that are
// not UTF-8 pass, as they do in Envoy.
func appendJSONEscaped(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func appendNewlineEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		if s[i] == '\n' {
			dst = append(dst, '\\', 'n')
		} else {
			dst = append(dst, s[i])
		}
	}
	return dst
}

// appendCEscaped appends line with everything but printable ASCII escaped as in
// a C string, and quotes and backslashes too.
func appendCEscaped(dst, line []byte) []byte {
	for _, c := range line {
		switch {
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '"' || c == '\'' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c >= 0x7f:
			dst = append(dst, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
