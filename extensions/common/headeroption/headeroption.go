// Package headeroption adds and overwrites headers as HeaderValueOption messages
// say, for filters that have them in their configuration.
package headeroption

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
)

// An Option adds or overwrites one header. It is immutable. Any worker.
type Option struct {
	name      string
	action    corev3.HeaderValueOption_HeaderAppendAction
	joined    bool // fields with this name are one comma-joined value
	keepEmpty bool
	value     Value
}

// Fields lists the implemented fields of HeaderValueOption.
func Fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.core.v3.HeaderValueOption",
		Where:   "filters",
		Names:   []string{"header.key", "header.value", "header.raw_value", "append", "append_action", "keep_empty_value"},
	}
}

// New builds an option. Errors go to errs. Main goroutine.
func New(cfg *corev3.HeaderValueOption, formats format.Compiler, path conf.Path, errs *conf.Errors) Option {
	conf.Check(cfg, Fields(), path, errs)
	header := path.Field("header")
	name, text := match.Lower(cfg.GetHeader().GetKey()), cfg.GetHeader().GetValue()
	if text == "" {
		text = string(cfg.GetHeader().GetRawValue())
	}
	o := Option{
		name:      name,
		action:    cfg.GetAppendAction(),
		joined:    httpmsg.CommaJoined(name),
		keepEmpty: cfg.GetKeepEmptyValue(),
		value:     NewValue(text, formats, header.Field("value"), errs),
	}
	if name == "" || strings.HasPrefix(name, ":") || name == "host" {
		errs.Add(header.Field("key"), ":-prefixed or host headers may not be modified")
	}
	if cfg.GetAppend() != nil {
		switch {
		case o.action != corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD:
			errs.Add(path.Field("append"), "append and append_action must not both be set")
		case !cfg.GetAppend().GetValue():
			o.action = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
		}
	}
	return o
}

// NewList builds the options of a list. Errors go to errs. Main goroutine.
func NewList(cfgs []*corev3.HeaderValueOption, formats format.Compiler, path conf.Path, errs *conf.Errors) []Option {
	var out []Option
	for i, cfg := range cfgs {
		out = append(out, New(cfg, formats, path.Index(i), errs))
	}
	return out
}

// Apply changes h, which may be the Request, Response or Trailers of e. The caller
// keeps scratch from one call to the next.
func (o *Option) Apply(h *httpmsg.Headers, e *format.Entry, scratch *[]byte) {
	_, found := h.Find(o.name)
	switch o.action {
	case corev3.HeaderValueOption_ADD_IF_ABSENT:
		if found {
			return
		}
	case corev3.HeaderValueOption_OVERWRITE_IF_EXISTS:
		if !found {
			return
		}
	}
	value := o.value.String(h, e, scratch)
	switch {
	case value == "" && !o.keepEmpty:
	case o.action != corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD:
		if !o.joined { // a header that may be repeated moves to the end
			h.RemoveName(o.name)
		}
		h.SetName(o.name, value)
	case found && o.joined:
		if old, _ := h.Joined(o.name); old != "" {
			value = old + "," + value
		}
		h.SetName(o.name, value)
	default:
		h.Add(o.name, value)
	}
}

// A Value is the text of a header: a format string in which values that are missing
// are empty. It is immutable.
type Value struct {
	format  format.Format // nil if literal is the value
	literal string
}

// NewValue compiles a value. Errors go to errs with path. Main goroutine.
func NewValue(text string, formats format.Compiler, path conf.Path, errs *conf.Errors) Value {
	if !strings.Contains(text, "%") {
		return Value{literal: text}
	}
	var inner conf.Errors
	f := formats.FromProto(&corev3.SubstitutionFormatString{
		Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineString{InlineString: text}}},
		OmitEmptyValues: true,
	}, path, &inner)
	for _, err := range inner {
		errs.Add(path, "%s", err.Message) // the message that has the text is ours
	}
	if f == nil {
		return Value{}
	}
	if literal, ok := f.Literal(); ok {
		return Value{literal: literal}
	}
	return Value{format: f}
}

// String returns the text for e, which belongs to the headers h. The caller keeps
// scratch from one call to the next.
func (v *Value) String(h *httpmsg.Headers, e *format.Entry, scratch *[]byte) string {
	if v.format == nil {
		return v.literal
	}
	*scratch = v.format.Append((*scratch)[:0], e)
	return h.String(*scratch)
}
