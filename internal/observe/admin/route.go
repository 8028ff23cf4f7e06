package admin

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/adminhook"
)

const (
	plainText = "text/plain; charset=UTF-8"
	htmlText  = "text/html; charset=UTF-8"
	jsonText  = "application/json"
)

// builtin returns the endpoints of this package.
func (s *Server) builtin() []adminhook.Endpoint {
	return slices.Concat(
		[]adminhook.Endpoint{
			{Path: "/", Help: "this page", Serve: s.serveIndex},
			{Path: "/help", Help: "list the endpoints", Serve: s.serveHelp},
		},
		s.lifecycleEndpoints(), s.statusEndpoints(), s.configEndpoints(), s.processEndpoints())
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := &response{ResponseWriter: rw, status: http.StatusOK, traffic: s.traffic}
	if s.traffic != nil {
		defer s.traffic.begin(r)()
	}
	if s.config.AccessLog != nil {
		done := s.config.AccessLog(r)
		defer func() { done(w.status, w.bytes) }()
	}
	header := w.Header()
	header.Set("Content-Type", plainText)
	header.Set("Cache-Control", "no-cache, max-age=0")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Server", "envoy")
	if r.ProtoAtLeast(1, 1) {
		header.Set("Transfer-Encoding", "chunked")
	}
	at := normalized(r.URL.Path)
	asked := at
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		asked += "?" + r.URL.RawQuery
	}
	if !s.allowed(asked) {
		fail(w, http.StatusForbidden, "request to path "+asked+" not allowed")
		return
	}
	i, found := slices.BinarySearchFunc(s.endpoints, at, func(e adminhook.Endpoint, path string) int {
		return strings.Compare(e.Path, path)
	})
	if !found {
		fail(w, http.StatusNotFound, "invalid path. "+s.help)
		return
	}
	e := &s.endpoints[i]
	if e.Mutates && r.Method != http.MethodPost {
		s.config.Log(`admin path "` + e.Path + `" mutates state, method=` + r.Method + " rather than POST")
		fail(w, http.StatusMethodNotAllowed, "Method "+r.Method+" not allowed, POST required.")
		return
	}
	r.Body = http.MaxBytesReader(rw, r.Body, maxBodyBytes)
	query, err := parameters(r)
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, "Payload Too Large")
		return
	}
	e.Serve(w, r, query)
	if !w.begun {
		w.WriteHeader(w.status)
	}
}

// normalized is a path without empty segments, "." and "..".
func normalized(at string) string {
	clean := path.Clean("/" + at)
	if strings.HasSuffix(at, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

func (s *Server) allowed(path string) bool {
	return len(s.config.AllowPaths) == 0 ||
		slices.ContainsFunc(s.config.AllowPaths, func(allow func(string) bool) bool { return allow(path) })
}

// parameters returns those of the address, or of a posted form if there are none.
func parameters(r *http.Request) (url.Values, error) {
	query := adminhook.ParseQuery(r.URL.RawQuery)
	if len(query) > 0 || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return query, nil
	}
	form, err := io.ReadAll(r.Body)
	return adminhook.ParseQuery(string(form)), err
}

// response notes what statistics and the access log want to know.
type response struct {
	http.ResponseWriter
	traffic *traffic // nil if it is not counted
	begun   bool
	status  int
	bytes   int64
}

func (w *response) WriteHeader(status int) {
	if w.status = status; !w.begun && w.traffic != nil {
		w.traffic.answered(status)
	}
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(w.status)
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// fail answers with an error.
func fail(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	io.WriteString(w, message)
}

func ok(w http.ResponseWriter) { io.WriteString(w, "OK\n") }

// action makes the handler of an endpoint that does something and says OK.
func action(f func()) adminhook.Handler {
	return func(w http.ResponseWriter, _ *http.Request, _ url.Values) {
		f()
		ok(w)
	}
}

// writeJSON answers with a message.
func (s *Server) writeJSON(w http.ResponseWriter, msg proto.Message) {
	w.Header().Set("Content-Type", jsonText)
	w.Write(append(s.config.JSON(msg), '\n'))
}

// writeFullJSON answers with a message of which fields without a value are shown too.
func writeFullJSON(w http.ResponseWriter, msg proto.Message) {
	compact, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(msg)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	// protojson varies its white space on purpose: bring it into one form.
	var plain, indented bytes.Buffer
	if json.Compact(&plain, compact) != nil || json.Indent(&indented, plain.Bytes(), "", " ") != nil {
		fail(w, http.StatusInternalServerError, "invalid JSON")
		return
	}
	w.Header().Set("Content-Type", jsonText)
	w.Write(append(indented.Bytes(), '\n'))
}
