package h1

import (
	"strings"
	"unsafe"
)

// tokenLower maps a character of a token (a header name, a method) to lower case,
// every other byte to 0.
var tokenLower = func() (t [256]byte) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
		t[c] = c
	}
	for c := byte('A'); c <= 'Z'; c++ {
		t[c] = c | 0x20
	}
	return t
}()

// authorityByte tells the bytes of host, port and user information.
var authorityByte = func() (t [256]bool) {
	for _, c := range []byte("!$%&'()*+,-.:;=@[]_~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

// isControl tells the control characters, without the tab and the ends of lines.
func isControl(c byte) bool { return c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f }

func isToken(s string) bool {
	for i := range len(s) {
		if tokenLower[s[i]] == 0 {
			return false
		}
	}
	return s != ""
}

// isVisible reports whether s is not empty and has no blank, control character or
// byte above 126.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

func isAuthority(s string) bool {
	for i := range len(s) {
		if !authorityByte[s[i]] {
			return false
		}
	}
	return true
}

// stringOf returns p as a string without a copy; p must never change again.
func stringOf(p []byte) string { return unsafe.String(unsafe.SliceData(p), len(p)) }

// methods are those that Envoy's parser knows.
var methods = [...]string{
	"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE",
	"ACL", "BIND", "CHECKOUT", "COPY", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE",
	"MSEARCH", "NOTIFY", "PROPFIND", "PROPPATCH", "PURGE", "QUERY", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE",
	"UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
}

// methodOf returns the method that p spells, "" if there is none.
func methodOf(p []byte, custom bool) string {
	for _, m := range &methods {
		if m == string(p) {
			return m
		}
	}
	if s := stringOf(p); custom && isToken(s) {
		return s
	}
	return ""
}

// beginsMethod reports whether a method can begin with p.
func beginsMethod(p []byte, custom bool) bool {
	s := stringOf(p)
	for _, m := range &methods {
		if strings.HasPrefix(m, s) {
			return true
		}
	}
	return custom && isToken(s)
}
