// Package format compiles substitution format strings, the text and JSON that
// access logs, header values and local replies are made of.
//
// A format becomes a list of pieces: literal text, and operators, which append
// their value to a buffer. Nothing is parsed, looked up by name or allocated per
// line. An operator says whether its value is text or already JSON, so that the
// same operators serve both forms.
package format

import (
	"strings"
	"sync/atomic"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// DefaultText is the line of an access log that has no format.
const DefaultText = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" ` +
	`%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ` +
	`%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ` +
	`"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"` + "\n"

// Options is what formats say of the process.
type Options struct {
	// Hostname is %HOSTNAME%.
	Hostname string
	// LookupEnv looks up environment variables, as os.LookupEnv does. It is called
	// while formats are compiled.
	LookupEnv func(name string) (value string, ok bool)
	// Context is what formatter extensions get; its Registry may be nil.
	Context extension.Context
}

// A Compiler compiles formats. It implements api/format.Compiler. Main goroutine.
type Compiler struct {
	options   Options
	operators table
	wants     *wants // shared with compilers that know more
}

// wants says which of the values that cost something are shown by a format.
type wants struct{ rtt, routeTime atomic.Bool }

// WantsRTT reports whether a format was compiled that shows the round trip time of
// connections. Any goroutine.
func (c *Compiler) WantsRTT() bool { return c.wants.rtt.Load() }

// WantsRouteTime reports whether a format was compiled that shows how long it took to
// find the route. Any goroutine.
func (c *Compiler) WantsRouteTime() bool { return c.wants.routeTime.Load() }

// NewCompiler returns a compiler.
func NewCompiler(o Options) *Compiler {
	if o.LookupEnv == nil {
		o.LookupEnv = func(string) (string, bool) { return "", false }
	}
	c := &Compiler{options: o, operators: operators(), wants: new(wants)}
	c.addBuiltIn()
	return c
}

// Compile compiles a text format. The errors have Envoy's words, which tools look
// for; so some begin with capital letters or end in full stops.
func (c *Compiler) Compile(text string) (format.Format, error) { return c.compile(text, false) }

func (c *Compiler) compile(text string, omitEmpty bool) (format.Format, error) {
	pieces, err := c.parse(text)
	if err != nil {
		return nil, err
	}
	return &textFormat{pieces: pieces, omitEmpty: omitEmpty}, nil
}

// A kind says what an operator appended.
type kind uint8

const (
	missing kind = iota // nothing: there is no value
	text                // bytes of a string, maybe none
	literal             // a JSON value other than a string and null
)

// An operator appends its value for e to dst.
type operator func(dst []byte, e *format.Entry) ([]byte, kind)

// A piece of a format is literal text or an operator.
type piece struct {
	lit string
	op  operator // nil for literal text
	// alone stands for op where the piece is all of a JSON value; nil if op serves both.
	alone operator
	max   int // the most bytes of the value, -1 for no limit
	// encode says that a client can put any byte into the value. Control characters are
	// percent-encoded in text, so that nobody can forge a line.
	encode bool
}

// appendText appends the piece as it stands in a text.
func (p *piece) appendText(dst []byte, e *format.Entry, omitEmpty bool) []byte {
	if p.op == nil {
		return append(dst, p.lit...)
	}
	start := len(dst)
	dst, k := p.op(dst, e)
	if k == missing {
		if omitEmpty {
			return dst
		}
		return append(dst, '-')
	}
	dst = p.cut(dst, start)
	if p.encode {
		dst = encodeControls(dst, start)
	}
	return dst
}

// cut shortens the value that starts at start to the limit.
func (p *piece) cut(dst []byte, start int) []byte {
	if p.max >= 0 && len(dst)-start > p.max {
		return dst[:start+p.max]
	}
	return dst
}

// textFormat implements format.Format.
type textFormat struct {
	pieces    []piece
	omitEmpty bool
}

// Append implements format.Format.
func (f *textFormat) Append(dst []byte, e *format.Entry) []byte {
	for i := range f.pieces {
		dst = f.pieces[i].appendText(dst, e, f.omitEmpty)
	}
	return dst
}

// Literal implements format.Format.
func (f *textFormat) Literal() (string, bool) {
	var b strings.Builder
	for i := range f.pieces {
		if f.pieces[i].op != nil {
			return "", false
		}
		b.WriteString(f.pieces[i].lit)
	}
	return b.String(), true
}
