package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// names are what only one run of a case has: they are put into what it sends and is
// configured with, and taken out of what is recorded.
type names struct {
	id    string            // begins the names of its listener, clusters, statistics
	log   string            // file
	dir   string            // of its files
	ports map[string]string // of its upstreams, by name
	seen  map[string]string // what an address of this run is in recordings
}

var (
	ownName    = regexp.MustCompile(`\$([a-z])`)
	repetition = regexp.MustCompile(`(?s)\{\{([^{}]+?) \* (\d+)\}\}`)
	fileOf     = regexp.MustCompile(`\{\{tls:([a-z0-9_.]+)\}\}`)
	portOf     = regexp.MustCompile(`\{\{port:([a-z0-9_]+)\}\}`)
)

// expand writes out the short forms of a text of a case.
func (n *names) expand(text string) string {
	text = strings.ReplaceAll(text, "⏎", " HTTP/1.1\r\nHost: a\r\n")
	text = strings.ReplaceAll(text, "{{log}}", n.log)
	text = strings.ReplaceAll(text, "{{dir}}", n.dir)
	text = fileOf.ReplaceAllString(text, certificates+"/$1")
	text = ownName.ReplaceAllString(text, n.id+"_$1")
	text = portOf.ReplaceAllStringFunc(text, func(m string) string { return n.ports[portOf.FindStringSubmatch(m)[1]] })
	return repetition.ReplaceAllStringFunc(text, func(m string) string {
		parts := repetition.FindStringSubmatch(m)
		times, _ := strconv.Atoi(parts[2])
		if !strings.Contains(parts[1], "%d") && !strings.Contains(parts[1], "%o") {
			return strings.Repeat(parts[1], times)
		}
		var b strings.Builder
		for i := range times {
			b.WriteString(strings.NewReplacer("%d", strconv.Itoa(i), "%o", strconv.Itoa(2*i+1)).Replace(parts[1]))
		}
		return b.String()
	})
}

// expandAll expands all texts of a configuration. A text that is only a port becomes a
// number.
func (n *names) expandAll(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, value := range v {
			m[n.expand(key)] = n.expandAll(value)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i := range v {
			l[i] = n.expandAll(v[i])
		}
		return l
	case string:
		text := n.expand(v)
		if m := portOf.FindString(v); m == v && m != "" {
			port, _ := strconv.Atoi(text)
			return port
		}
		return text
	}
	return v
}

// wireBytes are the bytes of a text: its characters up to U+00FF are one byte each.
func wireBytes(text string) ([]byte, error) {
	b := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			return nil, fmt.Errorf("%q is no byte", r)
		}
		b = append(b, byte(r))
	}
	return b, nil
}

// wireText is the inverse of wireBytes.
func wireText(b []byte) string {
	r := make([]rune, len(b))
	for i, c := range b {
		r[i] = rune(c)
	}
	return string(r)
}

var (
	address   = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	portValue = regexp.MustCompile(`(?m)("port_value": |^x-forwarded-port: )(\d+)`)
	date      = regexp.MustCompile(`(?im)^(date: )([A-Z][a-z]{2}, [^\r\n]*GMT)`)
	// What is left of the default timeout of a route when a request is tried again.
	timeLeft    = regexp.MustCompile(`(?m)^(x-envoy-expected-rq-timeout-ms: )1[34]\d{3}\b`)
	serviceTime = regexp.MustCompile(`(?im)^(x-envoy-upstream-service-time: )\d+`)
	updated     = regexp.MustCompile(`("last_updated": ")[^"]*"`)
	// What is left of the hundred years of a certificate.
	daysLeft = regexp.MustCompile(`("days_until_expiration": ")\d{5}"`)
	// The library of TLS says in its own words what is wrong.
	tlsError = regexp.MustCompile(`(TLS_error:).*?(:TLS_error_end)`)
	// Protobuf varies the start of its debug output so that nobody reads it.
	debugMark = regexp.MustCompile(`goo\.gle/debug\w+ +`)
	// What there is in admin is described in words of our own, and more of it.
	endpoints = regexp.MustCompile(`(?s)^((?:invalid path\. )?admin commands are:\n).*`)
	// The first digit of the third group tells whether and why the request is traced.
	requestID = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
)

// normalize takes out of a text what differs from run to run, and nothing else.
func (n *names) normalize(text string) string {
	text = strings.ReplaceAll(text, n.id+"_", "$")
	text = address.ReplaceAllStringFunc(text, func(m string) string {
		if name, ours := n.seen[m]; ours {
			return "{" + name + "}"
		}
		return m
	})
	text = portValue.ReplaceAllStringFunc(text, func(m string) string {
		parts := portValue.FindStringSubmatch(m)
		if name, ours := n.seen["127.0.0.1:"+parts[2]]; ours {
			return parts[1] + "{" + name + "}"
		}
		return m
	})
	text = date.ReplaceAllStringFunc(text, func(m string) string {
		parts := date.FindStringSubmatch(m)
		if at, err := http.ParseTime(parts[2]); err != nil || time.Since(at).Abs() > time.Hour {
			return m
		}
		return parts[1] + "NOW"
	})
	text = updated.ReplaceAllString(text, `${1}NOW"`)
	text = timeLeft.ReplaceAllString(text, "${1}15000 less what has passed")
	text = serviceTime.ReplaceAllString(text, "${1}MS")
	text = daysLeft.ReplaceAllString(text, `${1}DAYS"`)
	text = tlsError.ReplaceAllString(text, "${1}WHY$2")
	text = endpoints.ReplaceAllString(text, "${1}LIST")
	text = debugMark.ReplaceAllString(text, "goo.gle/debug ")
	text = requestID.ReplaceAllString(text, "UUID-$1")
	for _, own := range [...]struct{ path, name string }{{n.log, "{log}"}, {n.dir, "{dir}"}, {certificates, "{tls}"}} { // a log may lie beside its directory
		path, name := own.path, own.name
		if path != "" {
			text = strings.ReplaceAll(text, path, name)
		}
	}
	return text
}

// lines are the lines of a text as recordings have them.
func (n *names) lines(b []byte) []string {
	text := n.normalize(wireText(b))
	var lines []string
	for line := range strings.SplitAfterSeq(text, "\n") {
		if line != "" {
			lines = append(lines, shorten(line))
		}
	}
	return lines
}

// canonical orders the fields of a JSON text: Envoy writes maps in any order. Other texts
// stay as they are.
func canonical(text string) string {
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil || d.More() {
		return text
	}
	if _, object := v.(map[string]any); !object {
		return text
	}
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return text
	}
	return string(b)
}

// shorten writes long runs of one character as expand reads them.
func shorten(line string) string {
	const long = 40
	var b strings.Builder
	r := []rune(line)
	for i := 0; i < len(r); {
		j := i
		for j < len(r) && r[j] == r[i] {
			j++
		}
		if j-i >= long {
			fmt.Fprintf(&b, "{{%c * %d}}", r[i], j-i)
		} else {
			b.WriteString(string(r[i:j]))
		}
		i = j
	}
	return b.String()
}
