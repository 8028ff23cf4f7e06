// Package httpinputs gives matchers the parts of an HTTP request and its response.
package httpinputs

import (
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/matcher"
)

// Factories returns the factories of all inputs.
func Factories() []extension.Factory {
	return []extension.Factory{
		&factory{"request_headers", &matcherv3.HttpRequestHeaderMatchInput{}, "header_name", header(request)},
		&factory{"request_trailers", &matcherv3.HttpRequestTrailerMatchInput{}, "header_name", header(requestTrailers)},
		&factory{"response_headers", &matcherv3.HttpResponseHeaderMatchInput{}, "header_name", header(response)},
		&factory{"response_trailers", &matcherv3.HttpResponseTrailerMatchInput{}, "header_name", header(responseTrailers)},
		&factory{"query_params", &matcherv3.HttpRequestQueryParamMatchInput{}, "query_param", queryParam},
		&factory{"status_code_input", &matcherv3.HttpResponseStatusCodeMatchInput{}, "", constant(statusCode)},
		&factory{"status_code_class_input", &matcherv3.HttpResponseStatusCodeClassMatchInput{}, "", constant(statusCodeClass)},
		&factory{"local_reply", &matcherv3.HttpResponseLocalReplyMatchInput{}, "", constant(localReply)},
	}
}

// A factory makes one kind of input.
type factory struct {
	name    string
	message proto.Message
	field   string // the only field of the message, a name; "" for none
	input   func(name string) matcher.TextInput
}

// Name implements extension.Factory.
func (f *factory) Name() string { return "envoy.matching.inputs." + f.name }

// Category implements extension.Factory.
func (f *factory) Category() string { return extension.MatchInputs }

// Config implements extension.Factory.
func (f *factory) Config() proto.Message { return f.message.ProtoReflect().New().Interface() }

// Fields implements extension.Factory.
func (f *factory) Fields() []conf.Fields {
	fields := conf.Fields{Message: f.message.ProtoReflect().Descriptor().FullName()}
	if f.field != "" {
		fields.Names = []string{f.field}
	}
	return []conf.Fields{fields}
}

// BuildMatchInput implements extension.MatchInputFactory.
func (f *factory) BuildMatchInput(msg proto.Message, _ extension.Context, path conf.Path, errs *conf.Errors) matcher.Input {
	name := ""
	switch cfg := msg.(type) {
	case interface{ GetHeaderName() string }:
		name = match.Lower(cfg.GetHeaderName())
	case interface{ GetQueryParam() string }:
		name = cfg.GetQueryParam()
	}
	if f.field != "" && name == "" {
		errs.Add(path.Field(f.field), "must not be empty")
		return nil
	}
	return f.input(name)
}

func request(d matcher.Data) *httpmsg.Headers          { return d.Request }
func requestTrailers(d matcher.Data) *httpmsg.Headers  { return d.RequestTrailers }
func response(d matcher.Data) *httpmsg.Headers         { return d.Response }
func responseTrailers(d matcher.Data) *httpmsg.Headers { return d.ResponseTrailers }

// header is the value of a header, or the values of a repeated one, joined.
func header(of func(matcher.Data) *httpmsg.Headers) func(string) matcher.TextInput {
	return func(name string) matcher.TextInput {
		if name == "host" {
			name = httpmsg.Authority.String()
		}
		return func(d matcher.Data) matcher.Value {
			h := of(d)
			if h == nil {
				return matcher.Value{State: matcher.NotYet}
			}
			return matcher.TextValue(h.Joined(name))
		}
	}
}

func queryParam(name string) matcher.TextInput {
	return func(d matcher.Data) matcher.Value {
		if d.Request == nil || !d.Request.Has(httpmsg.Path) {
			return matcher.Value{State: matcher.NotYet}
		}
		return matcher.TextValue(match.DecodedQueryValue(d.Request.Get(httpmsg.Path), name))
	}
}

func constant(input matcher.TextInput) func(string) matcher.TextInput {
	return func(string) matcher.TextInput { return input }
}

func statusCode(d matcher.Data) matcher.Value {
	if d.Response == nil {
		return matcher.Value{State: matcher.NotYet}
	}
	return matcher.TextValue(d.Response.Get(httpmsg.Status), d.Response.StatusCode() != 0)
}

func statusCodeClass(d matcher.Data) matcher.Value {
	if d.Response == nil {
		return matcher.Value{State: matcher.NotYet}
	}
	class := d.Response.StatusCode() / 100
	if class < 1 || class > 5 {
		return matcher.Value{}
	}
	const classes = "1xx2xx3xx4xx5xx"
	return matcher.TextValue(classes[3*class-3:3*class], true)
}

// localReply is "true" for a response that the proxy made.
func localReply(d matcher.Data) matcher.Value {
	switch {
	case d.Stream == nil || d.Stream.ResponseDetails == "":
		return matcher.Value{State: matcher.NotYet}
	case d.Stream.ResponseDetails == "via_upstream":
		return matcher.TextValue("false", true)
	default:
		return matcher.TextValue("true", true)
	}
}
