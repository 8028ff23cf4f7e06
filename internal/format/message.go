package format

import (
	"fmt"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// message adds the operators on request and response.
func (t table) message() {
	request := headerSpec(func(e *format.Entry) *httpmsg.Headers { return e.Request })
	response := headerSpec(func(e *format.Entry) *httpmsg.Headers { return e.Response })
	trailer := headerSpec(func(e *format.Entry) *httpmsg.Headers { return e.Trailers })
	t["REQ"], t["REQUEST_HEADER"] = request, request
	t["RESP"], t["RESPONSE_HEADER"] = response, response
	t["TRAILER"], t["RESPONSE_TRAILER"] = trailer, trailer
	t["PATH"] = spec{args: optionalArgs, limit: true, build: buildPath}
	t["QUERY_PARAM"] = spec{args: requiredArgs, limit: true, encode: true, build: buildQueryParam}
	t["QUERY_PARAMS"] = spec{args: optionalArgs, limit: true, build: buildQueryParams}
	t["REQUESTED_SERVER_NAME"] = spec{args: optionalArgs, build: buildServerName}
	t["GRPC_STATUS"] = spec{args: optionalArgs, build: buildGRPCStatus}
	t.add("GRPC_STATUS_NUMBER", grpcStatus(grpcNumber))
}

// A header finds one header field.
type header struct {
	name string // lower case
	id   httpmsg.ID
}

func newHeader(name string) header { return header{name, httpmsg.Lookup(name)} }

// find returns the value of the first field with the name.
func (x *header) find(h *httpmsg.Headers) (value string, ok bool) {
	switch {
	case h == nil || x.name == "":
		return "", false
	case x.id != httpmsg.Unknown:
		return h.Get(x.id), h.Has(x.id)
	}
	return h.Find(x.name)
}

func get(h *httpmsg.Headers, id httpmsg.ID) string {
	if h == nil {
		return ""
	}
	return h.Get(id)
}

// headerSpec is NAME(X?Y): the header X, or else Y.
func headerSpec(of func(*format.Entry) *httpmsg.Headers) spec {
	build := func(_ *Compiler, arg string) (operator, error) {
		names, err := format.ParseHeaderNames(arg)
		if err != nil {
			return nil, err
		}
		x, y := newHeader(names[0]), newHeader(names[1])
		return func(dst []byte, e *format.Entry) ([]byte, kind) {
			h := of(e)
			value, ok := x.find(h)
			if !ok {
				value, ok = y.find(h)
			}
			if !ok {
				return dst, missing
			}
			return append(dst, value...), text
		}, nil
	}
	return spec{args: requiredArgs, limit: true, build: build}
}

// choose returns the index of the option that is written, 0 for none.
func choose(name, written string, options ...string) (int, error) {
	if written == "" {
		return 0, nil
	}
	for i, o := range options {
		if o == written {
			return i, nil
		}
	}
	return 0, fmt.Errorf("Invalid %s option: '%s', only '%s' are allowed", name, written, strings.Join(options, "'/'"))
}

// buildPath is PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH): the path with or without its query,
// of the original path header, of the path, or of the first of them that is there.
func buildPath(_ *Compiler, arg string) (operator, error) {
	queryOption, rest, _ := strings.Cut(arg, ":")
	source, _, _ := strings.Cut(rest, ":")
	noQuery, err := choose("PATH", queryOption, "WQ", "NQ")
	if err != nil {
		return nil, err
	}
	which := 2
	if source != "" {
		if which, err = choose("PATH", source, "ORIG", "PATH", "ORIG_OR_PATH"); err != nil {
			return nil, err
		}
	}
	return func(dst []byte, e *format.Entry) ([]byte, kind) {
		var path string
		if which != 1 {
			path = get(e.Request, httpmsg.XEnvoyOriginalPath)
		}
		if which == 1 || which == 2 && path == "" {
			path = get(e.Request, httpmsg.Path)
		}
		if noQuery == 1 {
			path, _, _ = strings.Cut(path, "?")
		}
		return appendFound(dst, path)
	}, nil
}

// query returns what follows the question mark of the original path, if the path was
// rewritten, or of the path.
func query(e *format.Entry) string {
	path := get(e.Request, httpmsg.XEnvoyOriginalPath)
	if path == "" {
		path = get(e.Request, httpmsg.Path)
	}
	_, query, _ := strings.Cut(path, "?")
	return query
}

// buildQueryParam is QUERY_PARAM(name): the first value of a query parameter, decoded.
func buildQueryParam(_ *Compiler, name string) (operator, error) {
	return func(dst []byte, e *format.Entry) ([]byte, kind) {
		start := len(dst)
		for rest := query(e); rest != ""; {
			var param string
			param, rest, _ = strings.Cut(rest, "&")
			key, value, _ := strings.Cut(param, "=")
			dst = appendDecoded(dst[:start], key)
			if string(dst[start:]) == name {
				return appendDecoded(dst[:start], value), text
			}
		}
		return dst[:start], missing
	}, nil
}

// appendDecoded appends s with its percent escapes replaced by their bytes; what is
// no escape stays.
func appendDecoded(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		b := s[i]
		if b == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			b = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
		}
		dst = append(dst, b)
	}
	return dst
}

