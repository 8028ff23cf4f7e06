// Package h1 is the codec of HTTP/1.0 and HTTP/1.1, both sides. It is strict:
// what could be read in two ways is refused, since the next proxy might read it in
// the other (request smuggling).
package h1

import (
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// An UnderscoreAction says what becomes of request headers with an underscore in
// their name (headers_with_underscores_action).
type UnderscoreAction uint8

const (
	// AllowUnderscores passes them.
	AllowUnderscores UnderscoreAction = iota
	// RejectUnderscores answers 400.
	RejectUnderscores
	// DropUnderscores passes the request without these headers.
	DropUnderscores
)

// The limits that Envoy has when nothing is configured.
const (
	DefaultMaxRequestHeadersKB  = 60
	DefaultMaxResponseHeadersKB = 80
	DefaultMaxHeaders           = 100
)

// Settings is the configuration of one side. It is immutable and shared by all
// connections of a listener or cluster.
type Settings struct {
	// MaxHeadersKB bounds the start line and the headers together, and the trailers,
	// in KiB.
	MaxHeadersKB int
	// MaxHeaders bounds the number of headers, and of trailers.
	MaxHeaders int
	// EnableTrailers passes trailers, both ways; otherwise they are dropped.
	EnableTrailers bool
	// ProperCaseWords writes Header-Names-So instead of in lower case.
	ProperCaseWords bool
	// AllowChunkedLength lets "transfer-encoding: chunked" win over a content-length
	// instead of refusing the message.
	AllowChunkedLength bool

	// Server only.

	// AcceptHTTP10 serves HTTP/1.0, which otherwise gets 426. A request without a
	// host is for DefaultHost then, unless that is "".
	AcceptHTTP10 bool
	DefaultHost  string
	// DisallowAbsoluteURL leaves an absolute request target in :path instead of
	// splitting it into :scheme, :authority and :path.
	DisallowAbsoluteURL bool
	// AllowCustomMethods accepts any token as a method.
	AllowCustomMethods bool
	// Underscores says what becomes of header names with underscores.
	Underscores UnderscoreAction

	// Client only.

	// SendFullyQualifiedURL writes absolute request targets.
	SendFullyQualifiedURL bool

	// Lenient accepts the bytes that Envoy accepts and this codec by default does
	// not, as far as StricterThanEnvoy says that there is a way back.
	Lenient bool
}

// ServerDefaults are the Settings of a listener that configures nothing.
func ServerDefaults() Settings {
	return Settings{MaxHeadersKB: DefaultMaxRequestHeadersKB, MaxHeaders: DefaultMaxHeaders}
}

// ClientDefaults are the Settings of a cluster that configures nothing.
func ClientDefaults() Settings {
	return Settings{MaxHeadersKB: DefaultMaxResponseHeadersKB, MaxHeaders: DefaultMaxHeaders}
}

// A Difference is a case that Envoy 1.40 accepts and this codec refuses.
type Difference struct {
	Case       string // what is refused
	Instead    string // what Envoy does
	Switchable bool   // Settings.Lenient does as Envoy
}

// StricterThanEnvoy lists where the codec refuses more than Envoy. What is not
// switchable would let a message be read in two ways.
func StricterThanEnvoy() []Difference {
	return []Difference{
		{"tabs or several spaces in the request line", "takes any blanks between its parts", true},
		{"blanks behind a chunk size", "skips them", true},
		{"a chunk extension of more than 4 KiB", "has no limit", true},
		{"more than 32 bytes of empty lines before a request", "has no limit", false},
		{"bytes between the data of a chunk and its CRLF", "skips them", false},
		{"a carriage return inside a header value", "deletes it", false},
		{"a folded transfer-encoding, content-length or host", "unfolds it", false},
		{"several host headers", "joins them with commas", false},
		{"HTTP/1.0 with transfer-encoding, when HTTP/1.0 is accepted", "decodes it", false},
		{"HTTP/0.9, HTTP/1.2 and others, when HTTP/1.0 is accepted", "treats them as HTTP/1.0", false},
		{"a body in a request for an upgrade", "treats it as the first bytes of the tunnel", false},
		{"a response with another version than HTTP/1.0 or HTTP/1.1", "takes any version", true},
		{"a status code of more than three digits", "passes it", false},
		{"a response 101 that nobody asked for", "passes it", false},
	}
}

// Stats holds the statistics of the server codec, under "http1.".
type Stats struct {
	DroppedHeadersWithUnderscores  *stats.Counter
	RequestsRejectedForUnderscores *stats.Counter
}

// NewStats makes the statistics in scope, whose prefix ends where "http1." begins:
// "" downstream, "cluster.<name>." upstream. Two of Envoy's four never count:
// metadata_not_supported_error, because no metadata frames come this far, and
// response_flood, because a client that does not read its responses is not asked
// for further requests once the connection's buffer limit is reached.
func NewStats(scope stats.Scope) *Stats {
	scope = scope.Scope("http1.")
	scope.Counter("metadata_not_supported_error")
	scope.Counter("response_flood")
	return &Stats{
		DroppedHeadersWithUnderscores:  scope.Counter("dropped_headers_with_underscores"),
		RequestsRejectedForUnderscores: scope.Counter("requests_rejected_with_underscores_in_headers"),
	}
}

// Flow is the network connection, as the codec steers it; network.Connection is
// one. The codec calls ReadDisable(true) and ReadDisable(false) in turn.
type Flow interface {
	// ReadDisable stops (true) or resumes (false) reading. When reading resumes,
	// Dispatch must be called with the bytes it left behind, also if no new ones come,
	// but not from inside ReadDisable.
	ReadDisable(disable bool)
}

func badRequest(detail, cause string) *codec.Error {
	return &codec.Error{Status: 400, Body: "Bad Request", Detail: detail, Cause: cause}
}

func codecError(cause string) *codec.Error { return badRequest("http1.codec_error", cause) }

func headersTooLarge(detail string) *codec.Error {
	return &codec.Error{Status: 431, Body: "Request Header Fields Too Large", Detail: detail}
}

func invalidTransferEncoding() *codec.Error {
	return &codec.Error{Status: 501, Body: "Not Implemented", Detail: "http1.invalid_transfer_encoding"}
}

func lowVersion() *codec.Error {
	return &codec.Error{Status: 426, Body: "Upgrade Required", Detail: "low_version"}
}
