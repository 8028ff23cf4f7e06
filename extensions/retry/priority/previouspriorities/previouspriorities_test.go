package previouspriorities

import (
	"slices"
	"testing"

	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// host is a host of that priority.
type host struct {
	upstream.Host
	priority int
}

func (h host) Priority() int { return h.priority }

func TestPriorityLoad(t *testing.T) {
	for _, tc := range []struct {
		every int32
		load  []uint32
		tried []int
		want  []uint32
	}{
		{1, []uint32{100, 100}, nil, []uint32{100, 100}},
		{1, []uint32{100, 100}, []int{0}, []uint32{0, 100}},
		{1, []uint32{100, 100}, []int{1}, []uint32{100, 0}},
		{1, []uint32{100, 100}, []int{0, 1}, []uint32{100, 100}},    // nothing left: anew
		{1, []uint32{100, 100}, []int{0, 1, 0}, []uint32{0, 100}},   // of the second round
		{1, []uint32{100, 0}, []int{0}, []uint32{100, 0}},           // the other one takes nothing
		{1, []uint32{100, 50, 80}, []int{0, 1}, []uint32{0, 0, 80}}, // both are out
		{1, []uint32{100, 100}, []int{7}, []uint32{100, 100}},       // a priority that is gone
		{2, []uint32{100, 100}, []int{0}, []uint32{100, 100}},
		{2, []uint32{100, 100}, []int{0, 0}, []uint32{0, 100}},
		{2, []uint32{100, 100, 100}, []int{0, 0, 1}, []uint32{0, 100, 100}}, // until the next change
		{2, []uint32{100, 100, 100}, []int{0, 0, 1, 1}, []uint32{0, 0, 100}},
		{2, []uint32{100, 100}, []int{0, 1, 1}, []uint32{100, 100}},
	} {
		var errs conf.Errors
		p := Factory{}.BuildRetryPriority(&previousv3.PreviousPrioritiesConfig{UpdateFrequency: tc.every}, conf.Path{}, &errs)
		var tried []upstream.Host
		for _, priority := range tc.tried {
			tried = append(tried, host{priority: priority})
		}
		before := slices.Clone(tc.load)
		if got := p.PriorityLoad(tc.load, tried); !slices.Equal(got, tc.want) || !slices.Equal(tc.load, before) {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	var errs conf.Errors
	if (Factory{}).BuildRetryPriority(&previousv3.PreviousPrioritiesConfig{}, conf.Path{}, &errs) != nil || errs.Error() != "update_frequency: must be greater than 0" {
		t.Error(errs)
	}
}
