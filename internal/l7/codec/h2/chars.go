package h2

// A class is a set of bytes.
type class uint8

const (
	tokenClass     class = 1 << iota // of methods and, in lower case, of header names
	upperClass                       // A to Z
	authorityClass                   // of host and port
	schemeClass
)

var classes = func() (t [256]class) {
	set := func(chars string, c class) {
		for i := range len(chars) {
			t[chars[i]] |= c
		}
	}
	const (
		lower  = "abcdefghijklmnopqrstuvwxyz"
		upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		digits = "0123456789"
	)
	set(lower+upper+digits, tokenClass|authorityClass|schemeClass)
	set(upper, upperClass)
	set("!#$%&'*+-.^_`|~", tokenClass)
	set("!$%&'()*+,-.:;=[]_~", authorityClass)
	set("+-.", schemeClass)
	return t
}()

// all reports whether s is not empty and has only bytes of the class.
func all(s string, c class) bool {
	for i := range len(s) {
		if classes[s[i]]&c == 0 {
			return false
		}
	}
	return s != ""
}

func isToken(s string) bool { return all(s, tokenClass) }

// isLowerToken reports whether s is a header name.
func isLowerToken(s string) bool {
	for i := range len(s) {
		if classes[s[i]]&(tokenClass|upperClass) != tokenClass {
			return false
		}
	}
	return s != ""
}

func isAuthority(s string) bool { return all(s, authorityClass) }

func isScheme(s string) bool {
	return all(s, schemeClass) && 'a' <= s[0]|0x20 && s[0]|0x20 <= 'z'
}

// isPath reports whether s is not empty and has no blanks or control characters.
// Bytes above 127 are allowed, as in Envoy.
func isPath(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

func isStatus(s string) bool {
	return len(s) == 3 && '1' <= s[0] && s[0] <= '9' && s[1]-'0' <= 9 && s[2]-'0' <= 9
}

// parseLength returns the value of a content-length; ok is false if it is none.
func parseLength(s string) (n int64, ok bool) {
	const digits = 18 // as many fit
	if s == "" || len(s) > digits {
		return 0, false
	}
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int64(d)
	}
	return n, true
}

// hasObsText reports whether s has bytes that are not ASCII.
func hasObsText(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return true
		}
	}
	return false
}
