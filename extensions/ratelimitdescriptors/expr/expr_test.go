package expr

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	exprv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/rate_limit_descriptors/expr/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

type server struct{ extension.Server }

func (server) Node() *corev3.Node { return nil }

func build(t *testing.T, json string) (ratelimit.Action, conf.Errors) {
	t.Helper()
	m := &exprv3.Descriptor{}
	if err := protojson.Unmarshal([]byte(json), m); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	a := Factory{}.BuildRateLimitDescriptor(m, extension.Context{Server: server{}}, conf.Path{}.Field("p"), &errs)
	return a, errs
}

func TestDescribe(t *testing.T) {
	h := &httpmsg.Headers{}
	h.AddID(httpmsg.Method, "PUT")
	r := &ratelimit.Request{Entry: &format.Entry{Request: h, Stream: &streaminfo.Stream{}}}
	for _, tc := range []struct {
		json string
		want ratelimit.Entry
		ok   bool
	}{
		{`{"descriptor_key": "k", "text": "request.method"}`, ratelimit.Entry{Key: "k", Value: "PUT"}, true},
		{`{"descriptor_key": "k", "text": "request.method == 'PUT'"}`, ratelimit.Entry{Key: "k", Value: "true"}, true},
		{`{"descriptor_key": "k", "text": "request.headers['none']"}`, ratelimit.Entry{}, false},
		{`{"descriptor_key": "k", "text": "request.headers['none']", "skip_if_error": true}`, ratelimit.Entry{}, true},
	} {
		a, errs := build(t, tc.json)
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		if e, ok := a.Describe(r); e != tc.want || ok != tc.ok {
			t.Errorf("%s: %v, %v", tc.json, e, ok)
		}
	}
}

func TestErrors(t *testing.T) {
	a, errs := build(t, `{"parsed": {}}`)
	if a != nil || len(errs) != 3 || errs[0].Error() != "p.parsed: field parsed is not implemented" || errs[1].Error() != "p.descriptor_key: must not be empty" {
		t.Error(errs)
	}
	if _, errs := build(t, `{"descriptor_key": "k", "text": "1 +"}`); len(errs) != 1 || errs[0].Path.String() != "p.text" {
		t.Error(errs)
	}
	if _, _, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}
