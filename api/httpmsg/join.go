package httpmsg

// CommaJoined reports whether all fields with that lower-case name count as one
// value, joined by commas: the headers for which Envoy keeps a single entry.
// Others are lists of separate values. It is for building, not for requests.
func CommaJoined(name string) bool {
	switch id := Lookup(name); id {
	case Unknown:
	case Cookie, SetCookie, HTTP2Settings, RetryAfter, XEnvoyOriginalDstHost:
		return false
	default:
		return true
	}
	switch name {
	case "accept-encoding", "access-control-allow-credentials", "access-control-allow-headers",
		"access-control-allow-methods", "access-control-allow-origin", "access-control-allow-private-network",
		"access-control-expose-headers", "access-control-max-age", "age", "authentication", "cache-control", "cdn-loop",
		"content-encoding", "etag", "expires", "grpc-accept-encoding", "if-match", "if-modified-since", "if-none-match",
		"if-range", "if-unmodified-since", "last-modified", "pragma", "proxy-status", "vary", "x-client-trace-id",
		"x-envoy-degraded", "x-envoy-original-url":
		return true
	}
	return false
}
