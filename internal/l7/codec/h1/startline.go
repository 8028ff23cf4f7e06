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
}

// A protocol is the version that a start line names.
type protocol uint8

const (
	otherVersion protocol = iota // well-formed, or none as in HTTP/0.9
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
	part, rest, _ := cutBlank(line, s.Lenient)
	if r.method = methodOf(part, s.AllowCustomMethods); r.method == "" {
		return r, codecError("invalid method")
	}
	target, rest, more := cutBlank(rest, s.Lenient)
	if err := checkTarget(target); err != nil {
		return r, err
	}
	r.target = stringOf(target)
	if more {
		var ok bool
		if r.version, ok = protocolOf(rest); !ok {
			return r, codecError("invalid version")
		}
	}
	return r, nil
}

// cutBlank cuts line at its first space; lenient takes any run of blanks.
func cutBlank(line []byte, lenient bool) (part, rest []byte, found bool) {
	i := bytes.IndexByte(line, ' ')
	if lenient {
		i = bytes.IndexAny(line, " \t")
	}
	if i < 0 {
		return line, nil, false
	}
	rest = line[i+1:]
	if lenient {
		rest = bytes.TrimLeft(rest, " \t")
	}
	return line[:i], rest, true
}

func checkTarget(target []byte) *codec.Error {
	if len(target) == 0 {
		return codecError("empty request target")
	}
	for _, c := range target {
		switch {
		case c > '~' || c == '\t':
			return codecError("invalid request target")
		case c <= ' ':
			return badRequest("http1.invalid_characters", "control character in the request target")
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
	part, _, complete := cutBlank(p, s.Lenient)
	if complete && methodOf(part, s.AllowCustomMethods) == "" || !beginsMethod(part, s.AllowCustomMethods) {
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
	switch {
	case r.method == "CONNECT":
		t.authority = r.target
		if port := portOf(r.target); port == "" || strings.Contains(r.target, "@") || !validAuthority(r.target) {
			return t, badRequest("http1.invalid_url", "CONNECT needs host:port")
		}
		return t, nil
	case r.target[0] == '/', r.target == "*" && r.method == "OPTIONS":
		t.path = r.target
		return t, nil
	case r.target == "*":
		return t, badRequest("http1.invalid_url", "asterisk target without OPTIONS")
	}
	scheme, rest, ok := strings.Cut(r.target, "://")
	if !ok {
		return t, codecError("invalid request target")
	}
	if s.DisallowAbsoluteURL {
		t.path = r.target
		return t, nil
	}
	switch {
	case equalFold(scheme, "http"):
		t.scheme = "http"
	case equalFold(scheme, "https"):
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

// parseStatusLine parses a line without its end. The code has three digits.
func parseStatusLine(line []byte, lenient bool) (status string, v protocol, err *codec.Error) {
	version, rest, _ := bytes.Cut(line, []byte{' '})
	code, _, _ := bytes.Cut(rest, []byte{' '})
	v, ok := protocolOf(version)
	if !ok || v == otherVersion && !lenient {
		return "", v, codecError("invalid version in a response")
	}
	if len(code) != 3 || code[0] < '1' || code[0] > '9' || code[1]-'0' > 9 || code[2]-'0' > 9 {
		return "", v, codecError("invalid status code")
	}
	return stringOf(code), v, nil
}

// beginsResponse is beginsRequest for a response.
func beginsResponse(p []byte, s *Settings) *codec.Error {
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		_, _, err := parseStatusLine(trimCR(p[:i]), s.Lenient)
		return err
	}
	const start = "HTTP/"
	n := min(len(p), len(start))
	if string(p[:n]) != start[:n] {
		return codecError("invalid version in a response")
	}
	return nil
}
