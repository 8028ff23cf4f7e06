package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A message is an HTTP/1 request or response as it was on the wire. It is read by
// this file and not by net/http, which would hide what the proxy really sent.
type message struct {
	head     string   // start line and headers with all line ends
	start    string   // start line
	headers  []string // "name: value" in their order
	body     string   // without the framing
	chunks   int      // data chunks the body came in
	trailers []string
}

// get returns the values of a header, joined by commas.
func (m *message) get(name string) string {
	var values []string
	for _, h := range m.headers {
		if n, v, _ := strings.Cut(h, ":"); strings.EqualFold(n, name) {
			values = append(values, strings.TrimSpace(v))
		}
	}
	return strings.Join(values, ",")
}

func (m *message) has(name string) bool {
	for _, h := range m.headers {
		if n, _, _ := strings.Cut(h, ":"); strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// status is the code of a response, path is that of a request.
func (m *message) status() int {
	code, err := strconv.Atoi(m.word(1))
	if err != nil {
		return -1
	}
	return code
}

func (m *message) path() string { return m.word(1) }

func (m *message) word(n int) string {
	if words := strings.SplitN(m.start, " ", 3); n < len(words) {
		return words[n]
	}
	return ""
}

// readHead reads the start line and the headers.
func readHead(r *bufio.Reader) (*message, error) {
	m := &message{}
	for first := true; ; first = false {
		line, err := r.ReadString('\n')
		m.head += line
		if err != nil {
			if m.head != "" && errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w after %q", io.ErrUnexpectedEOF, m.head)
			}
			return m, err
		}
		line = strings.TrimSuffix(line, "\r\n")
		switch {
		case line == "" && !first:
			return m, nil
		case first:
			m.start = line
		default:
			m.headers = append(m.headers, line)
		}
	}
}

// readRequest reads a request with its body.
func readRequest(r *bufio.Reader) (*message, error) {
	m, err := readHead(r)
	if err != nil {
		return m, err
	}
	if m.get("expect") == "100-continue" {
		return m, nil // the script reads the body when it has said continue
	}
	return m, m.readBody(r, false)
}

// readResponse reads the response to a request with the given method. An interim
// response is a response of its own here.
func readResponse(r *bufio.Reader, method string) (*message, error) {
	m, err := readHead(r)
	if err != nil {
		return m, err
	}
	if s := m.status(); method == "HEAD" || s < 200 || s == 204 || s == 304 || (method == "CONNECT" && s == 200) {
		return m, nil
	}
	return m, m.readBody(r, true)
}

// readBody reads what the headers announce; untilClose is what a message without
// framing means.
func (m *message) readBody(r *bufio.Reader, untilClose bool) error {
	var body strings.Builder
	defer func() { m.body = body.String() }()
	length := m.get("content-length")
	switch {
	case m.get("transfer-encoding") == "chunked":
		return m.readChunks(r, &body)
	case length != "":
		n, err := strconv.ParseInt(length, 10, 64)
		if err != nil {
			return err
		}
		_, err = io.CopyN(&body, r, n)
		return err
	case untilClose:
		_, err := io.Copy(&body, r)
		return err
	}
	return nil
}

func (m *message) readChunks(r *bufio.Reader, body io.Writer) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(line, "\r\n"), 16, 64)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		m.chunks++
		if _, err := io.CopyN(body, r, n); err != nil {
			return err
		}
		if end, err := r.ReadString('\n'); end != "\r\n" {
			return fmt.Errorf("a chunk ends with %q: %w", end, err)
		}
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			return nil
		}
		m.trailers = append(m.trailers, strings.TrimSuffix(line, "\r\n"))
	}
}
