package tcpproxy

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// maxBackoffs is how many times the first interval the longest is, unless configured.
const maxBackoffs = 10

func backoffFields() conf.Fields {
	return conf.Fields{Message: "envoy.config.core.v3.BackoffStrategy", Names: []string{"base_interval", "max_interval"}}
}

// A backoff says how long to wait before another attempt. The zero value does not wait.
type backoff struct{ base, max time.Duration }

func newBackoff(msg *corev3.BackoffStrategy, path conf.Path, errs *conf.Errors) backoff {
	if msg == nil {
		return backoff{}
	}
	b := backoff{base: interval(msg.GetBaseInterval(), path.Field("base_interval"), errs)}
	switch b.max = maxBackoffs * b.base; {
	case msg.GetBaseInterval() == nil:
		errs.Add(path.Field("base_interval"), "must be set")
	case msg.GetMaxInterval() != nil:
		if b.max = msg.GetMaxInterval().AsDuration(); b.max < b.base {
			errs.Add(path.Field("max_interval"), "must not be less than base_interval")
		}
	}
	return b
}

// after returns how long to wait after so many attempts: anything up to an interval that
// doubles each time.
func (b backoff) after(attempts int, random uint64) time.Duration {
	longest := b.base
	for ; attempts > 1 && longest < b.max; attempts-- {
		longest *= 2
	}
	return time.Duration(random % uint64(min(longest, b.max)))
}
