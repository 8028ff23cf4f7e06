package why

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/adminhook"
)

// defaultLast is how many answers /why shows unless it is told.
const defaultLast = 20

// Endpoint is GET /why.
func (l *Log) Endpoint() adminhook.Endpoint {
	return adminhook.Endpoint{
		Path: "/why", Help: "explain the last answers that the proxy gave by itself, the newest first", Serve: l.serve,
		Params: []adminhook.Param{
			{Name: "last", Help: "How many to show; 20 unless given"},
			{Name: "id", Help: "Only the request with this x-request-id"},
			{Name: "status", Help: "Only answers with this status"},
			{Name: "flag", Help: "Only answers with this response flag, as NR"},
			{Name: "format", Help: "How to write it", Options: []string{"text", "json"}},
		},
	}
}

func (l *Log) serve(w http.ResponseWriter, _ *http.Request, query url.Values) {
	want, n, err := selection(query)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answers := []*explanation{}
	for _, e := range l.last(n, want) {
		answers = append(answers, e.explain())
	}
	if query.Get("format") == "json" {
		w.Header().Set("content-type", "application/json")
		out := json.NewEncoder(w)
		out.SetEscapeHTML(false)
		out.SetIndent("", " ")
		_ = out.Encode(map[string]any{"answers": answers}) // the client may be gone
		return
	}
	if len(answers) == 0 {
		fmt.Fprintln(w, "no such answer is remembered")
	}
	for _, x := range answers {
		fmt.Fprintln(w, x.text())
	}
}

// selection reads the query.
func selection(query url.Values) (want func(*entry) bool, n int, err error) {
	n = defaultLast
	if text := query.Get("last"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			return nil, 0, fmt.Errorf("last must be a number from 1, not %q", text)
		}
	}
	status := 0
	if text := query.Get("status"); text != "" {
		if status, err = strconv.Atoi(text); err != nil {
			return nil, 0, fmt.Errorf("status must be a number, not %q", text)
		}
	}
	switch f := query.Get("format"); f {
	case "", "text", "json":
	default:
		return nil, 0, fmt.Errorf("format must be text or json, not %q", f)
	}
	id, flag := query.Get("id"), query.Get("flag")
	return func(e *entry) bool {
		return (id == "" || e.stream.RequestID == id) &&
			(!query.Has("status") || e.stream.ResponseCode == status) &&
			(flag == "" || slices.Contains(strings.Split(string(e.stream.Flags.Append(nil)), ","), flag))
	}, n, nil
}
