// Package h1 is the codec of HTTP/1.0 and HTTP/1.1, both sides. It is strict:
// what could be read in two ways is refused, since the next proxy might read it in
// the other (request smuggling).
package h1

import (
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
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
	// ProperCaseWords writes Header-Names-So instead of in lower case, unless the
	// message has a formatter of its own.
	ProperCaseWords bool
	// NewFormatter makes the formatter of each message that is read, which stays with its
	// headers; nil for none.
	NewFormatter func() httpmsg.KeyFormatter
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

	// IgnoreUpgrade tells the protocols that are taken out of an upgrade header; nil for
	// none. A request with no other is an ordinary one.
	IgnoreUpgrade func(protocol string) bool

	// Client only.

	// SendFullyQualifiedURL writes absolute request targets.
	SendFullyQualifiedURL bool
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
	Case    string // what is refused
	Instead string // what Envoy does
	Why     string // how the message could be read in two ways
}

// StricterThanEnvoy lists where the codec refuses more than Envoy: only what lets a
// proxy in front, or the server behind, see other messages than this one.
func StricterThanEnvoy() []Difference {
	return []Difference{
		{"anything but CRLF behind the data of a chunk", "skips it up to the next line feed",
			"others take it for the size of the next chunk"},
		{"anything but CRLF for the last line of a chunked body", "takes a line feed, and waits behind a carriage return",
			"others take what follows for trailers"},
		{"content-length and transfer-encoding in trailers (they are dropped)", "passes them",
			"others join them with the headers, and see another body"},
		{"a carriage return inside a line", "deletes it in a header value, takes it for a blank in a request line",
			"others end the line there and see another header"},
		{"a folded transfer-encoding, content-length or host", "unfolds it",
			"others do not, and see no body, or another host"},
		{"several host headers", "joins them with commas",
			"others route by the first or the last"},
		{"HTTP/1.0 with transfer-encoding, when HTTP/1.0 is accepted", "decodes it",
			"HTTP/1.0 has no chunks: others read them as the body, or the next request"},
		{"HTTP/0.9, when HTTP/1.0 is accepted", "answers in HTTP/1.0",
			"such a request ends with its line: others take what follows for its headers"},
		{"a body in a request for an upgrade", "treats it as the first bytes of the tunnel",
			"a server that does not upgrade takes them for the next request"},
		{"a status code of more or less than three digits", "passes it",
			"others read three, which may mean that no body follows"},
		{"a response 101 that nobody asked for", "passes it",
			"others take what follows for a tunnel"},
		{"a response without a length whose connection is reset", "takes it for complete",
			"the client takes what came for the whole body"},
	}
}

// Stats holds the statistics of the server codec, under "http1.".
type Stats struct {
	DroppedHeadersWithUnderscores  *stats.Counter
	RequestsRejectedForUnderscores *stats.Counter
	// MetadataNotSupported counts METADATA for a peer that speaks HTTP/1; the user counts.
	MetadataNotSupported *stats.Counter
}

// NewStats makes the statistics in scope, whose prefix ends where "http1." begins:
// "" downstream, "cluster.<name>." upstream. One of Envoy's four never counts:
// response_flood, because a client that does not read its responses is not asked
// for further requests once the connection's buffer limit is reached.
func NewStats(scope stats.Scope) *Stats {
	scope = scope.Scope("http1.")
	scope.Counter("response_flood")
	return &Stats{
		DroppedHeadersWithUnderscores:  scope.Counter("dropped_headers_with_underscores"),
		RequestsRejectedForUnderscores: scope.Counter("requests_rejected_with_underscores_in_headers"),
		MetadataNotSupported:           scope.Counter("metadata_not_supported_error"),
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
