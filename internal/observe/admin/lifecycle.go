package admin

import (
	"io"
	"net/http"
	"net/url"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"

	"github.com/nuncio-proxy/nuncio/api/adminhook"
)

// lifecycleEndpoints show and steer the server.
func (s *Server) lifecycleEndpoints() []adminhook.Endpoint {
	life := s.config.Lifecycle
	return []adminhook.Endpoint{
		{Path: "/ready", Help: "print the server's state: 200 if it is LIVE, 503 otherwise", Serve: s.serveReady},
		{Path: "/server_info", Help: "print version, state and options of the server", Serve: func(w http.ResponseWriter, _ *http.Request, _ url.Values) {
			writeFullJSON(w, life.Info())
		}},
		{Path: "/hot_restart_version", Help: "print the version of the hot restart protocol", Serve: func(w http.ResponseWriter, _ *http.Request, _ url.Values) {
			io.WriteString(w, s.config.HotRestartVersion)
		}},
		{Path: "/init_dump", Help: "print what initialization waits for", Serve: s.serveInitDump, Params: []adminhook.Param{
			{Name: "mask", Help: "The part of the server to show, for example listener"},
		}},
		{Path: "/healthcheck/fail", Help: "make health checks fail", Mutates: true, Serve: action(life.FailHealthChecks)},
		{Path: "/healthcheck/ok", Help: "make health checks pass again", Mutates: true, Serve: action(life.PassHealthChecks)},
		{Path: "/drain_listeners", Help: "drain the listeners", Mutates: true, Serve: s.serveDrain, Params: []adminhook.Param{
			{Name: "graceful", Flag: true, Help: "Ask clients to leave over the drain time before the listeners close"},
			{Name: "skip_exit", Flag: true, Help: "Ask clients to leave, but never close the listeners"},
			{Name: "inboundonly", Flag: true, Help: "Only the listeners whose traffic_direction is INBOUND"},
		}},
		{Path: "/quitquitquit", Help: "shut the server down", Mutates: true, Serve: s.serveQuit},
		{Path: "/reopen_logs", Help: "reopen the access logs", Mutates: true, Serve: action(s.config.ReopenLogs)},
	}
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request, _ url.Values) {
	state := s.config.Lifecycle.State()
	if state != adminv3.ServerInfo_LIVE {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	io.WriteString(w, state.String()+"\n")
}

func (s *Server) serveInitDump(w http.ResponseWriter, _ *http.Request, query url.Values) {
	dump := &adminv3.UnreadyTargetsDumps{}
	if s.config.Unready != nil {
		dump = s.config.Unready(query.Get("mask"))
	}
	s.writeJSON(w, dump)
}

func (s *Server) serveDrain(w http.ResponseWriter, _ *http.Request, query url.Values) {
	s.config.Lifecycle.DrainListeners(query.Has("graceful"), query.Has("skip_exit"), query.Has("inboundonly"))
	ok(w)
}

func (s *Server) serveQuit(w http.ResponseWriter, _ *http.Request, _ url.Values) {
	ok(w)
	_ = http.NewResponseController(w).Flush() // the answer leaves even if the server is quick; the client may have left
	s.config.Lifecycle.Quit()
}
