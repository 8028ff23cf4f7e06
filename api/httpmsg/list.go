package httpmsg

import "strings"

// NextToken cuts the first element off a comma-separated list (RFC 9110, section 5.6.1),
// without the blanks around it.
func NextToken(list string) (token, rest string) {
	token, rest, _ = strings.Cut(list, ",")
	return strings.Trim(token, " \t"), rest
}

// HasToken reports whether a comma-separated list has that lower-case element, in any
// case.
func HasToken(list, lower string) bool {
	for list != "" {
		var token string
		if token, list = NextToken(list); EqualFold(token, lower) {
			return true
		}
	}
	return false
}

// EqualFold compares s with a lower-case ASCII string, without Unicode's foldings.
func EqualFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
