// Package format is the contract of substitution format strings: text with
// operators such as %REQ(:PATH)% that are replaced per stream.
package format

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// An Entry is what a format or an access logger looks at. It is valid for one call.
type Entry struct {
	// Request, Response and Trailers (of the response) are nil when there are none.
	Request, Response, Trailers *httpmsg.Headers
	// Stream is never nil.
	Stream *streaminfo.Stream
	// LocalReplyBody is the body of a response that the proxy made, while that response
	// is being formatted. It is "" in access logs.
	LocalReplyBody string
	Type           EntryType
	// Now is the worker's time, Shard its index, Random a value of the stream.
	Now    time.Time
	Shard  int
	Random uint64
}

// An EntryType is the event that is logged, as %ACCESS_LOG_TYPE% prints it.
type EntryType uint8

// The events.
const (
	NotSet EntryType = iota
	TcpUpstreamConnected
	TcpPeriodic
	TcpConnectionEnd
	DownstreamStart
	DownstreamPeriodic
	DownstreamEnd
	UpstreamPoolReady
	UpstreamPeriodic
	UpstreamEnd
	DownstreamTunnelSuccessfullyEstablished
	TcpConnectionStart
)

var typeNames = [...]string{"NotSet", "TcpUpstreamConnected", "TcpPeriodic", "TcpConnectionEnd", "DownstreamStart",
	"DownstreamPeriodic", "DownstreamEnd", "UpstreamPoolReady", "UpstreamPeriodic", "UpstreamEnd",
	"DownstreamTunnelSuccessfullyEstablished", "TcpConnectionStart"}

// String returns the event's name.
func (t EntryType) String() string { return typeNames[t] }

// A Format is a compiled format string. It is immutable; Append is called on any
// worker.
type Format interface {
	// Append appends the text for e to dst.
	Append(dst []byte, e *Entry) []byte
	// Literal returns the text when the format holds no operator.
	Literal() (text string, ok bool)
}

// A Compiler compiles format strings. Main goroutine.
type Compiler interface {
	// Compile compiles a text. The error names the operator and what is wrong with it.
	Compile(text string) (Format, error)
	// FromProto compiles the message at path: text, or JSON, which ends in a newline.
	// Without a message it returns the default line of access logs. Errors go to errs;
	// the result is nil then. The content type is the caller's business.
	FromProto(msg *corev3.SubstitutionFormatString, path conf.Path, errs *conf.Errors) Format
	// With returns a compiler that also knows the operators of these formatters, which
	// come before all others. Errors go to errs.
	With(formatters []*corev3.TypedExtensionConfig, path conf.Path, errs *conf.Errors) Compiler
}

// Commands are operators that a formatter extension adds, by name: each compiles
// what stands between the parentheses of %NAME(arg)%, "" if there is nothing. The
// compiler applies the length limit. Main goroutine.
type Commands map[string]func(arg string) (Operator, error)

// An Operator is a compiled command. Its functions are called on any worker.
type Operator struct {
	// Text appends the value for e to dst. It reports false if there is none, and leaves
	// dst as it was.
	Text func(dst []byte, e *Entry) ([]byte, bool)
	// Value returns the value for e where the command is all of a JSON value, nil if
	// there is none. An operator without it is a string there.
	Value func(e *Entry) *structpb.Value
}
