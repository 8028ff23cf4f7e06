//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"errors"
	"strconv"
)

// maxHead bounds a request's or response's head.
const maxHead = 16 << 10

var (
	errIncomplete = errors.New("incomplete head")
	errLongHead   = errors.New("head is too long")
	errRequest    = errors.New("malformed request")
	errBody       = errors.New("request has a body")
	errStatus     = errors.New("response is not HTTP/1.1 200")
	errLength     = errors.New("response has no valid content-length")
	errExcess     = errors.New("bytes after the response's end")
)

var headEnd = []byte("\r\n\r\n")

// splitHead returns the head at the start of p, up to and with its empty line.
func splitHead(p []byte) ([]byte, error) {
	end := bytes.Index(p, headEnd)
	switch {
	case end >= 0 && end <= maxHead:
		return p[:end+len(headEnd)], nil
	case len(p) > maxHead:
		return nil, errLongHead
	}
	return nil, errIncomplete
}

// headerValue returns the value of the field name (lower case) in head, nil if
// head has none.
func headerValue(head []byte, name string) []byte {
	for {
		_, rest, ok := bytes.Cut(head, headEnd[:2])
		if !ok || len(rest) == 0 {
			return nil
		}
		head = rest
		if len(head) > len(name) && head[len(name)] == ':' && head[0]|0x20 == name[0] &&
			bytes.EqualFold(head[:len(name)], []byte(name)) {
			value, _, _ := bytes.Cut(head[len(name)+1:], headEnd[:2])
			return bytes.TrimSpace(value)
		}
	}
}

// parseRequest returns the path of the GET request at the start of p and the
// request's length. It fails with errIncomplete until the head is complete.
func parseRequest(p []byte) (path []byte, length int, err error) {
	head, err := splitHead(p)
	if err != nil {
		return nil, 0, err
	}
	line, _, _ := bytes.Cut(head, headEnd[:2])
	path, get := bytes.CutPrefix(line, []byte("GET "))
	path, http := bytes.CutSuffix(path, []byte(" HTTP/1.1"))
	switch {
	case !get || !http || len(path) == 0:
		return nil, 0, errRequest
	case headerValue(head, "transfer-encoding") != nil:
		return nil, 0, errBody
	}
	if n := headerValue(head, "content-length"); n != nil && string(n) != "0" {
		return nil, 0, errBody
	}
	return path, len(head), nil
}

// A response follows one response through the bytes of its connection.
type response struct {
	head []byte // of a head that came in several pieces
	body int    // bytes of the body still to come, -1 before the head's end
}

// reset prepares for the next response. With a positive length the response
// is that many bytes without a head.
func (r *response) reset(length int) {
	r.head = r.head[:0]
	r.body = -1
	if length > 0 {
		r.body = length
	}
}

// feed takes the next bytes of the connection and says whether they complete
// the response.
func (r *response) feed(p []byte) (done bool, err error) {
	if r.body < 0 {
		whole := p
		if len(r.head) > 0 {
			r.head = append(r.head, p...)
			whole = r.head
		}
		head, err := splitHead(whole)
		if errors.Is(err, errIncomplete) {
			if len(r.head) == 0 {
				r.head = append(r.head, p...)
			}
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
			return false, errStatus
		}
		length, err := strconv.Atoi(string(headerValue(head, "content-length")))
		if err != nil || length < 0 {
			return false, errLength
		}
		r.body = length
		p = whole[len(head):]
	}
	if len(p) > r.body {
		return false, errExcess
	}
	r.body -= len(p)
	return r.body == 0, nil
}
