package httpmsg

// An ID names a header that the proxy itself looks at. A Headers finds these
// without a search.
type ID uint8

// The well-known headers. Unknown is every other name.
const (
	Unknown ID = iota
	Method
	Path
	Authority
	Scheme
	Status
	Protocol
	Accept
	AccessControlRequestHeaders
	AccessControlRequestMethod
	AccessControlRequestPrivateNetwork
	Authorization
	Connection
	ContentLength
	ContentType
	Cookie
	Date
	Expect
	GRPCMessage
	GRPCStatus
	GRPCTimeout
	Host
	HTTP2Settings
	KeepAlive
	Location
	Origin
	ProxyConnection
	Referer
	RetryAfter
	Server
	SetCookie
	TE
	TransferEncoding
	Upgrade
	UserAgent
	Via
	XEnvoyAttemptCount
	XEnvoyDecoratorOperation
	XEnvoyDownstreamServiceCluster
	XEnvoyDownstreamServiceNode
	XEnvoyExpectedRQTimeoutMs
	XEnvoyExternalAddress
	XEnvoyForceTrace
	XEnvoyHedgeOnPerTryTimeout
	XEnvoyImmediateHealthCheckFail
	XEnvoyInternal
	XEnvoyIPTags
	XEnvoyIsTimeoutRetry
	XEnvoyMaxRetries
	XEnvoyOriginalDstHost
	XEnvoyOriginalHost
	XEnvoyOriginalPath
	XEnvoyOverloaded
	XEnvoyRateLimited
	XEnvoyRetriableHeaderNames
	XEnvoyRetriableStatusCodes
	XEnvoyRetryGRPCOn
	XEnvoyRetryOn
	XEnvoyUpstreamAltStatName
	XEnvoyUpstreamCanary
	XEnvoyUpstreamHealthCheckedCluster
	XEnvoyUpstreamRQPerTryTimeoutMs
	XEnvoyUpstreamRQTimeoutAltResponse
	XEnvoyUpstreamRQTimeoutMs
	XEnvoyUpstreamServiceTime
	XEnvoyUpstreamStreamDurationMs
	XForwardedClientCert
	XForwardedFor
	XForwardedHost
	XForwardedPort
	XForwardedProto
	XRequestID
	numIDs
)

var names = [numIDs]string{
	Method:                             ":method",
	Path:                               ":path",
	Authority:                          ":authority",
	Scheme:                             ":scheme",
	Status:                             ":status",
	Protocol:                           ":protocol",
	Accept:                             "accept",
	AccessControlRequestHeaders:        "access-control-request-headers",
	AccessControlRequestMethod:         "access-control-request-method",
	AccessControlRequestPrivateNetwork: "access-control-request-private-network",
	Authorization:                      "authorization",
	Connection:                         "connection",
	ContentLength:                      "content-length",
	ContentType:                        "content-type",
	Cookie:                             "cookie",
	Date:                               "date",
	Expect:                             "expect",
	GRPCMessage:                        "grpc-message",
	GRPCStatus:                         "grpc-status",
	GRPCTimeout:                        "grpc-timeout",
	Host:                               "host",
	HTTP2Settings:                      "http2-settings",
	KeepAlive:                          "keep-alive",
	Location:                           "location",
	Origin:                             "origin",
	ProxyConnection:                    "proxy-connection",
	Referer:                            "referer",
	RetryAfter:                         "retry-after",
	Server:                             "server",
	SetCookie:                          "set-cookie",
	TE:                                 "te",
	TransferEncoding:                   "transfer-encoding",
	Upgrade:                            "upgrade",
	UserAgent:                          "user-agent",
	Via:                                "via",
	XEnvoyAttemptCount:                 "x-envoy-attempt-count",
	XEnvoyDecoratorOperation:           "x-envoy-decorator-operation",
	XEnvoyDownstreamServiceCluster:     "x-envoy-downstream-service-cluster",
	XEnvoyDownstreamServiceNode:        "x-envoy-downstream-service-node",
	XEnvoyExpectedRQTimeoutMs:          "x-envoy-expected-rq-timeout-ms",
	XEnvoyExternalAddress:              "x-envoy-external-address",
	XEnvoyForceTrace:                   "x-envoy-force-trace",
	XEnvoyHedgeOnPerTryTimeout:         "x-envoy-hedge-on-per-try-timeout",
	XEnvoyImmediateHealthCheckFail:     "x-envoy-immediate-health-check-fail",
	XEnvoyInternal:                     "x-envoy-internal",
	XEnvoyIPTags:                       "x-envoy-ip-tags",
	XEnvoyIsTimeoutRetry:               "x-envoy-is-timeout-retry",
	XEnvoyMaxRetries:                   "x-envoy-max-retries",
	XEnvoyOriginalDstHost:              "x-envoy-original-dst-host",
	XEnvoyOriginalHost:                 "x-envoy-original-host",
	XEnvoyOriginalPath:                 "x-envoy-original-path",
	XEnvoyOverloaded:                   "x-envoy-overloaded",
	XEnvoyRateLimited:                  "x-envoy-ratelimited",
	XEnvoyRetriableHeaderNames:         "x-envoy-retriable-header-names",
	XEnvoyRetriableStatusCodes:         "x-envoy-retriable-status-codes",
	XEnvoyRetryGRPCOn:                  "x-envoy-retry-grpc-on",
	XEnvoyRetryOn:                      "x-envoy-retry-on",
	XEnvoyUpstreamAltStatName:          "x-envoy-upstream-alt-stat-name",
	XEnvoyUpstreamCanary:               "x-envoy-upstream-canary",
	XEnvoyUpstreamHealthCheckedCluster: "x-envoy-upstream-healthchecked-cluster",
	XEnvoyUpstreamRQPerTryTimeoutMs:    "x-envoy-upstream-rq-per-try-timeout-ms",
	XEnvoyUpstreamRQTimeoutAltResponse: "x-envoy-upstream-rq-timeout-alt-response",
	XEnvoyUpstreamRQTimeoutMs:          "x-envoy-upstream-rq-timeout-ms",
	XEnvoyUpstreamServiceTime:          "x-envoy-upstream-service-time",
	XEnvoyUpstreamStreamDurationMs:     "x-envoy-upstream-stream-duration-ms",
	XForwardedClientCert:               "x-forwarded-client-cert",
	XForwardedFor:                      "x-forwarded-for",
	XForwardedHost:                     "x-forwarded-host",
	XForwardedPort:                     "x-forwarded-port",
	XForwardedProto:                    "x-forwarded-proto",
	XRequestID:                         "x-request-id",
}

// table finds an ID by a hash of length and two letters; the few names that share
// a slot follow each other.
var table = func() (t [256][]ID) {
	for id := Unknown + 1; id < numIDs; id++ {
		s := slot(names[id])
		t[s] = append(t[s], id)
	}
	return t
}()

func slot(name string) uint8 {
	n := len(name)
	return uint8(n*7) + name[n-1]*5 + name[n/2]*29
}

// Lookup returns the ID of a lower-case header name, Unknown if it has none.
func Lookup(name string) ID {
	if name == "" {
		return Unknown
	}
	for _, id := range table[slot(name)] {
		if names[id] == name {
			return id
		}
	}
	return Unknown
}

// String returns the header's lower-case name.
func (id ID) String() string { return names[id] }
