package h1

import (
	"bytes"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// A requestLine is the first line of a request. Its strings are cut from the line.
type requestLine struct {
	method, target string
	version        protocol
	bare           bool // it names none: HTTP/0.9
}

// A protocol is the version that a start line names.
type protocol uint8

const (
	otherVersion protocol = iota
	http10
	http11
)

func (p protocol) version() httpmsg.Version {
	if p == http11 {
		return httpmsg.HTTP11
	}
	return httpmsg.HTTP10
}

func protocolOf(p []byte) (v protocol, ok bool) {
	switch string(p) {
	case "HTTP/1.1":
		return http11, true
	case "HTTP/1.0":
		return http10, true
	}
	isDigit := func(c byte) bool { return '0' <= c && c <= '9' }
	return otherVersion, len(p) == 8 && string(p[:5]) == "HTTP/" && isDigit(p[5]) && p[6] == '.' && isDigit(p[7])
}

// parseRequestLine parses a line without its end.
func parseRequestLine(line []byte, s *Settings) (r requestLine, err *codec.Error) {
	part, rest := cutBlank(line)
	if r.method = methodOf(part, s.AllowCustomMethods); r.method == "" {
		return r, codecError("invalid method")
	}
	target, rest := cutBlank(rest)
	if err := checkTarget(target); err != nil {
		return r, err
	}
	r.target = stringOf(target)
	version := trimRight(rest)
	if len(version) == 0 {
		if _, err := parseTarget(&r, s); err != nil {
			return r, err
		}
		r.bare = true
		return r, lowVersion()
	}
	var ok bool
	if r.version, ok = protocolOf(version); !ok {
		return r, codecError("invalid version")
	}
	return r, nil
}

// cutBlank cuts line at its first run of blanks.
func cutBlank(line []byte) (part, rest []byte) {
	i := 0
	for i < len(line) && !isBlank(line[i]) {
		i++
	}
	part = line[:i]
	for i < len(line) && isBlank(line[i]) {
		i++
	}
	return part, line[i:]
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// trimRight cuts the blanks at the end of p.
func trimRight(p []byte) []byte {
	for len(p) > 0 && isBlank(p[len(p)-1]) {
		p = p[:len(p)-1]
	}
	return p
}

func checkTarget(target []byte) *codec.Error {
	if len(target) == 0 {
		return codecError("empty request target")
	}
	for _, c := range target {
		switch {
		case isControl(c):
			return badRequest("http1.invalid_characters", "control character in the request target")
		case c <= ' ' || c > '~':
			return codecError("invalid request target")
		}
	}
	return nil
}

// beginsRequest checks the first bytes of a request before its line is complete,
// so that a client that speaks another protocol is answered at once.
func beginsRequest(p []byte, s *Settings) *codec.Error {
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		_, err := parseRequestLine(trimCR(p[:i]), s)
		return err
	}
	part, _ := cutBlank(p)
	if complete := len(part) < len(p); complete && methodOf(part, s.AllowCustomMethods) == "" || !beginsMethod(part, s.AllowCustomMethods) {
		return codecError("invalid method")
	}
	return nil
}

func trimCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

// A target is what a request target says.
type target struct {
	scheme, authority, path string // "" if it does not say
}

// parseTarget splits a request target.
func parseTarget(r *requestLine, s *Settings) (t target, err *codec.Error) {
	rest := r.target
	if first := r.target[0]; first != '/' && first != '*' {
		var ok bool
		if t.scheme, rest, ok = cutScheme(r); !ok || !isTargetHost(rest) {
			return t, codecError("invalid request target")
		}
	}
	switch {
	case r.method == "CONNECT":
		t.authority = r.target
		if port := portOf(r.target); port == "" || strings.Contains(r.target, "@") || !validAuthority(r.target) {
			return t, badRequest("http1.invalid_url", "CONNECT needs host:port")
		}
		return t, nil
	case r.target[0] == '/', r.target[0] == '*' && r.method == "OPTIONS":
		t.path = r.target
		return t, nil
	case r.target[0] == '*':
		return t, badRequest("http1.invalid_url", "asterisk target, but not of OPTIONS")
	}
	if s.DisallowAbsoluteURL {
		t.scheme, t.path = "", r.target
		return t, nil
	}
	switch {
	case httpmsg.EqualFold(t.scheme, "http"):
		t.scheme = "http"
	case httpmsg.EqualFold(t.scheme, "https"):
		t.scheme = "https"
	default:
		return t, badRequest("http1.invalid_scheme", "unknown scheme in an absolute URL")
	}
	t.authority, t.path = rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		t.authority, t.path = rest[:i], rest[i:]
	}
	if _, after, ok := strings.Cut(t.authority, "@"); ok {
		t.authority = after // user information is not for the upstream
	}
	if strings.Contains(t.authority, "@") || !validAuthority(t.authority) {
		return t, badRequest("http1.invalid_url", "invalid authority in an absolute URL")
	}
	return t, nil
}

// cutScheme cuts the scheme off a target that begins with one, as all but CONNECT's do.
func cutScheme(r *requestLine) (scheme, rest string, ok bool) {
	if r.method == "CONNECT" {
		return "", r.target, true
	}
	scheme, rest, ok = strings.Cut(r.target, "://")
	for i := range len(scheme) {
		c := scheme[i] | 0x20
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || strings.IndexByte("+-.0123456789", scheme[i]) < 0) {
			return "", "", false
		}
	}
	return scheme, rest, ok && scheme != ""
}

// isTargetHost reports whether the host that target begins with has only the bytes of
// one.
func isTargetHost(target string) bool {
	if i := strings.IndexAny(target, "/?"); i >= 0 {
		target = target[:i]
	}
	return isAuthority(target) && !strings.Contains(target, "@@")
}

// validAuthority checks a host with or without a port.
func validAuthority(s string) bool {
	port := portOf(s)
	host := strings.TrimSuffix(s, ":"+port)
	if host == s {
		port = "0"
	}
	number := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return false
		}
		if number = number*10 + int(port[i]-'0'); number > 65535 {
			return false
		}
	}
	return host != "" && port != "" && isAuthority(host)
}

// portOf returns what follows the last colon outside of brackets.
func portOf(s string) string {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.IndexByte(s[i:], ']') >= 0 {
		return ""
	}
	return s[i+1:]
}

// A statusLine is the first line of a response. Its strings are cut from the line.
type statusLine struct {
	code, reason string
	version      protocol
}

// parseStatusLine parses a line without its end. The code has three digits.
func parseStatusLine(line []byte) (s statusLine, err *codec.Error) {
	version, rest := cutBlank(line)
	var ok bool
	if s.version, ok = protocolOf(version); !ok {
		return s, codecError("invalid version in a response")
	}
	code, reason := cutBlank(rest)
	if len(code) != 3 || code[0] < '1' || code[0] > '9' || code[1]-'0' > 9 || code[2]-'0' > 9 {
		return s, codecError("invalid status code")
	}
	for _, c := range reason {
		if isControl(c) {
			return s, codecError("control character in a reason phrase")
		}
	}
	s.code, s.reason = stringOf(code), stringOf(trimRight(reason))
	return s, nil
}

// beginsResponse is beginsRequest for a response.
func beginsResponse(p []byte) *codec.Error {
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		_, err := parseStatusLine(trimCR(p[:i]))
		return err
	}
	const start = "HTTP/"
	n := min(len(p), len(start))
	if string(p[:n]) != start[:n] {
		return codecError("invalid version in a response")
	}
	return nil
}
