package routecheck

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

// A test is one request and what is expected of its route.
type test struct {
	name              string
	request, response httpmsg.Headers
	random            uint64
	runtime           string // the runtime key that is on
	stream            streaminfo.Stream

	values                          []value
	code                            *uint32
	requestMatches, responseMatches []headerMatch
	requestFields, responseFields   []*corev3.HeaderValue
}

// A value is a name that is expected, "" for none.
type value struct{ kind, want string }

// A headerMatch is a condition on the headers that come out.
type headerMatch struct {
	config  *routev3.HeaderMatcher
	matcher *match.Header
}

// readTests reads a test file: JSON, YAML, or the text format. The error is a
// conf.Errors with everything that is wrong.
func readTests(name string, data []byte) ([]*test, error) {
	schema, err := validation()
	if err != nil {
		return nil, err
	}
	msg := dynamicpb.NewMessage(schema)
	res, err := protoconv.Load(msg, protoconv.Options{}, protoconv.Source{Name: name, Kind: protoconv.KindOf(name, data), Data: data})
	if err != nil {
		return nil, err
	}
	var errs conf.Errors
	var tests []*test
	at := conf.Path{}.Field("tests")
	for i, n := range (node{msg}).list("tests") {
		tests = append(tests, readTest(n, at.Index(i), &errs))
	}
	if len(tests) == 0 {
		errs.Add(at, "there must be at least one test")
	}
	res.Positions.Locate(errs)
	return tests, errs.Err()
}

func readTest(n node, path conf.Path, errs *conf.Errors) *test {
	t := &test{name: n.text("test_name")}
	if t.name == "" {
		errs.Add(path.Field("test_name"), "must not be empty")
	}
	for _, name := range []string{"input", "validate"} {
		if !n.has(name) {
			errs.Add(path.Field(name), "must be set")
		}
	}
	t.readInput(n.message("input"), path.Field("input"), errs)
	t.readExpected(n.message("validate"), path.Field("validate"), errs)
	return t
}

func (t *test) readInput(n node, path conf.Path, errs *conf.Errors) {
	for name, shortest := range map[string]int{"authority": 1, "path": 1, "method": 3} {
		if text := n.text(name); len(text) < shortest {
			errs.Add(path.Field(name), "must have at least %d characters, is %q", shortest, text)
		}
	}
	scheme := "http"
	if n.field("ssl").Bool() {
		scheme = "https"
	}
	t.request.AddID(httpmsg.Authority, n.text("authority"))
	t.request.AddID(httpmsg.Path, n.text("path"))
	t.request.AddID(httpmsg.Method, n.text("method"))
	t.request.AddID(httpmsg.XForwardedProto, scheme)
	t.request.AddID(httpmsg.Scheme, scheme)
	if n.field("internal").Bool() {
		t.request.AddID(httpmsg.XEnvoyInternal, "true")
	}
	for _, h := range headerValues(n, "additional_request_headers", path, errs) {
		t.request.Add(match.Lower(h.GetKey()), h.GetValue())
	}
	for _, h := range headerValues(n, "additional_response_headers", path, errs) {
		t.response.Add(match.Lower(h.GetKey()), h.GetValue())
	}
	t.random, t.runtime = n.field("random_value").Uint(), n.text("runtime")
	t.readMetadata(n.list("dynamic_metadata"), path.Field("dynamic_metadata"), errs)
}

func (t *test) readMetadata(list []node, path conf.Path, errs *conf.Errors) {
	for i, n := range list {
		at, name := path.Index(i), n.text("metadata_namespace")
		fields, err := as(n.message("value"), new(structpb.Struct))
		switch {
		case name == "":
			errs.Add(at.Field("metadata_namespace"), "must not be empty")
		case err != nil:
			errs.Add(at.Field("value"), "%v", err)
		case t.stream.Metadata[name] == nil || n.field("allow_overwrite").Bool():
			t.stream.SetMetadata(name, fields)
		}
	}
}

func headerValues(n node, field string, path conf.Path, errs *conf.Errors) (all []*corev3.HeaderValue) {
	for i, entry := range n.list(field) {
		h, err := as(entry, new(corev3.HeaderValue))
		if err != nil {
			errs.Add(path.Field(field).Index(i), "%v", err)
		}
		all = append(all, h)
	}
	return all
}

func (t *test) readExpected(n node, path conf.Path, errs *conf.Errors) {
	for _, kind := range []string{clusterName, virtualClusterName, virtualHostName, pathRewrite, hostRewrite, pathRedirect} {
		if n.has(kind) {
			t.values = append(t.values, value{kind, n.message(kind).text("value")})
		}
	}
	if n.has(codeRedirect) {
		code := uint32(n.message(codeRedirect).field("value").Uint())
		t.code = &code
	}
	t.requestMatches = headerMatches(n, "request_header_matches", path, errs)
	t.responseMatches = headerMatches(n, "response_header_matches", path, errs)
	t.requestFields = headerValues(n, "request_header_fields", path, errs)
	t.responseFields = headerValues(n, "response_header_fields", path, errs)
}

func headerMatches(n node, field string, path conf.Path, errs *conf.Errors) (all []headerMatch) {
	for i, entry := range n.list(field) {
		at := path.Field(field).Index(i)
		config, err := as(entry, new(routev3.HeaderMatcher))
		if err != nil {
			errs.Add(at, "%v", err)
			continue
		}
		if m := match.NewHeader(config, at, errs); m != nil {
			all = append(all, headerMatch{config, m})
		}
	}
	return all
}
