package format

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// A timePart is literal text or one conversion of a time.
type timePart struct {
	lit  string
	verb byte // 0 for literal text
	// width is the least number of digits of a number, 0 for the verb's own; for a
	// fraction of a second the number of its digits.
	width int
	pad   byte // '-' for none, '_' for spaces, 0 for the verb's own
}

// Verbs that strftime writes with more than one letter.
const (
	fraction      = '.' // %f, %3f, %E3f: so many digits
	shortFraction = ',' // %E*f: without the zeros at the end
	shortSeconds  = ';' // %E*S: seconds with such a fraction, if there is one
	colonZone     = ':' // %Ez: +00:00
	secondsZone   = '*' // %E*z: +00:00:00
)

// compileTime compiles a strftime pattern with Envoy's and Abseil's additions. As
// there, what is no conversion stands for itself.
func compileTime(pattern string) ([]timePart, error) {
	if strings.Contains(pattern, "\n") || strings.Contains(pattern, "%n") {
		return nil, errors.New("Invalid header configuration. Format string contains newline.")
	}
	return appendTimeParts(nil, pattern), nil
}

func appendTimeParts(parts []timePart, pattern string) []timePart {
	for pattern != "" {
		i := strings.IndexByte(pattern, '%')
		if i < 0 {
			i = len(pattern)
		}
		n := 0
		if i == 0 {
			parts, n = appendConversion(parts, pattern)
			if i = n; n == 0 { // not a conversion
				i = 1
			}
		}
		if n == 0 {
			parts = append(parts, timePart{lit: pattern[:i]})
		}
		pattern = pattern[i:]
	}
	return parts
}

// appendConversion appends the conversion that s, which begins with a percent sign,
// starts with, and returns its length: 0 if there is none.
func appendConversion(parts []timePart, s string) ([]timePart, int) {
	for _, special := range []struct {
		text string
		part timePart
	}{
		{"%E*S", timePart{verb: shortSeconds}}, {"%E*f", timePart{verb: shortFraction}},
		{"%E*z", timePart{verb: secondsZone}}, {"%::z", timePart{verb: secondsZone}},
		{"%Ez", timePart{verb: colonZone}}, {"%:z", timePart{verb: colonZone}},
		{"%E4Y", timePart{verb: 'Y', width: 4}}, {"%ET", timePart{lit: "T"}},
		{"%%", timePart{lit: "%"}}, {"%t", timePart{lit: "\t"}},
	} {
		if strings.HasPrefix(s, special.text) {
			return append(parts, special.part), len(special.text)
		}
	}
	i, part := 1, timePart{}
	modifier := i < len(s) && (s[i] == 'E' || s[i] == 'O')
	switch {
	case modifier:
		i++
	case i < len(s) && (s[i] == '-' || s[i] == '_'):
		part.pad = s[i]
		i++
	}
	if i < len(s) && s[i] >= '1' && s[i] <= '9' {
		part.width = int(s[i] - '0')
		i++
	}
	if i == len(s) {
		return parts, 0
	}
	part.verb = s[i]
	switch {
	case part.verb == 'f':
		if part.verb = fraction; part.width == 0 {
			part.width = 9
		}
	case part.verb == 'S' && modifier && part.width > 0: // %E3S
		parts = append(parts, timePart{verb: 'S'}, timePart{lit: "."})
		part.verb = fraction
	case part.width > 0 && !strings.ContainsRune("YCyGgmdeHIklMSjsUVWuw", rune(part.verb)):
		return parts, 0
	case strings.ContainsRune("YCyGgmdeHIklMSPpaAbBjuwUVWszZ", rune(part.verb)):
	default:
		expanded := compound(part.verb)
		if expanded == "" {
			return parts, 0
		}
		return appendTimeParts(parts, expanded), i + 1
	}
	return append(parts, part), i + 1
}

// compound returns the pattern that a conversion stands for, "" if it is none.
func compound(verb byte) string {
	switch verb {
	case 'F':
		return "%Y-%m-%d"
	case 'T', 'X':
		return "%H:%M:%S"
	case 'R':
		return "%H:%M"
	case 'D', 'x':
		return "%m/%d/%y"
	case 'c':
		return "%a %b %e %H:%M:%S %Y"
	case 'r':
		return "%I:%M:%S %p"
	case 'h':
		return "%b"
	}
	return ""
}

