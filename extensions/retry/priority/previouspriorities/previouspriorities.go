// Package previouspriorities is the retry priority
// envoy.retry_priorities.previous_priorities: retries go to priorities that were not
// tried before.
package previouspriorities

import (
	"slices"

	previousv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// Factory is the extension.RetryPriorityFactory of the priority.
type Factory struct{}

var _ extension.RetryPriorityFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.retry_priorities.previous_priorities" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.RetryPriorities }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &previousv3.PreviousPrioritiesConfig{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
		Names:   []string{"update_frequency"},
	}}
}

// BuildRetryPriority implements extension.RetryPriorityFactory.
func (Factory) BuildRetryPriority(msg proto.Message, path conf.Path, errs *conf.Errors) route.RetryPriority {
	n := msg.(*previousv3.PreviousPrioritiesConfig).GetUpdateFrequency()
	if n <= 0 {
		errs.Add(path.Field("update_frequency"), "must be greater than 0")
		return nil
	}
	return priority(n)
}

// priority is the number of attempts after which the load changes.
type priority int

// PriorityLoad implements route.RetryPriority. It goes through the attempts: after
// each full number of them the priorities tried so far are excluded, and once nothing
// is left it begins anew.
func (every priority) PriorityLoad(load []uint32, tried []upstream.Host) []uint32 {
	changed := slices.Clone(load)
	first, excluded := 0, false
	for n := int(every); n <= len(tried); n++ {
		if (n-first)%int(every) != 0 {
			continue
		}
		for _, h := range tried[first:n] {
			if p := h.Priority(); p < len(changed) {
				changed[p] = 0
			}
		}
		if excluded = !allZero(changed); !excluded {
			copy(changed, load)
			first = n
		}
	}
	if !excluded {
		return load
	}
	return changed
}

func allZero(load []uint32) bool {
	for _, percent := range load {
		if percent > 0 {
			return false
		}
	}
	return true
}
