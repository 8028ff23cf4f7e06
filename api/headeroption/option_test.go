package headeroption

import (
	"fmt"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

const (
	appendOrAdd      = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
	addIfAbsent      = corev3.HeaderValueOption_ADD_IF_ABSENT
	overwriteOrAdd   = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	overwriteIfThere = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS
)

func option(key, value string, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: key, Value: value}, AppendAction: action}
}

func keepEmpty(o *corev3.HeaderValueOption) *corev3.HeaderValueOption {
	o.KeepEmptyValue = true
	return o
}

// TestApply has what a real Envoy does with these options.
func TestApply(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  *corev3.HeaderValueOption
		want string // of x-a: 1, x-a: 2, user-agent: u, x-e: ""
	}{
		{"append", option("X-A", "3", appendOrAdd), "x-a=1 x-a=2 user-agent=u x-e= x-a=3"},
		{"append new", option("x-b", "3", appendOrAdd), "x-a=1 x-a=2 user-agent=u x-e= x-b=3"},
		{"append to a list", option("user-agent", "v", appendOrAdd), "x-a=1 x-a=2 user-agent=u,v x-e="},
		{"add if absent, there", option("x-a", "3", addIfAbsent), "x-a=1 x-a=2 user-agent=u x-e="},
		{"add if absent, empty there", option("x-e", "3", addIfAbsent), "x-a=1 x-a=2 user-agent=u x-e="},
		{"add if absent", option("x-b", "3", addIfAbsent), "x-a=1 x-a=2 user-agent=u x-e= x-b=3"},
		{"overwrite", option("x-a", "3", overwriteOrAdd), "user-agent=u x-e= x-a=3"},
		{"overwrite new", option("x-b", "3", overwriteOrAdd), "x-a=1 x-a=2 user-agent=u x-e= x-b=3"},
		{"overwrite if there", option("x-a", "3", overwriteIfThere), "user-agent=u x-e= x-a=3"},
		{"overwrite a list", option("user-agent", "v", overwriteOrAdd), "x-a=1 x-a=2 x-e= user-agent=v"},
		{"overwrite if there, not", option("x-b", "3", overwriteIfThere), "x-a=1 x-a=2 user-agent=u x-e="},
		{"operator", option("x-b", "<%REQ(x-a)%>", appendOrAdd), "x-a=1 x-a=2 user-agent=u x-e= x-b=<1>"},
		{"percent", option("x-b", "5%%", appendOrAdd), "x-a=1 x-a=2 user-agent=u x-e= x-b=5%"},
		{"empty", option("x-b", "%REQ(no)%", appendOrAdd), "x-a=1 x-a=2 user-agent=u x-e="},
		{"empty does not overwrite", option("x-a", "", overwriteOrAdd), "x-a=1 x-a=2 user-agent=u x-e="},
		{"empty kept", keepEmpty(option("x-b", "%REQ(no)%", appendOrAdd)), "x-a=1 x-a=2 user-agent=u x-e= x-b="},
		{"empty overwrites", keepEmpty(option("x-a", "", overwriteOrAdd)), "user-agent=u x-e= x-a="},
		{"raw value", &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: "x-b", RawValue: []byte("\xff")}},
			"x-a=1 x-a=2 user-agent=u x-e= x-b=\xff"},
		{"deprecated append", &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: "x-a", Value: "3"}, Append: wrapperspb.Bool(true)},
			"x-a=1 x-a=2 user-agent=u x-e= x-a=3"},
		{"deprecated overwrite", &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: "x-a", Value: "3"}, Append: wrapperspb.Bool(false)},
			"user-agent=u x-e= x-a=3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var errs conf.Errors
			o := New(tc.cfg, filtertest.Formats{}, conf.Path{}, &errs)
			if errs.Err() != nil {
				t.Fatal(errs)
			}
			h := new(httpmsg.Headers)
			h.AddID(httpmsg.Method, "GET")
			for _, f := range [][2]string{{"x-a", "1"}, {"x-a", "2"}, {"user-agent", "u"}, {"x-e", ""}} {
				h.Add(f[0], f[1])
			}
			o.Apply(h, &format.Entry{Request: h})
			var got []string
			for _, f := range h.Fields()[1:] {
				got = append(got, f.Name+"="+f.Value)
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("got  %s\nwant %s", s, tc.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		cfg  *corev3.HeaderValueOption
		want string
	}{
		{option(":path", "/", appendOrAdd), "o[0].header.key: :-prefixed or host headers may not be modified"},
		{option("Host", "a", appendOrAdd), "o[0].header.key: :-prefixed or host headers may not be modified"},
		{option("x", "%NO%", appendOrAdd), "o[0].header.value: unknown operator NO"},
		{&corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: "x"}, Append: wrapperspb.Bool(true), AppendAction: addIfAbsent},
			"o[0].append: append and append_action must not both be set"},
	} {
		var errs conf.Errors
		NewList([]*corev3.HeaderValueOption{tc.cfg}, nil, filtertest.Formats{}, conf.Path{}.Field("o"), conf.Path{}, &errs)
		if errs.Error() != tc.want {
			t.Errorf("got %s, want %s", errs.Error(), tc.want)
		}
	}
	if _, missing, err := Fields().Split((&corev3.HeaderValueOption{}).ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(fmt.Sprint(missing), err)
	}
}
