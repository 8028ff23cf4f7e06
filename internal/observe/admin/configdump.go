package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// A ConfigSection is one part of /config_dump.
type ConfigSection struct {
	// Endpoints says that the section is shown with include_eds only.
	Endpoints bool
	// Dump returns one of the envoy.admin.v3 *ConfigDump messages with those resources
	// whose names match. Admin does not change it.
	Dump func(match func(name string) bool) proto.Message
}

// A problem is an error answer.
type problem struct {
	status  int
	message string
}

func (p *problem) Error() string { return p.message }

func badRequest(format string, args ...any) error {
	return &problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func (s *Server) serveConfigDump(w http.ResponseWriter, _ *http.Request, query url.Values) {
	dump, err := s.configDump(query)
	if err != nil {
		status := http.StatusInternalServerError
		if p, isProblem := errors.AsType[*problem](err); isProblem {
			status = p.status
		}
		w.Header().Set("Content-Type", "text/plain")
		fail(w, status, err.Error())
		return
	}
	s.writeJSON(w, dump)
}

func (s *Server) configDump(query url.Values) (*adminv3.ConfigDump, error) {
	match, err := s.wholeName(query.Get("name_regex"))
	if err != nil {
		return nil, err
	}
	var sections []proto.Message
	for _, section := range s.config.Sections {
		if !section.Endpoints || query.Has("include_eds") {
			sections = append(sections, section.Dump(match))
		}
	}
	mask := query.Get("mask")
	if resource := query.Get("resource"); resource != "" {
		return dumpResource(sections, resource, mask)
	}
	return dumpAll(sections, mask)
}

// wholeName returns a function that matches whole names; all of them for "".
func (s *Server) wholeName(pattern string) (func(string) bool, error) {
	if pattern == "" {
		return func(string) bool { return true }, nil
	}
	if _, err := s.config.Regexp(pattern); err != nil {
		return nil, badRequest("INVALID_ARGUMENT: Error while parsing name_regex from %s: %v", pattern, err)
	}
	return s.config.Regexp(`\A(?:` + pattern + `)\z`)
}

// dumpAll returns the sections; with a mask, those that it fits.
func dumpAll(sections []proto.Message, mask string) (*adminv3.ConfigDump, error) {
	dump := &adminv3.ConfigDump{}
	for _, section := range sections {
		if mask != "" {
			section = proto.Clone(section)
			fits, err := trim(section.ProtoReflect(), parseMask(mask))
			if err != nil {
				return nil, err
			}
			if !fits {
				continue
			}
		}
		if err := addConfig(dump, section); err != nil {
			return nil, err
		}
	}
	if len(dump.Configs) == 0 && mask != "" {
		return nil, badRequest("FieldMask %s could not be successfully applied to any configs.", mask)
	}
	return dump, nil
}

// dumpResource returns the elements of the repeated field of that name.
func dumpResource(sections []proto.Message, resource, mask string) (*adminv3.ConfigDump, error) {
	for _, section := range sections {
		m := section.ProtoReflect()
		field := m.Descriptor().Fields().ByName(protoreflect.Name(resource))
		if field == nil {
			continue
		}
		if !field.IsList() || field.Message() == nil {
			return nil, badRequest("%s is not a repeated field. Use ?mask=%s to get only this field", resource, resource)
		}
		dump := &adminv3.ConfigDump{}
		list := m.Get(field).List()
		for i := range list.Len() {
			element := list.Get(i).Message().Interface()
			if mask != "" {
				element = proto.Clone(element)
				fits, err := trim(element.ProtoReflect(), parseMask(mask))
				if err != nil {
					return nil, err
				}
				if !fits {
					return nil, badRequest("FieldMask %s could not be successfully used.", mask)
				}
			}
			if err := addConfig(dump, element); err != nil {
				return nil, err
			}
		}
		return dump, nil
	}
	return nil, &problem{http.StatusNotFound, resource + " not found in config dump"}
}

func addConfig(dump *adminv3.ConfigDump, msg proto.Message) error {
	packed, err := anypb.New(msg)
	dump.Configs = append(dump.Configs, packed)
	return err
}

// A fieldMask is the set of fields to keep, with the masks of what is in them; an empty
// one keeps everything.
type fieldMask map[protoreflect.Name]fieldMask

func parseMask(text string) fieldMask {
	mask := fieldMask{}
	for _, path := range strings.Split(text, ",") {
		at := mask
		names := strings.Split(path, ".")
		for i, name := range names {
			next, there := at[protoreflect.Name(name)]
			if there && len(next) == 0 {
				break // all of it is kept already
			}
			if next == nil || i == len(names)-1 {
				next = fieldMask{}
				at[protoreflect.Name(name)] = next
			}
			at = next
		}
	}
	return mask
}

// trim clears the fields of m that mask does not keep. It returns false, and m is of
// no use, if m has no such fields. The fields inside an Any are those of what it
// holds; lists are kept as a whole.
func trim(m protoreflect.Message, mask fieldMask) (fits bool, err error) {
	fields := m.Descriptor().Fields()
	for name, inner := range mask {
		field := fields.ByName(name)
		switch {
		case field == nil:
			return false, nil
		case len(inner) == 0:
		case field.Message() == nil || field.IsList() || field.IsMap():
			return false, nil
		case field.Message().FullName() == "google.protobuf.Any":
			if fits, err := trimAny(m, field, inner); !fits || err != nil {
				return false, err
			}
		case !m.Has(field): // the mask must fit all the same
			if fits, err := trim(m.NewField(field).Message(), inner); !fits || err != nil {
				return false, err
			}
		default:
			if fits, err := trim(m.Mutable(field).Message(), inner); !fits || err != nil {
				return false, err
			}
		}
	}
	m.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if _, keep := mask[field.Name()]; !keep {
			m.Clear(field)
		}
		return true
	})
	return true, nil
}

func trimAny(m protoreflect.Message, field protoreflect.FieldDescriptor, mask fieldMask) (fits bool, err error) {
	if !m.Has(field) {
		return true, nil
	}
	packed, isAny := m.Get(field).Message().Interface().(*anypb.Any)
	if !isAny {
		return false, nil
	}
	msg, err := packed.UnmarshalNew()
	if err != nil {
		return false, err
	}
	if fits, err := trim(msg.ProtoReflect(), mask); !fits || err != nil {
		return false, err
	}
	repacked, err := anypb.New(msg)
	if err != nil {
		return false, err
	}
	m.Set(field, protoreflect.ValueOfMessage(repacked.ProtoReflect()))
	return true, nil
}
