package route

import (
	"strings"
	"unsafe"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// A mutation removes and adds headers: what one level of the configuration asks
// for. A nil mutation changes nothing.
type mutation struct {
	remove []string
	add    []addition
}

// An addition is one header to add.
type addition struct {
	name      string
	action    corev3.HeaderValueOption_HeaderAppendAction
	joined    bool // fields with this name are one comma-joined value
	keepEmpty bool
	value     format.Format // nil if literal is the value
	literal   string
}

// mutations are the mutations of several levels, in the order in which they are
// made.
type mutations []*mutation

// MutateHeaders implements route.HeaderMutation.
func (m mutations) MutateHeaders(h *httpmsg.Headers, e *format.Entry) {
	for _, one := range m {
		one.apply(h, e)
	}
}

// newMutations leaves out the levels that change nothing.
func newMutations(levels ...*mutation) (m mutations) {
	for _, one := range levels {
		if one != nil {
			m = append(m, one)
		}
	}
	return m
}

// responseMutation returns nil, and not an empty list, if nothing changes.
func responseMutation(m mutations) route.HeaderMutation {
	if len(m) == 0 {
		return nil
	}
	return m
}

// A pending addition has its value, made from the headers as they were before any
// was added.
type pending struct {
	*addition
	value string
}

func (m *mutation) apply(h *httpmsg.Headers, e *format.Entry) {
	if m == nil {
		return
	}
	for _, name := range m.remove {
		h.RemoveName(name)
	}
	var room [8]pending
	todo := room[:0]
	for i := range m.add {
		a := &m.add[i]
		if text := a.text(e); (text != "" || a.keepEmpty) && a.applies(h) {
			todo = append(todo, pending{a, text})
		}
	}
	for _, p := range todo {
		if p.overwrites() {
			p.set(h, p.value)
		}
	}
	for _, p := range todo {
		if !p.overwrites() {
			p.append(h, p.value)
		}
	}
}

func (a *addition) text(e *format.Entry) string {
	if a.value == nil {
		return a.literal
	}
	text := a.value.Append(make([]byte, 0, 64), e)
	return unsafe.String(unsafe.SliceData(text), len(text)) // nobody else has the bytes
}

// applies reports whether the header may be added, seeing those that are there.
func (a *addition) applies(h *httpmsg.Headers) bool {
	switch a.action {
	case corev3.HeaderValueOption_ADD_IF_ABSENT:
		_, found := h.Find(a.name)
		return !found
	case corev3.HeaderValueOption_OVERWRITE_IF_EXISTS:
		_, found := h.Find(a.name)
		return found
	default:
		return true
	}
}

func (a *addition) overwrites() bool {
	return a.action == corev3.HeaderValueOption_OVERWRITE_IF_EXISTS ||
		a.action == corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
}

// set puts the header at the end, where Envoy has it too.
func (a *addition) set(h *httpmsg.Headers, value string) {
	h.RemoveName(a.name)
	h.Add(a.name, value)
}

// append adds a field, or a value to the one field.
func (a *addition) append(h *httpmsg.Headers, value string) {
	if !a.joined {
		h.Add(a.name, value)
		return
	}
	switch old, found := h.Joined(a.name); {
	case !found:
		h.Add(a.name, value)
	case old == "":
		h.SetName(a.name, value)
	default:
		h.SetName(a.name, old+","+value)
	}
}

// mutation builds the mutation of one level; which is "request" or "response".
func (b *builder) mutation(add []*corev3.HeaderValueOption, remove []string, which string, path conf.Path) *mutation {
	if len(add) == 0 && len(remove) == 0 {
		return nil
	}
	m := &mutation{}
	at := path.Field(which + "_headers_to_remove")
	for i, name := range remove {
		if fixed(name) {
			b.errs.Add(at.Index(i), ":-prefixed or host headers may not be removed")
		}
		m.remove = append(m.remove, match.Lower(name))
	}
	at = path.Field(which + "_headers_to_add")
	for i, option := range add {
		m.add = append(m.add, b.addition(option, at.Index(i)))
	}
	return m
}

// fixed reports whether a header is out of reach of mutations.
func fixed(name string) bool {
	return name == "" || name[0] == ':' || strings.EqualFold(name, "host")
}

func (b *builder) addition(cfg *corev3.HeaderValueOption, path conf.Path) addition {
	conf.Check(cfg, HeaderOptionFields(), path, b.errs)
	name := match.Lower(cfg.GetHeader().GetKey())
	a := addition{
		name:      name,
		action:    cfg.GetAppendAction(),
		joined:    httpmsg.CommaJoined(name),
		keepEmpty: cfg.GetKeepEmptyValue(),
	}
	if fixed(name) {
		b.errs.Add(path.Field("header").Field("key"), ":-prefixed or host headers may not be modified")
	}
	if cfg.GetAppend() != nil {
		switch {
		case a.action != corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD:
			b.errs.Add(path.Field("append"), "append and append_action must not both be set")
		case !cfg.GetAppend().GetValue():
			a.action = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
		}
	}
	a.literal = cfg.GetHeader().GetValue()
	if a.literal != "" {
		a.value = b.format(a.literal, path.Field("header").Field("value"))
	}
	if a.value == nil {
		return a
	}
	if text, ok := a.value.Literal(); ok {
		a.value, a.literal = nil, text
	}
	return a
}

// format compiles the value of a header, in which a missing value is nothing.
func (b *builder) format(text string, path conf.Path) format.Format {
	var errs conf.Errors
	f := b.Formats.FromProto(&corev3.SubstitutionFormatString{
		Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineString{InlineString: text}}},
		OmitEmptyValues: true,
	}, path, &errs)
	for i := range errs {
		b.errs.Add(path, "%s", errs[i].Message) // at the text, and not at a field that nobody wrote
	}
	return f
}
