package grpcjsontranscoder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// translateResponse appends the JSON of a gRPC message to dst.
func (cfg *settings) translateResponse(dst []byte, md protoreflect.MessageDescriptor, message []byte) ([]byte, error) {
	m := dynamicpb.NewMessage(md)
	if err := (proto.UnmarshalOptions{AllowPartial: true, Resolver: cfg.types}).Unmarshal(message, m); err != nil {
		return dst, err
	}
	return cfg.appendJSON(dst, m)
}

func (cfg *settings) appendJSON(dst []byte, m proto.Message) ([]byte, error) {
	options := cfg.print
	options.AllowPartial, options.Resolver = true, cfg.types
	text, err := options.Marshal(m)
	if err != nil {
		return dst, err
	}
	text = appendCompact(nil, text)
	if !cfg.whitespace {
		return append(dst, text...), nil
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, text, "", " "); err != nil {
		return dst, err
	}
	return append(append(dst, pretty.Bytes()...), '\n'), nil
}

// statusJSON returns the JSON of a google.rpc.Status: of details, if that is one, or else
// of a gRPC status and its message.
func (cfg *settings) statusJSON(details []byte, code int, message string) ([]byte, error) {
	s := &status.Status{Code: int32(code), Message: message}
	if len(details) > 0 {
		var own status.Status
		if proto.Unmarshal(details, &own) == nil {
			s = &own
		}
	}
	return cfg.appendJSON(nil, s)
}

// appendCompact appends JSON to dst without the spaces between its tokens, and with the
// characters escaped in strings that could harm a script.
func appendCompact(dst, text []byte) []byte {
	inString := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case !inString && (c == ' ' || c == '\n'):
		case !inString || c < utf8.RuneSelf:
			switch {
			case !inString || c >= ' ' && c != '<' && c != '>' && c != 0x7f:
				dst = append(dst, c)
			default:
				dst = fmt.Appendf(dst, `\u%04x`, c)
			}
			switch {
			case c == '"':
				inString = !inString
			case inString && c == '\\' && i+1 < len(text):
				i++
				dst = append(dst, text[i])
			}
		default:
			r, n := utf8.DecodeRune(text[i:])
			if harmful(r) {
				dst = fmt.Appendf(dst, `\u%04x`, r)
			} else {
				dst = append(dst, text[i:i+n]...)
			}
			i += n - 1
		}
	}
	return dst
}

// harmful reports whether protobuf escapes a character: controls, and marks that cannot
// be seen.
func harmful(r rune) bool {
	switch {
	case r <= 0x9f, r == 0xad, r >= 0x600 && r <= 0x603, r == 0x6dd, r == 0x70f, r == 0x17b4, r == 0x17b5,
		r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x2064, r >= 0x206a && r <= 0x206f,
		r == 0xfeff, r >= 0xfff9 && r <= 0xfffb:
		return true
	}
	return false
}
