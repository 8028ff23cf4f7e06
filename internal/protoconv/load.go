// Package protoconv turns configuration text and bytes into proto messages and
// back. Loading reports everything that is wrong at once, each with its file,
// line, column and field path, and looks into every google.protobuf.Any.
package protoconv

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A Kind is a form in which configuration is written.
type Kind uint8

// The kinds of configuration.
const (
	YAML   Kind = iota // also JSON under a YAML name
	JSON               // strict
	Binary             // the protobuf wire format
	Text               // the protobuf text format
)

// KindOf returns the kind of a file by the extension of its name, and without a
// known one by its content: JSON or YAML.
func KindOf(name string, data []byte) Kind {
	switch strings.ToLower(path.Ext(name)) {
	case ".json":
		return JSON
	case ".yaml", ".yml":
		return YAML
	case ".pb":
		return Binary
	case ".pb_text":
		return Text
	}
	if json.Valid(data) {
		return JSON
	}
	return YAML
}

// Unknown says what becomes of a field or an enum value that the message does
// not have.
type Unknown uint8

// The policies for unknown fields.
const (
	RejectUnknown Unknown = iota // an error
	WarnUnknown                  // skipped, with a warning
)

// Options say how strictly a configuration is read. The zero value is Envoy's
// treatment of the bootstrap without flags.
type Options struct {
	// Unknown is the policy for unknown fields and enum values. Text sources
	// always reject them, as with Envoy.
	Unknown Unknown
	// Runtime returns the boolean of a runtime key, or otherwise its second
	// argument; nil means no key is set. It decides about deprecated fields and
	// is called after all sources are decoded.
	Runtime func(key string, otherwise bool) bool
}

// A Source is one input of a load.
type Source struct {
	Name string // for messages, usually the file name
	Kind Kind
	Data []byte
}

// A WarningKind says what a warning is about.
type WarningKind string

// The kinds of warnings; Envoy counts each in a statistic of its own.
const (
	UnknownField    WarningKind = "unknown"
	DeprecatedField WarningKind = "deprecated"
	WorkInProgress  WarningKind = "work_in_progress"
)

// A Warning is something accepted that its author should know. In JSON it is
// the object of the error with the key kind beside.
type Warning struct {
	Kind WarningKind `json:"kind"`
	conf.Error
}

// A Result is what a load found out beside the message.
type Result struct {
	Warnings  []Warning
	Positions *Positions
	// Decoded says that all of the sources is in the message; it may still break the
	// rules of the proto files.
	Decoded bool
}

// Load decodes the sources into msg one after the other, each merged over those
// before as proto.Merge does, then validates the whole as Validate does. The
// error is a conf.Errors with everything that is wrong, in the order of the
// sources. The result is valid, without some positions, after an error too.
// Load keeps nothing of the sources.
func Load(msg proto.Message, opts Options, sources ...Source) (*Result, error) {
	res := &Result{Positions: &Positions{}}
	var errs conf.Errors
	for _, src := range sources {
		warnings, err := decode(msg, src, opts.Unknown, res.Positions)
		res.Warnings = append(res.Warnings, warnings...)
		errs = append(errs, err...)
	}
	res.Decoded = len(errs) == 0
	warnings, invalid := validate(msg, conf.Path{}, opts)
	for i := range warnings {
		res.Positions.locate(&warnings[i].Error)
	}
	res.Positions.Locate(invalid)
	res.Warnings = append(res.Warnings, warnings...)
	errs = append(errs, WithoutConsequences(invalid, errs)...)
	errs.Sort()
	return res, errs.Err()
}

// WithoutConsequences drops from later errors what only follows from a value that
// is wrong already: errors about that value, in it, or about the message that lacks
// it. After a syntax error everything follows from it.
func WithoutConsequences(later, earlier conf.Errors) conf.Errors {
	broken, around := map[string]bool{}, map[string]bool{}
	for _, e := range earlier {
		if e.Path.IsRoot() {
			return nil
		}
		broken[e.Path.String()], around[e.Path.Parent().String()] = true, true
	}
	return slices.DeleteFunc(later, func(e conf.Error) bool {
		if around[e.Path.String()] {
			return true
		}
		for p := e.Path; !p.IsRoot(); p = p.Parent() {
			if broken[p.String()] {
				return true
			}
		}
		return false
	})
}

// decode merges one source into msg.
func decode(msg proto.Message, src Source, unknown Unknown, pos *Positions) ([]Warning, conf.Errors) {
	if pos.root.file == "" {
		pos.root.file = src.Name
	}
	switch src.Kind {
	case Binary:
		if err := (proto.UnmarshalOptions{Merge: true, AllowPartial: true}).Unmarshal(src.Data, msg); err != nil {
			return nil, syntaxError(src.Name, 0, 0, "not a valid binary "+string(msg.ProtoReflect().Descriptor().FullName()))
		}
		return nil, nil
	case Text:
		return nil, decodeText(msg, src)
	}
	parse := parseYAML
	if src.Kind == JSON {
		parse = parseJSON
	}
	root, errs := parse(src.Name, bytes.TrimPrefix(src.Data, []byte("\ufeff")))
	if errs != nil {
		return nil, errs
	}
	d := &decoder{file: src.Name, json: src.Kind == JSON, unknown: unknown, values: maxValues(len(src.Data))}
	d.message(root, msg.ProtoReflect(), conf.Path{}, &pos.root, 0)
	return d.warnings, d.errs
}

// decodeText merges a source in the text format. Its parser stops at the first
// error and gives the position in its text, "proto: (line 3:5): ...".
func decodeText(msg proto.Message, src Source) conf.Errors {
	fresh := msg.ProtoReflect().New().Interface()
	err := prototext.UnmarshalOptions{AllowPartial: true}.Unmarshal(src.Data, fresh)
	if err == nil {
		proto.Merge(msg, fresh)
		return nil
	}
	_, after, _ := strings.Cut(err.Error(), "(line ")
	place, message, found := strings.Cut(after, "): ")
	line, column, _ := strings.Cut(place, ":")
	l, lineErr := strconv.Atoi(line)
	c, columnErr := strconv.Atoi(column)
	if !found || lineErr != nil || columnErr != nil {
		return syntaxError(src.Name, 0, 0, "invalid text format: "+err.Error())
	}
	return syntaxError(src.Name, l, c, "invalid text format: "+message)
}
