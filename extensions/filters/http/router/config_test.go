package router

import (
	"testing"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func wrap(v bool) *wrapperspb.BoolValue { return wrapperspb.Bool(v) }

func anyLog() *accesslogv3.AccessLog { return &accesslogv3.AccessLog{Name: "log"} }

type logFunc func(e *format.Entry)

func (f logFunc) Log(e *format.Entry) { f(e) }

func TestFieldsFitTheMessage(t *testing.T) {
	_, missing, err := fields().Split((&routerv3.Router{}).ProtoReflect().Descriptor())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"start_child_span"}
	if len(missing) != len(want) {
		t.Fatalf("missing %v, want %v", missing, want)
	}
	for i := range want {
		if missing[i] != want[i] {
			t.Errorf("missing %v, want %v", missing, want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	tests := []struct {
		name string
		m    *routerv3.Router
		want string
	}{
		{"empty", &routerv3.Router{}, ""},
		{"all that is implemented", &routerv3.Router{
			DynamicStats: wrap(false), SuppressEnvoyHeaders: true, StrictCheckHeaders: []string{"x-envoy-retry-on"},
			RespectExpectedRqTimeout: true, SuppressGrpcRequestFailureCodeStats: true,
			RejectConnectRequestEarlyData: wrap(true), UpstreamLog: []*accesslogv3.AccessLog{anyLog()},
		}, ""},
		{"span", &routerv3.Router{StartChildSpan: true}, "start_child_span: field start_child_span is not implemented"},
		{"flush interval", &routerv3.Router{UpstreamLogOptions: &routerv3.Router_UpstreamAccessLogOptions{
			UpstreamLogFlushInterval: durationpb.New(999_999),
		}}, "upstream_log_options.upstream_log_flush_interval: must be at least 1ms"},
		{"header", &routerv3.Router{StrictCheckHeaders: []string{"x-envoy-retry-on", "x-other"}},
			`strict_check_headers[1]: "x-other" cannot be checked`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := filtertest.Context(metrics.New(1), filtertest.Clusters{})
			ctx.AccessLogs = filtertest.Loggers{}
			var errs conf.Errors
			build := Factory{}.BuildHTTPFilter(tt.m, ctx, conf.Path{}, &errs)
			if got := errs.Error(); got != tt.want {
				t.Errorf("errors %q, want %q", got, tt.want)
			}
			if (build == nil) != (tt.want != "") {
				t.Error("a builder comes without errors, and nil with them")
			}
		})
	}
}

func TestFactory(t *testing.T) {
	f := Factory{}
	if f.Name() != "envoy.filters.http.router" || f.Category() != "envoy.filters.http" || !f.Terminal() {
		t.Errorf("%s in %s, terminal %v", f.Name(), f.Category(), f.Terminal())
	}
	if !proto.Equal(f.Config(), &routerv3.Router{}) {
		t.Error("Config is not an empty Router")
	}
}

// TestStatNames: what appears in the statistics before the first request, as in Envoy.
func TestStatNames(t *testing.T) {
	scope := metrics.New(1)
	newStats(scope.Scope("http.in."))
	want := []string{
		"http.in.no_cluster", "http.in.no_route", "http.in.passthrough_internal_redirect_bad_location",
		"http.in.passthrough_internal_redirect_no_route", "http.in.passthrough_internal_redirect_predicate",
		"http.in.passthrough_internal_redirect_too_many_redirects", "http.in.passthrough_internal_redirect_unsafe_scheme",
		"http.in.rq_direct_response", "http.in.rq_overload_local_reply", "http.in.rq_redirect",
		"http.in.rq_reset_after_downstream_response_started", "http.in.rq_total",
	}
	got := scope.Names()
	if len(got) != len(want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
}