// appendTime appends t in its zone.
func appendTime(dst []byte, t time.Time, parts []timePart) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	for i := range parts {
		p := &parts[i]
		switch p.verb {
		case 0:
			dst = append(dst, p.lit...)
		case 'Y':
			dst = p.number(dst, year, 1, '0')
		case 'm':
			dst = p.number(dst, int(month), 2, '0')
		case 'd':
			dst = p.number(dst, day, 2, '0')
		case 'H':
			dst = p.number(dst, hour, 2, '0')
		case 'M':
			dst = p.number(dst, minute, 2, '0')
		case 'S':
			dst = p.number(dst, second, 2, '0')
		case fraction:
			dst = appendFraction(dst, t, p.width)
		default:
			dst = p.appendRare(dst, t)
		}
	}
	return dst
}

// appendRare appends the conversions that few patterns have.
func (p *timePart) appendRare(dst []byte, t time.Time) []byte {
	isoYear, isoWeek := t.ISOWeek()
	weekday := int(t.Weekday())
	hour12 := (t.Hour()+11)%12 + 1
	switch p.verb {
	case 'C':
		return p.number(dst, t.Year()/100, 2, '0')
	case 'y':
		return p.number(dst, t.Year()%100, 2, '0')
	case 'G':
		return p.number(dst, isoYear, 1, '0')
	case 'g':
		return p.number(dst, isoYear%100, 2, '0')
	case 'V':
		return p.number(dst, isoWeek, 2, '0')
	case 'e':
		return p.number(dst, t.Day(), 2, ' ')
	case 'I':
		return p.number(dst, hour12, 2, '0')
	case 'k':
		return p.number(dst, t.Hour(), 2, ' ')
	case 'l':
		return p.number(dst, hour12, 2, ' ')
	case 'j':
		return p.number(dst, t.YearDay(), 3, '0')
	case 'u':
		return p.number(dst, (weekday+6)%7+1, 1, '0')
	case 'w':
		return p.number(dst, weekday, 1, '0')
	case 'U': // weeks begin on Sunday
		return p.number(dst, (t.YearDay()+6-weekday)/7, 2, '0')
	case 'W': // weeks begin on Monday
		return p.number(dst, (t.YearDay()+6-(weekday+6)%7)/7, 2, '0')
	case 's':
		return p.number(dst, int(t.Unix()), 1, '0')
	case 'p':
		return t.AppendFormat(dst, "PM")
	case 'P':
		return t.AppendFormat(dst, "pm")
	case 'a':
		return append(dst, t.Weekday().String()[:3]...)
	case 'A':
		return append(dst, t.Weekday().String()...)
	case 'b':
		return append(dst, t.Month().String()[:3]...)
	case 'B':
		return append(dst, t.Month().String()...)
	case 'Z':
		return t.AppendFormat(dst, "MST")
	case 'z':
		return t.AppendFormat(dst, "-0700")
	case colonZone:
		return t.AppendFormat(dst, "-07:00")
	case secondsZone:
		return t.AppendFormat(dst, "-07:00:00")
	case shortFraction:
		start := len(dst)
		return trimZeros(appendFraction(dst, t, 9), start+1)
	default: // shortSeconds
		dst = p.number(dst, t.Second(), 2, '0')
		if t.Nanosecond() == 0 {
			return dst
		}
		return trimZeros(appendFraction(append(dst, '.'), t, 9), 0)
	}
}

// number appends v with at least so many digits.
func (p *timePart) number(dst []byte, v, digits int, fill byte) []byte {
	if p.width > 0 {
		digits = p.width
	}
	switch p.pad {
	case '-':
		digits = 1
	case '_':
		fill = ' '
	}
	least := 1
	for range digits - 1 {
		least *= 10
	}
	for ; v < least && least > 1; least /= 10 {
		dst = append(dst, fill)
	}
	return strconv.AppendInt(dst, int64(v), 10)
}

// appendFraction appends the first digits, at most nine, of the fraction of a second.
func appendFraction(dst []byte, t time.Time, digits int) []byte {
	rest, unit := t.Nanosecond(), 100_000_000
	for range digits {
		dst = append(dst, byte('0'+rest/unit))
		rest, unit = rest%unit, max(unit/10, 1)
	}
	return dst
}

// trimZeros drops the zeros at the end of dst, but nothing before least.
func trimZeros(dst []byte, least int) []byte {
	for len(dst) > least && dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}
