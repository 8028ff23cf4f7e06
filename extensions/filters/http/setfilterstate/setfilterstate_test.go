package setfilterstate

import (
	"fmt"
	"testing"

	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// config sets keys to values.
func config(t *testing.T, clears bool, pairs ...string) *statev3.Config {
	t.Helper()
	m := &statev3.Config{}
	text := fmt.Sprintf(`{"clear_route_cache": %v, "on_request_headers": [`, clears)
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(`{"object_key": %q, "factory_key": "envoy.string", "format_string": {"text_format_source": {"inline_string": %q}}}`, pairs[i], pairs[i+1])
	}
	if err := protojson.Unmarshal([]byte(text+"]}"), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLevels(t *testing.T) {
	for _, clears := range []bool{false, true} {
		ctx := filtertest.Context(metrics.New(1), nil)
		ctx.Formats = filtertest.Formats{}
		var errs conf.Errors
		of := func(clears bool, pairs ...string) route.FilterConfig {
			return route.FilterConfig{Filter: "filter", Config: Factory{}.BuildRouteConfig(config(t, clears, pairs...), ctx, conf.Path{}, &errs)}
		}
		r := &route.Route{FilterConfigs: []route.FilterConfig{of(true, "a", "route"), of(false, "a", "table", "b", "table"), {Filter: "other", Config: 1}}}
		build := Factory{}.BuildHTTPFilter(config(t, clears, "a", "filter", "b", "filter", "c", "%REQ(x-c)%", "of connection", "x"), ctx, conf.Path{}, &errs)
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		s := filtertest.New(loop.New(1))
		lookups := 0
		s.Table = func(*httpmsg.Headers) *route.Route { lookups++; return r }
		s.Conn.Info().SetFilterState("of connection", 1)
		s.Build(build)
		for range 2 {
			s.Request(true, ":method", "GET", "x-c", "value")
			if got, want := fmt.Sprint(s.Info.FilterState), "map[a:route b:table c:value]"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			s.Route()
			s.Respond(true, ":status", "200")
			s.Recycle()
		}
		if want := map[bool]int{false: 2, true: 4}[clears]; lookups != want {
			t.Errorf("clear %v: the route was looked up %d times, want %d", clears, lookups, want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	m := config(t, false, "", "x")
	ctx := filtertest.Context(metrics.New(1), nil)
	ctx.Formats = filtertest.Formats{}
	var errs conf.Errors
	if (Factory{}).BuildHTTPFilter(m, ctx, conf.Path{}, &errs) != nil || (Factory{}).BuildRouteConfig(m, ctx, conf.Path{}, &errs) != nil {
		t.Error("built")
	}
	const want = "on_request_headers[0].object_key: must not be empty"
	if got := errs.Error(); got != want+"\n"+want {
		t.Error(got)
	}
	if _, missing, err := (Factory{}).Fields()[0].Split(m.ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(missing, err)
	}
}
