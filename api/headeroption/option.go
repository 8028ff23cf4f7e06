// Package headeroption changes headers as the messages HeaderValueOption and
// HeaderMutation say: for routes, and for filters that have them in their
// configuration.
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
	keepEmpty bool
	value     Value
}

// Fields lists the implemented fields of HeaderValueOption.
func Fields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.core.v3.HeaderValueOption",
		Names:   []string{"header.key", "header.value", "header.raw_value", "append", "append_action", "keep_empty_value"},
	}
}

// New builds an option. Errors go to errs. Main goroutine.
func New(cfg *corev3.HeaderValueOption, formats format.Compiler, path conf.Path, errs *conf.Errors) Option {
	conf.Check(cfg, Fields(), path, errs)
	header := path.Field("header")
	name, text, at := match.Lower(cfg.GetHeader().GetKey()), cfg.GetHeader().GetValue(), header.Field("value")
	if text == "" { // Envoy takes no raw_value at all
		text, at = string(cfg.GetHeader().GetRawValue()), header.Field("raw_value")
	}
	o := Option{
		name:      name,
		action:    cfg.GetAppendAction(),
		keepEmpty: cfg.GetKeepEmptyValue(),
		value:     NewValue(text, formats, at, errs),
	}
	if fixed(name) {
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

// fixed reports whether a header is out of reach of options.
func fixed(name string) bool { return name == "" || name[0] == ':' || name == "host" }

// Apply changes h, which may be the Request, Response or Trailers of e.
func (o *Option) Apply(h *httpmsg.Headers, e *format.Entry) {
	if !o.applies(h) {
		return
	}
	if value := o.value.String(h, e); value != "" || o.keepEmpty {
		o.put(h, value)
	}
}

// applies reports whether the header may be added, seeing those that are there.
func (o *Option) applies(h *httpmsg.Headers) bool {
	switch o.action {
	case corev3.HeaderValueOption_ADD_IF_ABSENT:
		_, found := h.Find(o.name)
		return !found
	case corev3.HeaderValueOption_OVERWRITE_IF_EXISTS:
		_, found := h.Find(o.name)
		return found
	default:
		return true
	}
}

func (o *Option) overwrites() bool {
	return o.action == corev3.HeaderValueOption_OVERWRITE_IF_EXISTS ||
		o.action == corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
}

// put adds a field, or a value to the one field. A header that is overwritten moves
// to the end, where Envoy has it too.
func (o *Option) put(h *httpmsg.Headers, value string) {
	if o.overwrites() {
		h.RemoveName(o.name)
	}
	h.Append(o.name, value)
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

// String returns the text for e. h is where the caller puts it.
func (v *Value) String(h *httpmsg.Headers, e *format.Entry) string {
	if v.format == nil {
		return v.literal
	}
	return h.Take(v.format.Append(h.Room(), e))
}
