package e2e

import "strings"

// An hcm is an HTTP connection manager as a filter of a listener. Its routes are the
// YAML of virtual_hosts, or with routes those of a single host "*".
type hcm struct {
	prefix  string // of its statistics, "http" if empty
	hosts   string
	routes  string
	filters []string // before the router
	fields  string
	logged  string // format of access log lines, logFormat if empty
}

// logFormat is that of the access log in these tests: the path tells the lines apart.
const logFormat = "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%"

const typeURL = `"@type": type.googleapis.com/`

func (h hcm) yaml() string {
	if h.prefix == "" {
		h.prefix = "http"
	}
	if h.hosts == "" {
		h.hosts = `[{name: all, domains: ["*"], routes: ` + h.routes + `}]`
	}
	if h.logged == "" {
		h.logged = logFormat
	}
	router := extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router", "")
	return extension("envoy.filters.network.http_connection_manager",
		"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		"stat_prefix: "+h.prefix+", access_log: ["+stdoutLog(h.logged)+"], route_config: {name: r, virtual_hosts: "+h.hosts+
			"}, http_filters: ["+strings.Join(append(h.filters, router), ", ")+"]"+more(h.fields))
}

// extension is a named extension with its typed configuration.
func extension(name, message, fields string) string {
	return "{name: " + name + ", typed_config: {" + typeURL + message + more(fields) + "}}"
}

func stdoutLog(format string) string {
	return extension("envoy.access_loggers.stdout", "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
		`log_format: {text_format_source: {inline_string: "`+format+`\n"}}`)
}

func fileLog(path, format string) string {
	return extension("envoy.access_loggers.file", "envoy.extensions.access_loggers.file.v3.FileAccessLog",
		`path: `+path+`, log_format: {text_format_source: {inline_string: "`+format+`\n"}}`)
}

func tcpProxy(fields string) string {
	return extension("envoy.filters.network.tcp_proxy", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
		"stat_prefix: tcp, "+fields)
}

func directResponse(text string) string {
	return extension("envoy.filters.network.direct_response", "envoy.extensions.filters.network.direct_response.v3.Config",
		"response: {inline_string: '"+text+"'}")
}

// toCluster routes everything to a cluster; fields are those of the route action.
func toCluster(name, fields string) string {
	return `[{match: {prefix: "/"}, route: {cluster: ` + name + more(fields) + `}}]`
}

// front is a listener with an HTTP connection manager.
func front(h hcm) []listener { return []listener{{name: "front", filters: []string{h.yaml()}}} }
