// Package runtimeconf holds the runtime: layers of values that operators change
// while the proxy runs, the later layers before the earlier ones.
//
// The main goroutine, or admin's, changes layers; each change makes a new
// immutable snapshot, which all others read.
package runtimeconf

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// Fields is what is implemented of the runtime's configuration.
var Fields = conf.Fields{
	Message: "envoy.config.bootstrap.v3.LayeredRuntime",
	Names:   []string{"layers.name", "layers.static_layer", "layers.admin_layer"},
}

// A layer is a set of values with a name.
type layer struct {
	name   string
	values map[string]string
}

// A Runtime holds the layers. Any goroutine.
type Runtime struct {
	// Set in New, read-only after.
	admin    int // index of the admin layer, -1 if there is none
	loads    *stats.Counter
	noDir    *stats.Counter // there is no override directory: with every load
	keys     *stats.Gauge
	override *stats.Gauge
	onChange func() // set by OnChange; nil for nobody

	mu       sync.Mutex
	layers   []layer // guarded by mu
	snapshot atomic.Pointer[Snapshot]
}

var _ runtimeconf.Loader = (*Runtime)(nil)

// New builds the runtime from the bootstrap, which may be nil; errors go to errs.
// Admin has a layer only if there is one in the configuration.
func New(cfg *bootstrapv3.LayeredRuntime, scope stats.Scope, path conf.Path, errs *conf.Errors) *Runtime {
	r := &Runtime{
		admin: -1, loads: scope.Counter("runtime.load_success"),
		noDir: scope.Counter("runtime.override_dir_not_exists"), keys: scope.Gauge("runtime.num_keys"),
		override: scope.Gauge("runtime.admin_overrides_active"),
	}
	for _, name := range []string{"load_error", "override_dir_exists", "deprecated_feature_use"} {
		scope.Counter("runtime." + name)
	}
	scope.Gauge("runtime.deprecated_feature_seen_since_process_start")
	conf.Check(cfg, Fields, path, errs)
	seen := map[string]bool{}
	for i, l := range cfg.GetLayers() {
		at := path.Field("layers").Index(i)
		if seen[l.GetName()] {
			errs.Add(at.Field("name"), "there are two layers named %s", l.GetName())
		}
		seen[l.GetName()] = true
		values := map[string]string{}
		switch spec := l.GetLayerSpecifier().(type) {
		case *bootstrapv3.RuntimeLayer_StaticLayer:
			flatten("", spec.StaticLayer, values)
		case *bootstrapv3.RuntimeLayer_AdminLayer_:
			if r.admin >= 0 {
				errs.Add(at.Field("admin_layer"), "there is another admin layer")
			}
			r.admin = i
		}
		r.layers = append(r.layers, layer{l.GetName(), values})
	}
	scope.Gauge("runtime.num_layers").Set(uint64(len(r.layers)))
	r.rebuild()
	r.countLoad() // as when layers that come over the network are complete
	return r
}

// flatten takes the values of nested structs under keys with dots. A struct that
// says numerator is one value, a fraction.
func flatten(prefix string, s *structpb.Struct, to map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(s.GetFields())) {
		v := s.GetFields()[key]
		nested, ok := v.GetKind().(*structpb.Value_StructValue)
		switch {
		case !ok:
			to[prefix+key] = text(v)
		case nested.StructValue.GetFields()["numerator"] != nil:
			to[prefix+key] = fraction(nested.StructValue)
		default:
			flatten(prefix+key+".", nested.StructValue, to)
		}
	}
}

func text(v *structpb.Value) string {
	switch k := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		return strconv.FormatFloat(k.NumberValue, 'f', -1, 64)
	case *structpb.Value_BoolValue:
		return strconv.FormatBool(k.BoolValue)
	default:
		return v.GetStringValue()
	}
}

// fraction writes a FractionalPercent as the number of millionths it is, "25000ppm".
func fraction(s *structpb.Struct) string {
	n := s.GetFields()["numerator"].GetNumberValue()
	switch s.GetFields()["denominator"].GetStringValue() {
	case "TEN_THOUSAND":
		n *= 100
	case "MILLION":
	default:
		n *= 10_000
	}
	return strconv.FormatFloat(n, 'f', 0, 64) + ppm
}

