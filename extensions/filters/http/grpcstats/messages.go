package grpcstats

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
)

// Messages is the object envoy.filters.http.grpc_stats in the filter state of a stream:
// how many messages the request and the response had so far.
type Messages struct{ Requests, Responses int }

// String returns both numbers with a comma between.
func (m *Messages) String() string {
	return strconv.Itoa(m.Requests) + "," + strconv.Itoa(m.Responses)
}

// MarshalJSON returns what the message FilterObject looks like in JSON.
func (m *Messages) MarshalJSON() ([]byte, error) {
	dst := []byte{'{'}
	if m.Requests > 0 {
		dst = append(strconv.AppendInt(append(dst, `"requestMessageCount":"`...), int64(m.Requests), 10), '"')
	}
	if m.Responses > 0 {
		if m.Requests > 0 {
			dst = append(dst, ',')
		}
		dst = append(strconv.AppendInt(append(dst, `"responseMessageCount":"`...), int64(m.Responses), 10), '"')
	}
	return append(dst, '}'), nil
}

// maxConnectEnd bounds the last frame of a Connect response that is looked at.
const maxConnectEnd = 64 << 10

// A responseCounter counts the messages of a response. The last frame of a Connect
// response is none: it says how the call ended.
type responseCounter struct {
	frames int
	cutter grpc.Cutter
	state  endState
	end    []byte
}

// endState is how far the last frame of a Connect response came.
type endState uint8

const (
	noEnd endState = iota
	inEnd
	ended
	badEnd
)

// count looks at a piece of the body, and returns how many messages began in it.
func (c *responseCounter) count(body *buffer.Buffer) (began int) {
	var room [16][]byte
	for _, p := range body.Slices(room[:0], math.MaxInt) {
		for len(p) > 0 && c.state <= inEnd {
			var data []byte
			var first, last bool
			data, p, first, last = c.cutter.Next(p)
			switch {
			case first && c.cutter.Header().Flags()&grpc.ConnectEnd != 0:
				c.state = inEnd
			case first:
				began++
			}
			if c.state == inEnd {
				c.addEnd(data, last)
			}
		}
	}
	c.frames += began
	return began
}

func (c *responseCounter) addEnd(data []byte, last bool) {
	switch {
	case len(c.end)+len(data) > maxConnectEnd:
		c.state, c.end = badEnd, nil
	case last:
		c.state = ended
		fallthrough
	default:
		c.end = append(c.end, data...)
	}
}

// success reports whether a Connect call ended, and without an error.
func (c *responseCounter) success() bool { return c.state == ended && connectSucceeded(c.end) }

var errNoObject = errors.New("no object")

// connectSucceeded reports whether the last message of a Connect response is a JSON
// object, and has no code of an error.
func connectSucceeded(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	failed := false
	err := eachMember(d, func(name string) error {
		if name != "error" {
			return skip(d)
		}
		return eachMember(d, func(name string) error {
			failed = failed || name == "code"
			return skip(d)
		})
	})
	return err == nil && !failed && !d.More()
}

// eachMember reads an object; member reads the value that follows each name.
func eachMember(d *json.Decoder, member func(name string) error) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(err, errNoObject)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		if err := member(t.(string)); err != nil { // names of members are strings
			return err
		}
	}
	_, err := d.Token()
	return err
}

// skip reads a value.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
