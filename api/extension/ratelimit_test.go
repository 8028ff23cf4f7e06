package extension

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/ratelimit"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// static stands for the server and a runtime without values.
type static struct {
	Server
	runtimeconf.Snapshot
}

func (static) ServiceCluster() string            { return "me" }
func (static) Boolean(_ string, value bool) bool { return value }

type loader struct{ static }

func (l loader) Snapshot() runtimeconf.Snapshot { return l.static }

// pathInput is an input for the message StringValue: the header with that name.
type pathInput struct{}

func (pathInput) Name() string          { return "input" }
func (pathInput) Category() string      { return MatchInputs }
func (pathInput) Config() proto.Message { return &wrapperspb.StringValue{} }
func (pathInput) Fields() []conf.Fields { return nil }

func (pathInput) BuildMatchInput(msg proto.Message, _ Context, _ conf.Path, _ *conf.Errors) matcher.Input {
	name := msg.(*wrapperspb.StringValue).GetValue()
	return matcher.TextInput(func(d matcher.Data) matcher.Value { return matcher.TextValue(d.Request.Find(name)) })
}

// descriptor is a descriptor for the message Empty.
type descriptor struct{ pathInput }

func (descriptor) Category() string      { return RateLimitDescriptors }
func (descriptor) Config() proto.Message { return &emptypb.Empty{} }

func (descriptor) BuildRateLimitDescriptor(proto.Message, Context, conf.Path, *conf.Errors) ratelimit.Action {
	return &inputDescriptor{"own", matcher.TextInput(func(matcher.Data) matcher.Value { return matcher.TextValue("x", true) })}
}

func TestRateLimitExtensions(t *testing.T) {
	ctx := Context{Registry: &Registry{}, Server: static{}, Runtime: loader{}}
	if err := ctx.Registry.Add(pathInput{}, descriptor{}); err != nil {
		t.Fatal(err)
	}
	h := &httpmsg.Headers{}
	h.Add("a", "1")
	h.Add("empty", "")
	r := &ratelimit.Request{Entry: &format.Entry{Request: h, Stream: &streaminfo.Stream{}}}
	for _, tc := range []struct {
		msg  proto.Message
		want []ratelimit.Entry
		ok   bool
		err  string
	}{
		{&emptypb.Empty{}, []ratelimit.Entry{{Key: "own", Value: "x"}}, true, ""},
		{wrapperspb.String("a"), []ratelimit.Entry{{Key: "name", Value: "1"}}, true, ""},
		{wrapperspb.String("empty"), nil, true, ""},
		{wrapperspb.String("none"), nil, false, ""},
		{&durationpb.Duration{}, nil, false, "p[0].actions[0].extension.typed_config: no rate limit descriptor is registered for type google.protobuf.Duration"},
	} {
		packed, err := anypb.New(tc.msg)
		if err != nil {
			t.Fatal(err)
		}
		var errs conf.Errors
		p := ctx.RateLimits([]*routev3.RateLimit{{Actions: []*routev3.RateLimit_Action{{ActionSpecifier: &routev3.RateLimit_Action_Extension{
			Extension: &corev3.TypedExtensionConfig{Name: "name", TypedConfig: packed}}}}}}, ratelimit.RouteFields(), conf.Path{}.Field("p"), &errs)
		if errs.Error() != tc.err {
			t.Errorf("%v: %v", tc.msg, errs)
		}
		if tc.err != "" {
			continue
		}
		d := p.Stage(0)[0].Append(nil, r)
		if (len(d) == 1) != tc.ok || tc.ok && len(d[0].Entries) != len(tc.want) || len(tc.want) > 0 && d[0].Entries[0] != tc.want[0] {
			t.Errorf("%v: %+v", tc.msg, d)
		}
	}
	if ctx.RateLimits(nil, ratelimit.RouteFields(), conf.Path{}, nil) != nil {
		t.Error("a policy without rules")
	}
}
