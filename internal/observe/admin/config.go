package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"github.com/nuncio-proxy/nuncio/api/adminhook"
)

// RuntimeValues is the runtime as /runtime shows it. The JSON is Envoy's.
type RuntimeValues struct {
	// Layers are the layers' names, what counts most last.
	Layers []string `json:"layers"`
	// Entries are the values by key.
	Entries map[string]RuntimeEntry `json:"entries"`
}

// A RuntimeEntry is one value.
type RuntimeEntry struct {
	Final  string   `json:"final_value"`
	Layers []string `json:"layer_values"` // what each layer says, "" for nothing
}

// configEndpoints show and change configuration.
func (s *Server) configEndpoints() []adminhook.Endpoint {
	return []adminhook.Endpoint{
		{Path: "/config_dump", Help: "print the configuration that is loaded", Serve: s.serveConfigDump, Params: []adminhook.Param{
			{Name: "resource", Help: "Only this list of resources, for example static_clusters"},
			{Name: "mask", Help: "Only these fields (a FieldMask) of the configuration, or of every element of resource"},
			{Name: "name_regex", Help: "Only resources whose names match this regular expression (RE2)"},
			{Name: "include_eds", Flag: true, Help: "Show endpoints too"},
		}},
		{Path: "/runtime", Help: "print the runtime values", Serve: s.serveRuntime},
		{Path: "/runtime_modify", Help: "set runtime values: ?key1=value1&key2=value2; an empty value removes what was set before",
			Mutates: true, Serve: s.serveRuntimeModify},
		{Path: "/logging", Help: "print or change the levels of the loggers", Mutates: true, Serve: s.serveLogging, Params: []adminhook.Param{
			{Name: "paths", Help: "Change several loggers: <name1>:<level1>,<name2>:<level2>"},
			{Name: "level", Help: "Change all loggers", Options: []string{"", "trace", "debug", "info", "warning", "error", "critical", "off"}},
		}},
	}
}

func (s *Server) serveRuntime(w http.ResponseWriter, _ *http.Request, _ url.Values) {
	values := s.config.Runtime()
	if values.Layers == nil {
		values.Layers = []string{}
	}
	if values.Entries == nil {
		values.Entries = map[string]RuntimeEntry{}
	}
	w.Header().Set("Content-Type", jsonText)
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(values); err != nil {
		return // the client went away
	}
}

func (s *Server) serveRuntimeModify(w http.ResponseWriter, _ *http.Request, query url.Values) {
	if len(query) == 0 {
		fail(w, http.StatusBadRequest, "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n"+
			"       or send the parameters as form values\n"+
			"use an empty value to remove a previously added override")
		return
	}
	changes := map[string]string{}
	for key := range query {
		changes[key] = query.Get(key)
	}
	if err := s.config.ModifyRuntime(changes); err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	ok(w)
}

func (s *Server) serveLogging(w http.ResponseWriter, _ *http.Request, query url.Values) {
	status, body := s.config.Logging(query)
	w.WriteHeader(status)
	io.WriteString(w, body)
}
