// Package matcher is the matching API: trees of conditions on a request, or a
// connection, that lead to an action. Trees are built from
// xds.type.matcher.v3.Matcher while a configuration is loaded; they are immutable and
// evaluated on any worker, without allocating.
//
// A tree is evaluated again when more of a stream is there, if the first answer was
// Unsure: when a condition asks for something that has not arrived.
package matcher

import (
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// Data is what trees look at. It is a value, so that it need not be allocated, and is
// valid for one call.
type Data struct {
	// The parts of an HTTP exchange are nil until they are there.
	Request, RequestTrailers, Response, ResponseTrailers *httpmsg.Headers
	// Stream may be nil: then nothing is known of stream and connection.
	Stream *streaminfo.Stream
}

// Connection returns the downstream connection, nil if it is not known.
func (d Data) Connection() *streaminfo.Connection {
	if d.Stream == nil {
		return nil
	}
	return d.Stream.Downstream
}

// A State says whether there is a value.
type State uint8

// The states.
const (
	Missing State = iota // and it will not come
	NotYet               // it may still arrive
	Present
)

// A Kind is a type of values. An input gives values of one kind, and a matcher takes
// values of one.
type Kind string

// The kinds.
const (
	Text     Kind = "string"
	Metadata Kind = "dynamic metadata"
	// Attributes are all of the data, for expressions.
	Attributes Kind = "attributes"
)

// A Value is what an input found.
type Value struct {
	State State
	Text  string
	// JSON is set for the kind Metadata, Data for Attributes, in place of Text.
	JSON *structpb.Value
	Data *Data
}

// TextValue returns the value of a text that is there, or not.
func TextValue(text string, ok bool) Value {
	if !ok {
		return Value{}
	}
	return Value{State: Present, Text: text}
}

// An Input gets one value out of the data. Any worker.
type Input interface {
	Kind() Kind
	Get(d Data) Value
}

// A TextInput is an Input of the kind Text.
type TextInput func(d Data) Value

// Kind implements Input.
func (TextInput) Kind() Kind { return Text }

// Get implements Input.
func (f TextInput) Get(d Data) Value { return f(d) }

// A ValueMatcher tests a value that is Present. Any worker.
type ValueMatcher interface {
	Kind() Kind
	Match(v Value) Outcome
}

// An Outcome is how an evaluation ended.
type Outcome uint8

// The outcomes. With Unsure the data does not suffice; evaluate again when there is
// more of it.
const (
	NoMatch Outcome = iota
	Unsure
	Matched
)

// OutcomeOf returns the outcome of a test whose answer is sure.
func OutcomeOf(matched bool) Outcome {
	if matched {
		return Matched
	}
	return NoMatch
}

// A Result is an outcome, with the action for Matched.
type Result struct {
	Outcome Outcome
	Action  any // what Config.Action returned
}

// A Tree decides what to do. Any worker.
type Tree interface {
	Match(d Data) Result
}

// OnMatch is where a matching branch leads: to a tree or an action. A nil OnMatch
// leads nowhere.
type OnMatch struct {
	tree   Tree
	action any
	// keep passes over what the branch leads to.
	keep bool
}

// Follow returns the result of the branch. After NoMatch the caller goes on with what
// it would try next.
func (o *OnMatch) Follow(d Data) Result {
	if o == nil {
		return Result{}
	}
	r := Result{Matched, o.action}
	if o.tree != nil {
		r = o.tree.Match(d)
	}
	if o.keep && r.Outcome == Matched {
		return Result{}
	}
	return r
}
