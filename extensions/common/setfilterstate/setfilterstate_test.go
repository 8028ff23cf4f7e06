package setfilterstate

import (
	"fmt"
	"testing"

	statev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/filterstate"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// TestObjects: what Envoy 1.40 makes of these texts is recorded in conformance too.
func TestObjects(t *testing.T) {
	for _, tc := range []struct{ factory, text, want string }{
		{"envoy.string", "", `string ""`},
		{"envoy.string", "a", `string "a"`},
		{"envoy.bool", "Yes", `filterstate.Bool "true"`},
		{"envoy.bool", "0", `filterstate.Bool "false"`},
		{"envoy.bool", "", `none`},
		{"envoy.network.ip", "::1", `filterstate.IP "[::1]:0"`},
		{"envoy.network.ip", "1.2.3.4:5", `none`},
		{filterstate.UpstreamServerName, "a", `filterstate.Text "a"`},
		{filterstate.TCPProxyCluster, "", `filterstate.Text ""`},
		{filterstate.ApplicationProtocols, "h2,http/1.1", `filterstate.List ["h2" "http/1.1"]`},
		{filterstate.UpstreamSubjectAltNames, "a, b", `filterstate.TextList "a, b"`},
		{filterstate.TCPProxyDisableTunneling, "true", `filterstate.Bool "true"`},
		{filterstate.TCPProxyDisableTunneling, "TRUE", `filterstate.Bool "false"`},
		{filterstate.TCPProxyIdleTimeout, " +7 ", `filterstate.Uint64 "7"`},
		{filterstate.TCPProxyIdleTimeout, "18446744073709551616", `none`},
		{filterstate.OriginalLocal, "1.2.3.4:5", `filterstate.Address "1.2.3.4:5"`},
		{filterstate.OriginalRemote, "1.2.3.4", `none`},
		{filterstate.HTTP11ProxyInfo, " a:1 , [::1]:2 ", `filterstate.Proxy {"a:1" "[::1]:2"}`},
		{filterstate.HTTP11ProxyInfo, ",[::1]:2", `none`},
		{filterstate.HTTP11ProxyInfo, "a:1", `none`},
	} {
		build, _ := factoryOf(tc.factory)
		got := "none"
		if object := build(tc.text); object != nil {
			got = fmt.Sprintf("%T %q", object, object)
		}
		if got != tc.want {
			t.Errorf("%s %q: got %s, want %s", tc.factory, tc.text, got, tc.want)
		}
	}
	build, _ := factoryOf("envoy.hashable_string")
	a, b := build("a").(route.Hashable), build("b").(route.Hashable)
	hash, ok := a.Hash()
	if other, _ := b.Hash(); !ok || hash == other || a.(fmt.Stringer).String() != "a" {
		t.Error(a, b)
	}
}

// values builds a list of JSON objects.
func values(t *testing.T, list ...string) (Values, error) {
	t.Helper()
	var msgs []*statev3.FilterStateValue
	for _, text := range list {
		m := new(statev3.FilterStateValue)
		if err := protojson.Unmarshal([]byte(text), m); err != nil {
			t.Fatal(err)
		}
		msgs = append(msgs, m)
	}
	var errs conf.Errors
	vs := New(msgs, filtertest.Formats{}, conf.Path{}.Field("v"), &errs)
	return vs, errs.Err()
}

func text(key, rest, value string) string {
	return `{"object_key": "` + key + `", ` + rest + `"format_string": {"omit_empty_values": true, "text_format_source": {"inline_string": "` + value + `"}}}`
}

func TestSet(t *testing.T) {
	vs, err := values(t,
		text("a", `"factory_key": "envoy.string", `, "%REQ(x-a)%"),
		text("a", `"factory_key": "envoy.string", "skip_if_empty": true, `, "%REQ(x-none)%"),
		text("b", `"factory_key": "envoy.string", "shared_with_upstream": "ONCE", `, "%REQ(x-none)%"),
		text("c", `"factory_key": "envoy.string", "shared_with_upstream": "TRANSITIVE", "read_only": true, `, "c"),
		text("c", `"factory_key": "envoy.bool", `, "no truth"),
		text("d", `"factory_key": "envoy.string", "shared_with_upstream": "ONCE", `, "d"),
		text("d", `"factory_key": "envoy.string", `, "not shared any more"),
		text("below", `"factory_key": "envoy.string", "shared_with_upstream": "ONCE", `, "new"))
	if err != nil {
		t.Fatal(err)
	}
	h := new(httpmsg.Headers)
	h.Add("x-a", "1")
	var info streaminfo.Stream
	vs.Set(&info, map[string]any{"below": 1}, &format.Entry{Request: h, Stream: &info})
	got := fmt.Sprint(info.FilterState, info.SharedState)
	if want := "map[a:1 b: c:c d:not shared any more] map[b:false c:true]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct{ value, want string }{
		{text("my.key", "", "x"), `v[0].object_key: 'my.key' does not have an object factory`},
		{text("my.key", `"factory_key": "envoy.none", `, "x"), `v[0].factory_key: 'envoy.none' does not have an object factory`},
		{text("envoy.upstream.dynamic_host", "", "x"), `v[0].object_key: what uses the object envoy.upstream.dynamic_host is not implemented`},
		{text("my.key", `"factory_key": "envoy.ratelimit.hits_addend", `, "x"), `v[0].factory_key: what uses the object envoy.ratelimit.hits_addend is not implemented`},
		{text("envoy.upstream.dynamic_host", `"factory_key": "envoy.string", `, "x"), `v[0].object_key: what uses the object envoy.upstream.dynamic_host is not implemented`},
		{`{}`, "v[0].object_key: must not be empty\nv[0].format_string: must be set"},
		{text("envoy.string", "", "%NONE%"), `v[0].format_string.text_format_source.inline_string: unknown operator NONE`},
	} {
		if _, err := values(t, tc.value); err == nil || err.Error() != tc.want {
			t.Errorf("%s: %v", tc.value, err)
		}
	}
	if _, missing, err := Fields().Split(new(statev3.FilterStateValue).ProtoReflect().Descriptor()); err != nil || len(missing) > 0 {
		t.Error(missing, err)
	}
}

func FuzzObjects(f *testing.F) {
	for _, s := range []string{"", "true", "1.2.3.4", "1.2.3.4:5", "a:1,[::1]:2", " 7"} {
		f.Add(s)
	}
	names := []string{"envoy.string", "envoy.hashable_string", "envoy.bool", "envoy.network.ip", filterstate.ApplicationProtocols,
		filterstate.UpstreamSubjectAltNames, filterstate.HTTP11ProxyInfo, filterstate.TCPProxyIdleTimeout, filterstate.OriginalLocal}
	f.Fuzz(func(t *testing.T, s string) {
		for _, name := range names {
			build, _ := factoryOf(name)
			if a, b := fmt.Sprint(build(s)), fmt.Sprint(build(s)); a != b {
				t.Errorf("%s: %s and %s", name, a, b)
			}
		}
	})
}
