//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"strings"
	"testing"
)

func TestParseRequest(t *testing.T) {
	for _, test := range []struct {
		name, in, path string
		rest           string // after the request
		err            error
	}{
		{name: "plain", in: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", path: "/"},
		{name: "no fields", in: "GET /1m HTTP/1.1\r\n\r\n", path: "/1m"},
		{name: "pipelined", in: "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b", path: "/a", rest: "GET /b"},
		{name: "empty body", in: "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", path: "/"},
		{name: "nothing", in: "", err: errIncomplete},
		{name: "cut", in: "GET / HTTP/1.1\r\nHost: a\r\n", err: errIncomplete},
		{name: "other method", in: "POST / HTTP/1.1\r\n\r\n", err: errRequest},
		{name: "other version", in: "GET / HTTP/1.0\r\n\r\n", err: errRequest},
		{name: "no path", in: "GET  HTTP/1.1\r\n\r\n", err: errRequest},
		{name: "body", in: "GET / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello", err: errBody},
		{name: "chunked", in: "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", err: errBody},
		{name: "endless", in: "GET /" + strings.Repeat("a", maxHead), err: errLongHead},
	} {
		t.Run(test.name, func(t *testing.T) {
			path, n, err := parseRequest([]byte(test.in))
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if err == nil && (string(path) != test.path || test.in[n:] != test.rest) {
				t.Errorf("path %q, rest %q; want %q, %q", path, test.in[n:], test.path, test.rest)
			}
		})
	}
}

func TestResponse(t *testing.T) {
	for _, test := range []struct {
		name, in string
		reply    int
		done     bool
		err      error
	}{
		{name: "plain", in: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", done: true},
		{name: "length is not first", in: "HTTP/1.1 200 OK\r\nserver: envoy\r\ncontent-length:3\r\nx: y\r\n\r\nabc", done: true},
		{name: "no body", in: "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", done: true},
		{name: "part of the body", in: "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab"},
		{name: "part of the head", in: "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r"},
		{name: "too much", in: "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcd", err: errExcess},
		{name: "failure", in: "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", err: errStatus},
		{name: "no length", in: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", err: errLength},
		{name: "negative length", in: "HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\n", err: errLength},
		{name: "no end", in: "HTTP/1.1 200 OK\r\nx: " + strings.Repeat("a", maxHead), err: errLongHead},
		{name: "echo", in: "abc", reply: 3, done: true},
		{name: "part of an echo", in: "ab", reply: 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, step := range []int{len(test.in), 1, 7} {
				done, err := feedAll(test.in, step, test.reply)
				if done != test.done || !errors.Is(err, test.err) {
					t.Errorf("in pieces of %d: done %v, error %v; want %v, %v", step, done, err, test.done, test.err)
				}
			}
		})
	}
}

// feedAll feeds text in pieces until it is used up or fails.
func feedAll(text string, step, reply int) (done bool, err error) {
	var r response
	r.reset(reply)
	for len(text) > 0 && err == nil {
		n := min(step, len(text))
		done, err = r.feed([]byte(text[:n]))
		text = text[n:]
	}
	return done, err
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		path, n, err := parseRequest(in)
		if err != nil {
			return
		}
		if n > len(in) || len(path) == 0 {
			t.Fatalf("path %q, length %d of %d", path, n, len(in))
		}
		for cut := range n {
			if _, _, err := parseRequest(in[:cut]); !errors.Is(err, errIncomplete) {
				t.Fatalf("cut at %d of %d: %v", cut, n, err)
			}
		}
	})
}

func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"))
	f.Fuzz(func(t *testing.T, in []byte) {
		wantDone, wantErr := feedAll(string(in), len(in), 0)
		for cut := 1; cut < len(in); cut++ {
			var r response
			r.reset(0)
			done, err := r.feed(in[:cut])
			if err == nil {
				done, err = r.feed(in[cut:])
			}
			if done != wantDone || (err == nil) != (wantErr == nil) {
				t.Fatalf("cut at %d: %v %v, whole: %v %v", cut, done, err, wantDone, wantErr)
			}
		}
	})
}
