package headeroption

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
)

// A List is one pair of fields such as request_headers_to_remove and
// request_headers_to_add. It is a route.HeaderMutation; it is immutable, and nil
// changes nothing. Any worker.
type List struct {
	remove []string
	add    []Option
}

// NewList builds the list of the fields at addAt and removeAt; it is nil if both are
// empty. Errors go to errs. Main goroutine.
func NewList(add []*corev3.HeaderValueOption, remove []string, formats format.Compiler, addAt, removeAt conf.Path, errs *conf.Errors) *List {
	if len(add) == 0 && len(remove) == 0 {
		return nil
	}
	l := &List{}
	for i, name := range remove {
		name = match.Lower(name)
		if fixed(name) {
			errs.Add(removeAt.Index(i), ":-prefixed or host headers may not be removed")
		}
		l.remove = append(l.remove, name)
	}
	for i, cfg := range add {
		l.add = append(l.add, New(cfg, formats, addAt.Index(i), errs))
	}
	return l
}

// A pending option has its value, made from the headers as they were before any was
// added.
type pending struct {
	*Option
	value string
}

// MutateHeaders removes first, then overwrites, then adds; what is there and what the
// values are is seen before the first of these two.
func (l *List) MutateHeaders(h *httpmsg.Headers, e *format.Entry) {
	if l == nil {
		return
	}
	for _, name := range l.remove {
		h.RemoveName(name)
	}
	var room [8]pending
	todo := room[:0]
	for i := range l.add {
		o := &l.add[i]
		if text := o.value.String(h, e); (text != "" || o.keepEmpty) && o.applies(h) {
			todo = append(todo, pending{o, text})
		}
	}
	for _, overwriting := range [...]bool{true, false} {
		for _, p := range todo {
			if p.overwrites() == overwriting {
				p.put(h, p.value)
			}
		}
	}
}
