package routecheck

import (
	"fmt"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
)

// A runtime answers for the runtime of a proxy: nothing is set, and a route with a
// runtime_fraction is on only for the tests that name its key, if their random value
// is below the fraction. It implements runtimeconf.Loader and Snapshot.
type runtime struct {
	fractions map[string]fraction // by the key that rule put in place of the real one

	// Of the test that runs.
	active string
	random uint64
}

type fraction struct {
	key   string
	share *typev3.FractionalPercent
}

// rule prepares a configuration, which it changes: every fraction gets a key of its
// own, and a share of nothing becomes the smallest that is more, so that it can be
// tested.
func (r *runtime) rule(config *routev3.RouteConfiguration) {
	r.fractions = map[string]fraction{}
	for _, host := range config.GetVirtualHosts() {
		for _, entry := range host.GetRoutes() {
			f := entry.GetMatch().GetRuntimeFraction()
			if f == nil {
				continue
			}
			if f.DefaultValue == nil {
				f.DefaultValue = new(typev3.FractionalPercent)
			}
			share := f.GetDefaultValue()
			share.Numerator = max(share.Numerator, 1)
			own := fmt.Sprintf("%s (%d of %s)", f.GetRuntimeKey(), share.GetNumerator(), share.GetDenominator())
			r.fractions[own] = fraction{f.GetRuntimeKey(), share}
			f.RuntimeKey = own
		}
	}
}

// Snapshot implements runtimeconf.Loader.
func (r *runtime) Snapshot() runtimeconf.Snapshot { return r }

// Percent implements runtimeconf.Snapshot.
func (r *runtime) Percent(key string, otherwise uint32) uint32 {
	f, ok := r.fractions[key]
	if !ok {
		return otherwise
	}
	of := uint64(100)
	switch f.share.GetDenominator() {
	case typev3.FractionalPercent_TEN_THOUSAND:
		of = 10_000
	case typev3.FractionalPercent_MILLION:
		of = 1_000_000
	}
	if r.active == "" || r.active != f.key || r.random%of >= uint64(f.share.GetNumerator()) {
		return 0
	}
	return 1_000_000
}

// Integer implements runtimeconf.Snapshot.
func (*runtime) Integer(_ string, otherwise uint64) uint64 { return otherwise }

// Double implements runtimeconf.Snapshot.
func (*runtime) Double(_ string, otherwise float64) float64 { return otherwise }

// Boolean implements runtimeconf.Snapshot.
func (*runtime) Boolean(_ string, otherwise bool) bool { return otherwise }

// Get implements runtimeconf.Snapshot.
func (*runtime) Get(string) (string, bool) { return "", false }
