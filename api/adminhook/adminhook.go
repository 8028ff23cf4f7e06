// Package adminhook is how engine rooms and extensions add endpoints to the admin
// server. Admin is no data path: its handlers are those of net/http.
package adminhook

import (
	"net/http"
	"net/url"
	"strings"
)

// An Endpoint is one path of the admin server. It is immutable once registered.
type Endpoint struct {
	// Path is matched exactly, for example "/stats".
	Path string
	// Help is one line for /help and the index page.
	Help string
	// Mutates says that the endpoint changes state: it answers to POST only.
	Mutates bool
	// Params are the query parameters, for /help and the index page's forms.
	Params []Param
	// Serve answers a request.
	Serve Handler
}

// A Param describes one query parameter of an endpoint.
type Param struct {
	Name string
	Help string
	// Options are the values to choose from; empty for any text.
	Options []string
	// Flag says that the parameter has no value: being there is enough.
	Flag bool
}

// A Handler answers one request. It is called on goroutines of the admin server,
// several at a time, never on a worker, and may block for a short while. It must
// not wait for a worker. The content type is text/plain unless the handler sets
// another; query has the parameters as ParseQuery gives them, or those of the
// posted form if the address has none. The request's body is limited in size.
type Handler func(w http.ResponseWriter, r *http.Request, query url.Values)

// ParseQuery reads a query string as Envoy does: unlike url.ParseQuery it leaves
// "+" alone, which is common in filters, and takes a "%" that starts no escape,
// and ";", for itself.
func ParseQuery(raw string) url.Values {
	query := url.Values{}
	raw, _, _ = strings.Cut(raw, "#")
	for _, item := range strings.Split(raw, "&") {
		if item == "" {
			continue
		}
		key, value, _ := strings.Cut(item, "=")
		query.Add(unescape(key), unescape(value))
	}
	return query
}

func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, ok1 := hex(s[i+1])
			low, ok2 := hex(s[i+2])
			if ok1 && ok2 {
				b.WriteByte(high<<4 | low)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func hex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
