package cluster

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/connpool"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// Preconnect says which connections are made before there are requests for them.
type Preconnect struct {
	// PerUpstream is the requests that each one to a host stands for, Predictive those
	// that each one to the cluster does. Up to 1 nothing is made ahead.
	PerUpstream, Predictive float64
	// Hosts is what the metadata of hosts must meet; nil for nothing.
	Hosts *match.Metadata
}

// maxPreconnectRatio is Envoy's.
const maxPreconnectRatio = 3

func parsePreconnect(msg *clusterv3.Cluster_PreconnectPolicy, path conf.Path, errs *conf.Errors) Preconnect {
	ratio := func(field string, v *wrapperspb.DoubleValue) float64 {
		if v != nil && !(v.GetValue() >= 1 && v.GetValue() <= maxPreconnectRatio) {
			errs.Add(path.Field(field), "must be from 1 to %d, is %v", maxPreconnectRatio, v.GetValue())
		}
		return v.GetValue()
	}
	p := Preconnect{
		PerUpstream: ratio("per_upstream_preconnect_ratio", msg.GetPerUpstreamPreconnectRatio()),
		Predictive:  ratio("predictive_preconnect_ratio", msg.GetPredictivePreconnectRatio()),
	}
	if m := msg.GetPreconnectEnabledMetadata(); m != nil {
		p.Hosts = match.NewMetadata(m, path.Field("preconnect_enabled_metadata"), errs)
	}
	return p
}

// perUpstream is what the pools do by themselves, with statistics in the scope of the
// cluster.
func (p *Preconnect) perUpstream(scope stats.Scope) connpool.Preconnect {
	c := connpool.Preconnect{Ratio: p.PerUpstream, Skipped: scope.Counter("upstream_cx_preconnect_skipped")}
	if p.Hosts != nil {
		c.Eligible = func(h *host.Host) bool { return p.Hosts.Match(h.Metadata()) }
	}
	return c
}

// maxPredictions bounds the connections that one request has made to other hosts.
const maxPredictions = 3

// preconnect connects to the hosts that are likely to be picked after the one of a
// request, as long as all connections could not take the requests that are expected. On
// the worker of d.
func (c *Cluster) preconnect(d event.Dispatcher, pick *upstream.Pick) {
	ratio := c.config.Preconnect.Predictive
	if ratio <= 1 {
		return
	}
	each := c.pools.RequestsPerConnection()
	for range maxPredictions {
		requests := c.stats.UpstreamRqPendingActive.Value() + c.stats.UpstreamRqActive.Value() + 1
		if float64(requests)*ratio <= float64(c.stats.UpstreamCxActive.Value())*float64(each) {
			return
		}
		h := c.balancer.Peek(d)
		if h == nil {
			return
		}
		next := *pick
		next.Host = h
		c.askTransport(&next)
		if !h.Pool(next.Priority).Preconnect(d, &next, ratio) {
			return
		}
	}
}
