package httpinspector

import (
	"bytes"
	"strings"
)

// A protocol is what a connection begins with.
type protocol uint8

const (
	undecided protocol = iota
	http10             // or any other version with a request line
	http11
	http2
	notHTTP
	protocols // how many there are
)

// alpn is the name that filter chains match on, "" if it is not HTTP.
func (p protocol) alpn() string {
	switch p {
	case http10:
		return "http/1.0"
	case http11:
		return "http/1.1"
	case http2:
		return "h2c"
	}
	return ""
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// detect looks at the first bytes of a connection. It decides when it has seen the
// request line or the preface, or that there is none.
func detect(data []byte) protocol {
	if n := min(len(data), len(preface)); string(data[:n]) == preface[:n] {
		if n == len(preface) {
			return http2
		}
		return undecided
	}
	method := 0
	for method < len(data) && isToken(data[method]) {
		method++
	}
	if method == len(data) {
		return undecided
	}
	if method == 0 || data[method] != ' ' && data[method] != '\t' {
		return notHTTP
	}
	line, _, complete := bytes.Cut(data, []byte{'\n'})
	if !complete {
		return undecided
	}
	return requestLine(string(line[:method]), line[method:])
}

// requestLine tells the version of a request line; rest is what stands behind the
// method. Bytes below the space separate as it does.
func requestLine(method string, rest []byte) protocol {
	rest = bytes.TrimFunc(rest, isSeparator)
	end := bytes.IndexFunc(rest, isSeparator)
	if end < 0 {
		end = len(rest)
	}
	version := string(bytes.TrimLeftFunc(rest[end:], isSeparator))
	switch {
	case !isTarget(string(rest[:end]), method == "CONNECT"):
		return notHTTP
	case version == "HTTP/1.1":
		return http11
	case version == "", isVersion(version):
		return http10
	}
	return notHTTP
}

func isSeparator(r rune) bool { return r <= ' ' }

func isVersion(s string) bool {
	s, ok := strings.CutPrefix(s, "HTTP/")
	return ok && len(s) == 3 && isDigit(s[0]) && s[1] == '.' && isDigit(s[2])
}

// isTarget reports whether a request may be for s: a path, the server itself ("*"), an
// absolute URL, or anything that a tunnel may be asked for.
func isTarget(s string, tunnel bool) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	if s == "" || s[0] == '/' || s[0] == '*' || tunnel {
		return s != ""
	}
	scheme, authority, ok := strings.Cut(s, "://")
	for i := range len(scheme) {
		ok = ok && (isAlphanumeric(scheme[i]) || strings.IndexByte("+-.", scheme[i]) >= 0)
	}
	if end := strings.IndexAny(authority, "/?"); end >= 0 {
		authority = authority[:end]
	}
	return ok && scheme != "" && !strings.ContainsAny(authority, "\"#<>\\^`{|}")
}

func isToken(b byte) bool {
	return isAlphanumeric(b) || strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func isAlphanumeric(b byte) bool {
	return isDigit(b) || b|0x20 >= 'a' && b|0x20 <= 'z'
}
