package stats

import (
	"io"
	"net/http"
	"net/url"

	"github.com/nuncio-proxy/nuncio/api/adminhook"
)

// Endpoints returns the admin endpoints of the store: /stats, /stats/prometheus,
// /reset_counters and /stats/recentlookups with its children.
func (s *Store) Endpoints() []adminhook.Endpoint {
	used := adminhook.Param{Name: "usedonly", Flag: true, Help: "Only show metrics that were written since the start"}
	filter := adminhook.Param{Name: "filter", Help: "Only show metrics whose names match this regular expression (RE2)"}
	invert := adminhook.Param{Name: "invert_filter", Flag: true, Help: "Show what does not match the filter instead"}
	return []adminhook.Endpoint{
		{Path: "/stats", Help: "print the statistics", Serve: s.serveStats, Params: []adminhook.Param{
			used, filter, invert,
			{Name: "format", Help: "How to write them", Options: []string{"html", "active-html", "text", "json"}},
			{Name: "type", Help: "Kind of metrics to show", Options: []string{"All", "Counters", "Histograms", "Gauges", "TextReadouts"}},
			{Name: "histogram_buckets", Help: "What to show of histograms", Options: []string{"cumulative", "disjoint", "detailed", "summary"}},
		}},
		{Path: "/stats/prometheus", Help: "print the statistics for Prometheus", Serve: s.servePrometheus, Params: []adminhook.Param{
			used,
			{Name: "text_readouts", Flag: true, Help: "Show texts too, as labels of gauges that are 0"},
			filter, invert,
			{Name: "histogram_buckets", Help: "What to show of histograms", Options: []string{"cumulative", "summary"}},
		}},
		{Path: "/reset_counters", Help: "set all counters to zero", Mutates: true, Serve: s.serveReset},
		{Path: "/stats/recentlookups", Help: "explain why no look-ups of names are recorded", Serve: serveLookups},
		{Path: "/stats/recentlookups/clear", Help: "do nothing: no look-ups are recorded", Mutates: true, Serve: serveOK},
		{Path: "/stats/recentlookups/disable", Help: "do nothing: no look-ups are recorded", Mutates: true, Serve: serveOK},
		{Path: "/stats/recentlookups/enable", Help: "do nothing: no look-ups are recorded", Mutates: true, Serve: serveOK},
	}
}

func (s *Store) serveStats(w http.ResponseWriter, _ *http.Request, params url.Values) {
	s.serve(w, params)
}

func (s *Store) servePrometheus(w http.ResponseWriter, _ *http.Request, params url.Values) {
	params.Set("format", string(prometheusFormat))
	s.serve(w, params)
}

func (s *Store) serve(w http.ResponseWriter, params url.Values) {
	q, err := parseQuery(params)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, err.Error())
		return
	}
	if s.config.FlushOnAdmin {
		s.Flush()
	}
	var write func(io.Writer, *query) error
	switch q.format {
	case jsonFormat:
		w.Header().Set("Content-Type", "application/json")
		write = s.writeJSON
	case htmlFormat, activeHTMLFormat:
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		write = s.writeHTML
	case prometheusFormat:
		write = s.writePrometheus
	default:
		write = s.writeText
	}
	w.WriteHeader(http.StatusOK) // now, so that this answer is among those counted
	if err := write(w, &q); err != nil {
		return // the client went away
	}
}

func (s *Store) serveReset(w http.ResponseWriter, r *http.Request, params url.Values) {
	s.ResetCounters()
	serveOK(w, r, params)
}

// serveLookups answers for a diagnosis that Envoy's symbol table needs: a look-up on
// the data path. Nuncio's metrics are looked up at configuration time only.
func serveLookups(w http.ResponseWriter, _ *http.Request, _ url.Values) {
	io.WriteString(w, "Metrics are looked up when configuration is loaded, never while serving: there is nothing to record.\n\ntotal: 0\n")
}

func serveOK(w http.ResponseWriter, _ *http.Request, _ url.Values) { io.WriteString(w, "OK\n") }
