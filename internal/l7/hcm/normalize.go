package hcm

import (
	"slices"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// escapedSlashes is what happens to "%2F" and "%5C" in a path.
type escapedSlashes uint8

const (
	keepSlashes escapedSlashes = iota
	rejectSlashes
	unescapeAndRedirect
	unescapeAndForward
)

// normalizePath brings :path into the form that filters and routes decide on, and
// reports false when it answered instead.
func (s *stream) normalizePath(h *httpmsg.Headers) bool {
	path := h.Get(httpmsg.Path)
	if strings.IndexByte(path, '#') >= 0 {
		return s.rejectPath()
	}
	cfg := s.cfg
	if !cfg.normalizePath && !cfg.mergeSlashes && cfg.slashes == keepSlashes {
		return true
	}
	path, query, hasQuery := strings.Cut(path, "?")
	original, redirect := path, false
	if cfg.slashes != keepSlashes {
		unescaped := unescapeSlashes(path)
		if unescaped != path {
			path, redirect = unescaped, cfg.slashes == unescapeAndRedirect
			if cfg.slashes == rejectSlashes {
				h.Set(httpmsg.Path, withQuery(path, query, hasQuery)) // as access logs of Envoy show it
				return s.rejectPath()
			}
		}
	}
	if cfg.normalizePath {
		canonical, ok := canonicalPath(path)
		if !ok {
			return s.rejectPath()
		}
		path = canonical
	}
	if cfg.mergeSlashes {
		path = mergeSlashes(path)
	}
	if path == original {
		return true
	}
	path = withQuery(path, query, hasQuery)
	h.Set(httpmsg.Path, path)
	if redirect && h.IsGRPC() {
		return s.rejectPath() // its clients follow no redirects
	}
	if redirect {
		cfg.stats.rqRedirectedWithNormalizedPath.Inc(s.m.shard)
		s.sendLocalReply(httpfilter.LocalReply{Status: 307, Details: "path_normalization_failed",
			Modify: func(h *httpmsg.Headers) { h.Set(httpmsg.Location, path) }})
		return false
	}
	return true
}

func withQuery(path, query string, hasQuery bool) string {
	if hasQuery {
		path += "?" + query
	}
	return path
}

func (s *stream) rejectPath() bool {
	s.cfg.stats.rqFailedPathNormalization.Inc(s.m.shard)
	s.reject(400, "", "path_normalization_failed")
	return false
}

// unescapeSlashes decodes the escaped forms of "/" and "\".
func unescapeSlashes(path string) string {
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	return slashUnescaper.Replace(path)
}

var slashUnescaper = strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", "\\", "%5C", "\\")

// mergeSlashes makes one "/" of several in a row.
func mergeSlashes(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	b := make([]byte, 0, len(path))
	for i := range len(path) {
		if path[i] == '/' && i > 0 && path[i-1] == '/' {
			continue
		}
		b = append(b, path[i])
	}
	return string(b)
}

// canonicalPath applies RFC 3986 section 6.2.2 to an absolute path without query:
// "\" becomes "/", escaped unreserved characters are decoded (once), dot segments,
// escaped ones too, are removed. It fails for an escaped NUL.
func canonicalPath(path string) (string, bool) {
	if !strings.ContainsAny(path, "%\\") && !strings.Contains(path, "/.") {
		return path, true
	}
	out := make([]byte, 0, len(path))
	for rest := path[1:]; ; {
		end := strings.IndexAny(rest, "/\\")
		segment, last := rest, end < 0
		if !last {
			segment = rest[:end]
		}
		start := len(out)
		out = append(out, '/')
		var ok bool
		if out, ok = appendSegment(out, segment); !ok {
			return "", false
		}
		// Parameters do not hide a dot segment: servers drop them.
		bare, _, _ := strings.Cut(segment, ";")
		up := string(out[start+1:]) == ".." || bare == ".."
		if up || string(out[start+1:]) == "." || bare == "." {
			out = out[:start]
			if up {
				if i := lastSlash(out); i >= 0 {
					out = out[:i]
				}
			}
			if last {
				out = append(out, '/')
			}
		}
		if last {
			return string(out), true
		}
		rest = rest[end+1:]
	}
}

func lastSlash(p []byte) int {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] == '/' {
			return i
		}
	}
	return -1
}

// appendSegment appends a path segment with its unreserved characters decoded. It
// escapes a percent sign of no escape that these characters would make one.
func appendSegment(out []byte, s string) ([]byte, bool) {
	stray := -1 // where in out the last such sign is
	for i := 0; i < len(s); i++ {
		d, escaped := unescape(s[i:])
		switch {
		case escaped && d == 0:
			return out, false
		case escaped && unreserved(d):
			out = append(out, d)
			i += 2
		case escaped:
			out = append(out, s[i:i+3]...)
			i += 2
		default:
			if s[i] == '%' {
				stray = len(out)
			}
			out = append(out, s[i])
		}
		if stray >= 0 && len(out) == stray+3 {
			if _, escape := unescape(string(out[stray:])); escape {
				out = slices.Insert(out, stray+1, '2', '5')
			}
		}
	}
	return out, true
}

// unescape returns the byte that the escape at the begin of s stands for.
func unescape(s string) (c byte, ok bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	hi, lo := unhex(s[1]), unhex(s[2])
	return hi<<4 | lo, hi < 16 && lo < 16
}

func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}

func unreserved(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// normalizeHost applies the options for the port and the trailing dot of
// :authority.
func (s *stream) normalizeHost(h *httpmsg.Headers) {
	cfg := s.cfg
	if cfg.stripPort == keepPort && !cfg.stripTrailingDot {
		return
	}
	host := h.Get(httpmsg.Authority)
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		name, port = host[:i], host[i:]
	}
	if cfg.stripPort == stripAnyPort || cfg.stripPort == stripMatchingPort && port == s.m.localPort() {
		port = ""
	}
	if cfg.stripTrailingDot {
		name = strings.TrimSuffix(name, ".")
	}
	if len(name)+len(port) != len(host) {
		h.Set(httpmsg.Authority, name+port)
	}
}
