package httpmsg

import "strconv"

// Version is a version of HTTP on the wire.
type Version uint8

// The versions.
const (
	HTTP10 Version = iota
	HTTP11
	HTTP2
	HTTP3
)

// String returns the version as access logs print it.
func (v Version) String() string {
	switch v {
	case HTTP10:
		return "HTTP/1.0"
	case HTTP11:
		return "HTTP/1.1"
	case HTTP2:
		return "HTTP/2"
	default:
		return "HTTP/3"
	}
}

const (
	minStatus = 100
	maxStatus = 599
)

var statusTexts = func() (t [maxStatus - minStatus + 1]string) {
	for i := range t {
		t[i] = strconv.Itoa(minStatus + i)
	}
	return t
}()

// StatusText returns the code as decimal text.
func StatusText(code int) string {
	if code >= minStatus && code <= maxStatus {
		return statusTexts[code-minStatus]
	}
	return strconv.Itoa(code)
}

// A ResetReason says why a stream ended before its message did.
type ResetReason uint8

// The reasons, as the contract of Envoy names them.
const (
	ResetNone ResetReason = iota
	ResetLocalReset
	ResetLocalRefusedStream
	ResetRemoteReset
	ResetRemoteRefusedStream
	ResetLocalConnectionFailure
	ResetRemoteConnectionFailure
	ResetConnectionTimeout
	ResetConnectionTermination
	ResetOverflow
	ResetConnectError
	ResetProtocolError
	ResetOverloadManager
)

var resetTexts = [...]string{
	"", "local reset", "local refused stream reset", "remote reset", "remote refused stream reset",
	"local connection failure", "remote connection failure", "connection timeout", "connection termination",
	"overflow", "remote error with CONNECT request", "protocol error", "overload manager reset",
}

// String returns the reason as response bodies and, with underscores, response
// code details show it.
func (r ResetReason) String() string { return resetTexts[r] }
