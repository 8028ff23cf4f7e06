package runtimeconf

import (
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/conf"
	api "github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func load(t *testing.T, text string) (*Runtime, conf.Errors) {
	t.Helper()
	cfg := new(bootstrapv3.LayeredRuntime)
	if err := protojson.Unmarshal([]byte(text), cfg); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	return New(cfg, metrics.New(1), conf.Path{}, &errs), errs
}

func TestLaterLayersWin(t *testing.T) {
	r, errs := load(t, `{"layers":[
		{"name":"a","static_layer":{"n":5,"f":1.5,"b":true,"s":"x","nest":{"deep":7},"p":{"numerator":5,"denominator":"TEN_THOUSAND"},"q":25}},
		{"name":"b","static_layer":{"n":6}},{"name":"admin","admin_layer":{}}]}`)
	if errs != nil {
		t.Fatal(errs)
	}
	s := r.Snapshot()
	if s.Integer("n", 0) != 6 || s.Double("f", 0) != 1.5 || !s.Boolean("b", false) || s.Integer("nest.deep", 0) != 7 {
		t.Error("typed values are wrong")
	}
	if got := s.Percent("p", 0); got != 500 {
		t.Errorf("fraction %d", got)
	}
	if got := s.Percent("q", 0); got != 250_000 {
		t.Errorf("percent %d", got)
	}
	if s.Integer("b", 9) != 9 || s.Boolean("n", true) != true || s.Integer("none", 3) != 3 || s.Percent("s", 4) != 4 {
		t.Error("a value of another type must give the default")
	}
	if err := r.Modify(map[string]string{"n": "8", "new": "true"}); err != nil {
		t.Fatal(err)
	}
	if r.Snapshot().Integer("n", 0) != 8 || s.Integer("n", 0) != 6 {
		t.Error("a change must make a new snapshot and leave the old one")
	}
	if err := r.Modify(map[string]string{"n": ""}); err != nil || r.Snapshot().Integer("n", 0) != 6 {
		t.Error("an empty value must uncover the layer below")
	}
	layers, entries := r.Entries()
	if len(layers) != 3 || entries["n"].Final != "6" || entries["n"].Layers[0] != "5" || entries["p"].Final != "500" {
		t.Errorf("entries: %v %v", layers, entries)
	}
	if got := (api.Fraction{Key: "p", Millionths: 1_000_000}); got.Enabled(r.Snapshot(), 500) || !got.Enabled(r.Snapshot(), 499) {
		t.Error("fraction does not follow the runtime")
	}
}

func TestBadRuntime(t *testing.T) {
	_, errs := load(t, `{"layers":[{"name":"a","static_layer":{}},{"name":"a","disk_layer":{"symlink_root":"/x"}}]}`)
	if len(errs) != 2 {
		t.Errorf("errors: %v", errs)
	}
	r, _ := load(t, `{}`)
	if r.Modify(map[string]string{"a": "1"}) == nil {
		t.Error("there is no admin layer to modify")
	}
}

// TestLoads: start counts two, as in Envoy, and each change one.
func TestLoads(t *testing.T) {
	scope := metrics.New(1)
	r := New(&bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{
		{Name: "admin", LayerSpecifier: &bootstrapv3.RuntimeLayer_AdminLayer_{AdminLayer: &bootstrapv3.RuntimeLayer_AdminLayer{}}},
	}}, scope, conf.Path{}, new(conf.Errors))
	for want := uint64(2); want < 4; want++ {
		for _, name := range []string{"runtime.load_success", "runtime.override_dir_not_exists"} {
			if got := scope.Value(name); got != want {
				t.Errorf("%s is %d, want %d", name, got, want)
			}
		}
		if err := r.Modify(map[string]string{"a": "1"}); err != nil {
			t.Fatal(err)
		}
	}
}
