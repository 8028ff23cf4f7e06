package httpmsg

// Append is Add for a field that was received, or comes on top of what was: where Envoy
// has one field for all of that name in a request, or in a response, the value goes to
// the end of the first one's, after a comma if neither is empty. Headers without :method
// and :status, as trailers, keep all fields apart.
func (h *Headers) Append(name, value string) { h.append(Lookup(name), name, value) }

// AppendID is Append for a well-known name.
func (h *Headers) AppendID(id ID, value string) { h.append(id, names[id], value) }

func (h *Headers) append(id ID, name, value string) {
	i := h.joined(id, name)
	if i < 0 {
		h.add(id, name, value)
		return
	}
	if value == "" {
		return
	}
	f := &h.fields[i]
	h.size -= len(f.Value)
	if f.Value != "" {
		value = f.Value + "," + value
	}
	f.Value = value
	h.size += len(value)
}

// joined returns the index of the field that another value of that name is joined to,
// -1 if it is a field of its own.
func (h *Headers) joined(id ID, name string) int {
	var in section
	switch {
	case h.first[Method] != 0:
		in = request
	case h.first[Status] != 0:
		in = response
	default:
		return -1
	}
	switch {
	case id == Unknown && joinedName(name)&in != 0:
		return h.index(name)
	case id != Unknown && h.first[id] != 0 && joinedIDs[id]&in != 0:
		return int(h.first[id]) - 1
	}
	return -1
}

// CommaJoined reports whether all fields with that lower-case name count as one value
// in a request or a response. It is for building, not for requests.
func CommaJoined(name string) bool { return joinedName(name)|joinedIDs[Lookup(name)] != 0 }

// A section is a kind of headers, a bit.
type section uint8

const (
	request section = 1 << iota
	response
	both = request | response
)

// joinedIDs and joinedName say in which headers there is one field of a name.
var joinedIDs = [numIDs]section{
	Accept: request, AccessControlRequestHeaders: request, AccessControlRequestMethod: request,
	AccessControlRequestPrivateNetwork: request, Authorization: request, Connection: both, ContentLength: both, ContentType: both,
	Date: response, Expect: request, GRPCMessage: response, GRPCStatus: response, GRPCTimeout: request, KeepAlive: both,
	Location: response, Origin: request, ProxyConnection: both, Referer: request, Server: response, TE: request,
	TransferEncoding: both, Upgrade: both, UserAgent: request, Via: both, XEnvoyAttemptCount: both, XEnvoyDecoratorOperation: both,
	XEnvoyDownstreamServiceCluster: request, XEnvoyDownstreamServiceNode: request, XEnvoyExpectedRQTimeoutMs: request,
	XEnvoyExternalAddress: request, XEnvoyForceTrace: request, XEnvoyHedgeOnPerTryTimeout: request,
	XEnvoyImmediateHealthCheckFail: response, XEnvoyInternal: request, XEnvoyIPTags: request, XEnvoyIsTimeoutRetry: request,
	XEnvoyMaxRetries: request, XEnvoyOriginalHost: request, XEnvoyOriginalPath: request, XEnvoyRateLimited: response,
	XEnvoyRetriableHeaderNames: request, XEnvoyRetriableStatusCodes: request, XEnvoyRetryGRPCOn: request, XEnvoyRetryOn: request,
	XEnvoyUpstreamAltStatName: request, XEnvoyUpstreamCanary: response, XEnvoyUpstreamHealthCheckedCluster: response,
	XEnvoyUpstreamRQPerTryTimeoutMs: request, XEnvoyUpstreamRQTimeoutAltResponse: request, XEnvoyUpstreamRQTimeoutMs: request,
	XEnvoyUpstreamServiceTime: response, XEnvoyUpstreamStreamDurationMs: request, XForwardedClientCert: request,
	XForwardedFor: request, XForwardedHost: request, XForwardedPort: request, XForwardedProto: request, XRequestID: both,
}

func joinedName(name string) section {
	switch name {
	case "accept-encoding", "authentication", "cdn-loop", "grpc-accept-encoding", "if-match", "if-modified-since", "if-none-match",
		"if-range", "if-unmodified-since", "pragma", "x-client-trace-id", "x-envoy-original-url":
		return request
	case "cache-control", "content-encoding", "proxy-status":
		return both
	case "access-control-allow-credentials", "access-control-allow-headers", "access-control-allow-methods",
		"access-control-allow-origin", "access-control-allow-private-network", "access-control-expose-headers",
		"access-control-max-age", "age", "etag", "expires", "last-modified", "vary", "x-envoy-degraded":
		return response
	default:
		return 0
	}
}
