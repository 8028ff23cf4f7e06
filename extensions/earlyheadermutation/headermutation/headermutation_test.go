package headermutation

import (
	"strings"
	"testing"

	mutationsv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

func TestMutations(t *testing.T) {
	var errs conf.Errors
	add := func(key, value string, action corev3.HeaderValueOption_HeaderAppendAction) *mutationsv3.HeaderMutation {
		return &mutationsv3.HeaderMutation{Action: &mutationsv3.HeaderMutation_Append{Append: &corev3.HeaderValueOption{
			Header: &corev3.HeaderValue{Key: key, Value: value}, AppendAction: action}}}
	}
	m := Factory{}.BuildEarlyHeaderMutation(&mutationv3.HeaderMutation{Mutations: []*mutationsv3.HeaderMutation{
		{Action: &mutationsv3.HeaderMutation_Remove{Remove: "x-gone"}},
		add("x-p", "a", corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD),
		add("x-q", "a", corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD),
	}}, extension.Context{}, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	h := new(httpmsg.Headers)
	for _, name := range []string{"x-gone", "x-p", "x-q"} {
		h.Add(name, "b")
	}
	m.MutateHeaders(h, &format.Entry{Request: h})
	var got []string
	for _, f := range h.Fields() {
		got = append(got, f.Name+"="+f.Value)
	}
	if s := strings.Join(got, " "); s != "x-p=b x-p=a x-q=a" {
		t.Errorf("got %s", s)
	}
}

func TestErrors(t *testing.T) {
	var errs conf.Errors
	if (Factory{}).BuildEarlyHeaderMutation(&mutationv3.HeaderMutation{}, extension.Context{}, conf.Path{}, &errs) != nil || len(errs) != 1 {
		t.Errorf("errors: %v", errs)
	}
	if _, _, err := fields().Split((&mutationv3.HeaderMutation{}).ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}
