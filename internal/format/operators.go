package format

import (
	"math/rand/v2"
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

type argRule uint8

const (
	noArgs argRule = iota
	optionalArgs
	requiredArgs
)

// A spec says how a command may be written and what it becomes.
type spec struct {
	args   argRule
	limit  bool // a :max suffix is allowed
	uncut  bool // and without effect
	encode bool // see piece
	// build compiles the argument. An operator whose value in text is not that alone in
	// JSON has both instead.
	build func(c *Compiler, arg string) (operator, error)
	both  func(c *Compiler, arg string) (inText, alone operator, err error)
}

// operators returns the table of all operators that Envoy knows.
func operators() table {
	t := table{}
	t.message()
	t.sizes()
	t.stream()
	t.downstream()
	t.upstream()
	t.durations()
	t.metadata()
	t.filterState()
	t.xfcc()
	t.tls()
	t.nothing()
	t["COALESCE"] = spec{args: requiredArgs, limit: true, encode: true, both: (*Compiler).coalesce}
	return t
}

type table map[string]spec

// add adds an operator that has no argument.
func (t table) add(name string, op operator) {
	t[name] = spec{build: func(*Compiler, string) (operator, error) { return op, nil }}
}

// text adds an operator that prints a string, which is missing if it is empty.
func (t table) text(name string, get func(*streaminfo.Stream) string) {
	t.add(name, func(dst []byte, e *format.Entry) ([]byte, kind) { return appendFound(dst, get(e.Stream)) })
}

// word is text with underscores for spaces, so that the value is one word of a line.
func (t table) word(name string, get func(*streaminfo.Stream) string) {
	t.add(name, func(dst []byte, e *format.Entry) ([]byte, kind) { return appendWord(dst, get(e.Stream)) })
}

// number adds an operator that always has a number.
func (t table) number(name string, get func(*format.Entry) uint64) {
	t.add(name, func(dst []byte, e *format.Entry) ([]byte, kind) {
		return strconv.AppendUint(dst, get(e), 10), literal
	})
}

func appendFound(dst []byte, s string) ([]byte, kind) {
	if s == "" {
		return dst, missing
	}
	return append(dst, s...), text
}

// appendWord appends s with underscores for its spaces.
func appendWord(dst []byte, s string) ([]byte, kind) {
	start := len(dst)
	dst, k := appendFound(dst, s)
	for i := start; i < len(dst); i++ {
		if dst[i] == ' ' {
			dst[i] = '_'
		}
	}
	return dst, k
}

func (t table) sizes() {
	t.number("BYTES_RECEIVED", func(e *format.Entry) uint64 { return e.Stream.BytesReceived })
	t.number("BYTES_SENT", func(e *format.Entry) uint64 { return e.Stream.BytesSent })
	t.number("REQUEST_HEADERS_BYTES", func(e *format.Entry) uint64 { return byteSize(e.Request) })
	t.number("RESPONSE_HEADERS_BYTES", func(e *format.Entry) uint64 { return byteSize(e.Response) })
	t.number("RESPONSE_TRAILERS_BYTES", func(e *format.Entry) uint64 { return byteSize(e.Trailers) })
	t.meter("DOWNSTREAM", func(e *format.Entry) *streaminfo.Meter { return &e.Stream.DownstreamBytes })
	t.meter("UPSTREAM", func(e *format.Entry) *streaminfo.Meter { return &e.Stream.Upstream.Bytes })
	// Only QUIC tells these.
	t.number("BYTES_RETRANSMITTED", func(*format.Entry) uint64 { return 0 })
	t.number("PACKETS_RETRANSMITTED", func(*format.Entry) uint64 { return 0 })
}

func (t table) meter(side string, of func(*format.Entry) *streaminfo.Meter) {
	t.number(side+"_WIRE_BYTES_SENT", func(e *format.Entry) uint64 { return of(e).Sent })
	t.number(side+"_WIRE_BYTES_RECEIVED", func(e *format.Entry) uint64 { return of(e).Received })
	t.number(side+"_HEADER_BYTES_SENT", func(e *format.Entry) uint64 { return of(e).HeaderSent })
	t.number(side+"_HEADER_BYTES_RECEIVED", func(e *format.Entry) uint64 { return of(e).HeaderReceived })
	t.number(side+"_DECOMPRESSED_HEADER_BYTES_SENT", func(e *format.Entry) uint64 { return of(e).DecompressedHeaderSent })
	t.number(side+"_DECOMPRESSED_HEADER_BYTES_RECEIVED", func(e *format.Entry) uint64 { return of(e).DecompressedHeaderReceived })
}

func byteSize(h *httpmsg.Headers) uint64 {
	if h == nil {
		return 0
	}
	return uint64(h.ByteSize())
}

// stream adds what concerns the stream as a whole, and the process.
func (t table) stream() {
	t.add("PROTOCOL", func(dst []byte, e *format.Entry) ([]byte, kind) {
		return appendVersion(dst, e.Stream.Version, e.Stream.HasVersion)
	})
	t.number("RESPONSE_CODE", func(e *format.Entry) uint64 { return uint64(e.Stream.ResponseCode) })
	t.add("RESPONSE_FLAGS", func(dst []byte, e *format.Entry) ([]byte, kind) { return e.Stream.Flags.Append(dst), text })
	t.add("RESPONSE_FLAGS_LONG", func(dst []byte, e *format.Entry) ([]byte, kind) {
		return e.Stream.Flags.AppendLong(dst), text
	})
	t["RESPONSE_CODE_DETAILS"] = spec{args: optionalArgs, build: func(_ *Compiler, arg string) (operator, error) {
		if arg == "ALLOW_WHITESPACES" {
			return func(dst []byte, e *format.Entry) ([]byte, kind) {
				return appendFound(dst, e.Stream.ResponseDetails)
			}, nil
		}
		return func(dst []byte, e *format.Entry) ([]byte, kind) {
			return appendWord(dst, e.Stream.ResponseDetails)
		}, nil
	}}
	t.add("LOCAL_REPLY_BODY", func(dst []byte, e *format.Entry) ([]byte, kind) {
		return append(dst, e.LocalReplyBody...), text
	})
	t.add("ACCESS_LOG_TYPE", func(dst []byte, e *format.Entry) ([]byte, kind) {
		return append(dst, e.Type.String()...), text
	})
	t.text("CONNECTION_TERMINATION_DETAILS", func(s *streaminfo.Stream) string { return s.TerminationDetails })
	t.text("ROUTE_NAME", func(s *streaminfo.Stream) string { return s.RouteName })
	t.number("ROUTE_RESOLUTION_COUNT", func(e *format.Entry) uint64 { return uint64(e.Stream.RouteResolutions) })
	t["ROUTE_RESOLUTION_TIME_US"] = spec{build: func(c *Compiler, _ string) (operator, error) {
		c.wants.routeTime.Store(true)
		return func(dst []byte, e *format.Entry) ([]byte, kind) {
			return strconv.AppendInt(dst, e.Stream.RouteResolutionTime.Microseconds(), 10), literal
		}, nil
	}}
	t.text("VIRTUAL_CLUSTER_NAME", func(s *streaminfo.Stream) string { return s.VirtualClusterName })
	t.text("STREAM_ID", func(s *streaminfo.Stream) string { return s.RequestID })
	t.add("UNIQUE_ID", func(dst []byte, _ *format.Entry) ([]byte, kind) {
		return appendUUID(dst, rand.Uint64(), rand.Uint64()), text
	})
	t["HOSTNAME"] = spec{build: func(c *Compiler, _ string) (operator, error) {
		return constant(c.options.Hostname), nil
	}}
	t["ENVIRONMENT"] = spec{args: requiredArgs, limit: true, build: func(c *Compiler, arg string) (operator, error) {
		value, ok := c.options.LookupEnv(arg)
		if !ok {
			value = "-"
		}
		return constant(value), nil
	}}
}

func constant(value string) operator {
	return func(dst []byte, _ *format.Entry) ([]byte, kind) { return append(dst, value...), text }
}

func appendVersion(dst []byte, v httpmsg.Version, ok bool) ([]byte, kind) {
	if !ok {
		return dst, missing
	}
	return append(dst, v.String()...), text
}

// appendUUID appends a random (version 4) UUID made of two random numbers.
func appendUUID(dst []byte, a, b uint64) []byte {
	a = a&^0xf000 | 0x4000
	b = b&^(3<<62) | 1<<63
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			dst = append(dst, '-')
		}
		dst = append(dst, lowerHex[a>>60])
		if a <<= 4; i == 15 {
			a = b
		}
	}
	return dst
}

// nothing adds the operators whose value a connection never has: those of QUIC and of
// tracing.
func (t table) nothing() {
	none := func(dst []byte, _ *format.Entry) ([]byte, kind) { return dst, missing }
	for _, name := range []string{"ROUNDTRIP_DURATION", "TRACE_ID", "SPAN_ID"} {
		t.add(name, none)
	}
	t.add("CUSTOM_FLAGS", constant("")) // no extension of this proxy sets any
}