const ppm = "ppm"

// rebuild publishes the merged values. mu is held, or nobody else has r yet.
func (r *Runtime) rebuild() {
	s := &Snapshot{values: map[string]value{}}
	for _, l := range r.layers {
		for key, text := range l.values {
			s.values[key] = parse(text)
		}
	}
	r.snapshot.Store(s)
	r.countLoad()
	r.keys.Set(uint64(len(s.values)))
	if r.admin >= 0 {
		r.override.Set(uint64(len(r.layers[r.admin].values)))
	}
}

func (r *Runtime) countLoad() {
	r.loads.Inc(stats.Any)
	r.noDir.Inc(stats.Any)
}

// Snapshot implements runtimeconf.Loader.
func (r *Runtime) Snapshot() runtimeconf.Snapshot { return r.snapshot.Load() }

// Modify changes values of the admin layer; an empty value removes the key.
func (r *Runtime) Modify(changes map[string]string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.admin < 0 {
		return fmt.Errorf("No admin layer specified") // Envoy's words, shown by admin
	}
	values := maps.Clone(r.layers[r.admin].values)
	for key, text := range changes {
		if text == "" {
			delete(values, key)
		} else {
			values[key] = text
		}
	}
	r.layers[r.admin].values = values
	r.rebuild()
	if r.onChange != nil {
		r.onChange()
	}
	return nil
}

// OnChange has f called after each change of values, on the goroutine that makes it. It is
// called once, before Modify.
func (r *Runtime) OnChange(f func()) { r.onChange = f }

// An Entry is a value as admin shows it: what counts, and what each layer says ("").
type Entry struct {
	Final  string
	Layers []string
}

// Entries returns the names of the layers and all values.
func (r *Runtime) Entries() (layers []string, entries map[string]Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries = map[string]Entry{}
	for i, l := range r.layers {
		layers = append(layers, l.name)
		for key, text := range l.values {
			text = strings.TrimSuffix(text, ppm)
			e, ok := entries[key]
			if !ok {
				e.Layers = make([]string, len(r.layers))
			}
			e.Final, e.Layers[i] = text, text
			entries[key] = e
		}
	}
	return layers, entries
}

// value is a text with what it can be read as.
type value struct {
	text    string
	number  float64
	numeric bool
	boolean bool
	isBool  bool
	ppm     bool
}

func parse(s string) value {
	v := value{text: s}
	var number string
	number, v.ppm = strings.CutSuffix(s, ppm)
	if n, err := strconv.ParseFloat(number, 64); err == nil && n >= 0 {
		v.number, v.numeric = n, true
	}
	switch strings.ToLower(s) {
	case "true":
		v.boolean, v.isBool = true, true
	case "false":
		v.isBool = true
	}
	return v
}

// A Snapshot is an immutable set of values; it implements runtimeconf.Snapshot.
type Snapshot struct{ values map[string]value }

// Integer implements runtimeconf.Snapshot.
func (s *Snapshot) Integer(key string, defaultValue uint64) uint64 {
	if v, ok := s.values[key]; ok && v.numeric && !v.ppm {
		return uint64(v.number)
	}
	return defaultValue
}

// Double implements runtimeconf.Snapshot.
func (s *Snapshot) Double(key string, defaultValue float64) float64 {
	if v, ok := s.values[key]; ok && v.numeric && !v.ppm {
		return v.number
	}
	return defaultValue
}

// Boolean implements runtimeconf.Snapshot.
func (s *Snapshot) Boolean(key string, defaultValue bool) bool {
	if v, ok := s.values[key]; ok && v.isBool {
		return v.boolean
	}
	return defaultValue
}

// Get implements runtimeconf.Snapshot.
func (s *Snapshot) Get(key string) (string, bool) {
	v, ok := s.values[key]
	return strings.TrimSuffix(v.text, ppm), ok
}

// Percent implements runtimeconf.Snapshot. A plain number is a percentage.
func (s *Snapshot) Percent(key string, defaultMillionths uint32) uint32 {
	v, ok := s.values[key]
	switch {
	case !ok || !v.numeric:
		return defaultMillionths
	case v.ppm:
		return uint32(min(v.number, 1_000_000))
	}
	return uint32(min(v.number, 100) * 10_000)
}
