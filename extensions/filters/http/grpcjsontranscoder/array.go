package grpcjsontranscoder

import "errors"

var (
	errNoArray  = errors.New("Expected an array instead of an object")
	errOddArray = errors.New("Expected , or ] after array value.")
	errNotEnded = errors.New("Unexpected end of string. Expected , or ] after array value.")
)

// An arrayReader cuts a JSON array that comes in pieces into its elements, without a look
// at what is in them. As in Envoy a comma may stand before the end. The zero arrayReader
// is at the start.
type arrayReader struct {
	state   arrayState
	element []byte // what there is of an element that is not complete
	depth   int
	text    bool // in a string
	escaped bool // behind a backslash
}

type arrayState uint8

const (
	beforeArray arrayState = iota
	beforeFirst            // behind [
	beforeNext             // behind a comma
	inElement
	behindElement
	behindArray
)

// feed takes the next piece, and calls each with every element that is complete, which
// is valid during the call.
func (r *arrayReader) feed(p []byte, each func(element []byte) error) error {
	for _, c := range p {
		if r.state == inElement {
			if done, err := r.inside(c, each); done || err != nil {
				if err != nil {
					return err
				}
				continue
			}
		}
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			continue
		}
		switch r.state {
		case beforeArray:
			if c != '[' {
				return errNoArray
			}
			r.state = beforeFirst
		case beforeFirst, beforeNext:
			switch {
			case c == ']':
				r.state = behindArray
			case c == ',' || c == '}' || c == ':':
				return errOddArray
			default:
				r.begin(c)
			}
		case behindElement:
			switch c {
			case ',':
				r.state = beforeNext
			case ']':
				r.state = behindArray
			default:
				return errOddArray
			}
		default:
			return errOddArray
		}
	}
	return nil
}

func (r *arrayReader) begin(c byte) {
	r.state, r.depth, r.escaped = inElement, 0, false
	r.element = append(r.element[:0], c)
	if r.text = c == '"'; c == '{' || c == '[' {
		r.depth = 1
	}
}

// inside takes a character of an element; used is not set if it ended the element without
// being of it.
func (r *arrayReader) inside(c byte, each func([]byte) error) (used bool, err error) {
	complete := false
	switch {
	case r.text:
		switch {
		case r.escaped:
			r.escaped = false
		case c == '\\':
			r.escaped = true
		case c == '"':
			r.text = false
			complete = r.depth == 0
		}
	case r.depth == 0 && (c == ',' || c == ']' || c == ' ' || c == '\t' || c == '\r' || c == '\n'):
		r.state = behindElement // of a number or a name
		return false, each(r.element)
	case c == '"':
		r.text = true
	case c == '{' || c == '[':
		r.depth++
	case c == '}' || c == ']':
		r.depth--
		complete = r.depth <= 0
	}
	if r.element = append(r.element, c); complete {
		r.state = behindElement
		return true, each(r.element)
	}
	return true, nil
}

// finish reports an array that did not begin or did not end.
func (r *arrayReader) finish() error {
	switch r.state {
	case beforeArray:
		return errNoArray
	case behindArray:
		return nil
	default:
		return errNotEnded
	}
}