// buildQueryParams is QUERY_PARAMS(ORIG|DECODED): the query.
func buildQueryParams(_ *Compiler, arg string) (operator, error) {
	decoded, err := choose("QUERY_PARAMS", arg, "ORIG", "DECODED")
	if err != nil {
		return nil, err
	}
	if decoded == 0 {
		return func(dst []byte, e *format.Entry) ([]byte, kind) { return appendFound(dst, query(e)) }, nil
	}
	return func(dst []byte, e *format.Entry) ([]byte, kind) {
		q := query(e)
		if q == "" {
			return dst, missing
		}
		return appendReadable(dst, q), text
	}, nil
}

// appendReadable appends s with the percent escapes of harmless printable characters
// replaced by them. A percent sign that begins no escape is left out, as in Envoy.
func appendReadable(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		b := s[i]
		if b == '%' && i+2 < len(s) {
			if !isHex(s[i+1]) || !isHex(s[i+2]) {
				continue
			}
			c := unhex(s[i+1])<<4 | unhex(s[i+2])
			if c > ' ' && c < 0x7f && !strings.ContainsRune("\"<>\\^{|}", rune(c)) {
				b = c
				i += 2
			}
		}
		dst = append(dst, b)
	}
	return dst
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

func unhex(b byte) byte {
	if b <= '9' {
		return b - '0'
	}
	return b&^0x20 - 'A' + 10
}

// buildServerName is REQUESTED_SERVER_NAME(SNI_ONLY|SNI_FIRST|HOST_FIRST:ORIG|HOST|
// ORIG_OR_HOST): the server name of the TLS handshake, and the host of the request.
func buildServerName(_ *Compiler, arg string) (operator, error) {
	order, rest, _ := strings.Cut(arg, ":")
	source, _, _ := strings.Cut(rest, ":")
	use, err := choose("REQUESTED_SERVER_NAME", order, "SNI_ONLY", "SNI_FIRST", "HOST_FIRST")
	if err != nil {
		return nil, err
	}
	which, err := choose("REQUESTED_SERVER_NAME", source, "ORIG_OR_HOST", "HOST", "ORIG")
	if err != nil {
		return nil, err
	}
	host := func(e *format.Entry) (name string) {
		if which != 1 {
			name = get(e.Request, httpmsg.XEnvoyOriginalHost)
		}
		if which != 2 && name == "" {
			name = get(e.Request, httpmsg.Authority)
		}
		return name
	}
	return func(dst []byte, e *format.Entry) ([]byte, kind) {
		var name string
		if use == 2 {
			name = host(e)
		}
		if d := e.Stream.Downstream; name == "" && d != nil {
			name = d.RequestedServerName
		}
		if use == 1 && name == "" {
			name = host(e)
		}
		return appendFound(dst, name)
	}, nil
}
