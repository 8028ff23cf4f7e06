package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// filterState adds the operators on objects that filters share.
func (t table) filterState() {
	add := func(name string, find func(e *format.Entry, key string) any) {
		t[name] = spec{args: optionalArgs, limit: true, encode: true, build: func(_ *Compiler, arg string) (operator, error) {
			return buildFilterState(find, arg)
		}}
	}
	add("FILTER_STATE", func(e *format.Entry, key string) any {
		if value := e.Stream.FilterState[key]; value != nil {
			return value
		}
		return connection(e.Stream).FilterState[key]
	})
	// No filter of this proxy runs on an upstream connection.
	add("UPSTREAM_FILTER_STATE", func(*format.Entry, string) any { return nil })
}

// buildFilterState is FILTER_STATE(key:PLAIN|TYPED|FIELD:field): an object that is a
// number, a string or has a String method, or a field of one. TYPED, the default,
// makes it a JSON value; an object may make its own, or refuse to.
func buildFilterState(find func(e *format.Entry, key string) any, arg string) (operator, error) {
	key, rest, hasForm := strings.Cut(arg, ":")
	form, field, hasField := strings.Cut(rest, ":")
	field, _, _ = strings.Cut(field, ":")
	switch {
	case key == "":
		return nil, errors.New("Invalid filter state configuration, key cannot be empty.")
	case hasForm && form != "PLAIN" && form != "TYPED" && form != "FIELD":
		return nil, errors.New("Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.")
	case hasField != (form == "FIELD") || form == "FIELD" && field == "":
		return nil, errors.New("Invalid filter state serialize type, FIELD should be used with the field name.")
	case form == "FIELD":
		return func(dst []byte, e *format.Entry) ([]byte, kind) { return appendField(dst, find(e, key), field) }, nil
	}
	return func(dst []byte, e *format.Entry) ([]byte, kind) {
		value := find(e, key)
		if n, number := value.(uint32); number {
			if dst = strconv.AppendUint(dst, uint64(n), 10); form == "PLAIN" {
				return dst, text
			}
			return dst, literal
		}
		if own, ok := value.(json.Marshaler); ok && form != "PLAIN" {
			v, err := own.MarshalJSON()
			if err != nil {
				return dst, missing
			}
			return append(dst, v...), literal
		}
		s, ok := value.(string)
		if v, stringer := value.(fmt.Stringer); stringer {
			s, ok = v.String(), true
		}
		switch {
		case !ok:
			return dst, missing
		case form == "PLAIN":
			return append(dst, s...), text
		}
		return appendString(dst, s), literal
	}, nil
}

func appendField(dst []byte, object any, field string) ([]byte, kind) {
	fields, ok := object.(streaminfo.Fields)
	if !ok {
		return dst, missing
	}
	switch v := fields.Field(field).(type) {
	case string:
		return append(dst, v...), text
	case int64:
		return strconv.AppendInt(dst, v, 10), literal
	}
	return dst, missing
}
