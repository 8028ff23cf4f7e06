package cluster

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// While hosts start slowly, their weights are set so many times in a window, but not
// more often than each step.
const (
	slowStartSteps   = 100
	minSlowStartStep = 50 * time.Millisecond
)

// SlowStart is how the weights of new hosts grow.
type SlowStart struct {
	Window time.Duration
	// Aggression may be overridden by the runtime if AggressionKey is not ""; what is
	// not positive keeps MinWeight for the whole window.
	Aggression    float64
	AggressionKey string
	MinWeight     float64 // from 0 to 1
}

// slowStartConfig is the message of that name: that of the cluster, or of a policy.
type slowStartConfig interface {
	GetSlowStartWindow() *durationpb.Duration
	GetAggression() *corev3.RuntimeDouble
	GetMinWeightPercent() *typev3.Percent
}

// slowStart reads slow_start_config; without a window there is none.
func (b *Balancing) slowStart(msg slowStartConfig, path conf.Path, errs *conf.Errors) {
	s := &SlowStart{Window: msg.GetSlowStartWindow().AsDuration(), Aggression: 1, MinWeight: 0.1}
	if a := msg.GetAggression(); a != nil {
		s.Aggression, s.AggressionKey = a.GetDefaultValue(), a.GetRuntimeKey()
	}
	if p := msg.GetMinWeightPercent(); p != nil {
		s.MinWeight = p.GetValue() / 100
	}
	if s.Window < 0 {
		errs.Add(path.Field("slow_start_window"), "must not be negative")
	}
	if s.Window > 0 {
		b.SlowStart = s
	}
}
