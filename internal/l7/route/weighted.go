package route

import (
	"math"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// weighted is a set of variants of a route, one for each cluster.
type weighted struct {
	hash    route.HashPolicy // its hash is used in place of the random value; nil for none
	header  string           // its value is, in place of both
	routes  []*route.Route
	weights []uint64
	total   uint64   // of weights
	keys    []string // of the weights in the runtime; nil if it has none
	runtime runtimeconf.Loader
}

func (s *hostScope) weighted(cfg *routev3.WeightedCluster, base *route.Route, path conf.Path) *weighted {
	if cfg == nil {
		return nil
	}
	conf.Check(cfg, WeightedClusterFields(), path, s.errs)
	w := &weighted{header: headerName(cfg.GetHeaderName()), runtime: s.Runtime}
	if cfg.GetUseHashPolicy().GetValue() {
		w.hash = base.Forward.Hash
	}
	for i, c := range cfg.GetClusters() {
		at := path.Field("clusters").Index(i)
		if c.GetWeight() == nil {
			s.errs.Add(at.Field("weight"), "is required")
		}
		w.routes = append(w.routes, s.variant(c, base, at))
		w.weights = append(w.weights, uint64(c.GetWeight().GetValue()))
		w.total += uint64(c.GetWeight().GetValue())
		if cfg.GetRuntimeKeyPrefix() != "" {
			w.keys = append(w.keys, cfg.GetRuntimeKeyPrefix()+"."+c.GetName())
		}
	}
	if w.total == 0 || w.total > math.MaxUint32 {
		s.errs.Add(path.Field("clusters"), "the sum of the weights must be from 1 to %d, and is %d", uint32(math.MaxUint32), w.total)
	}
	return w
}

// variant is the route for one of its weighted clusters.
func (s *hostScope) variant(cfg *routev3.WeightedCluster_ClusterWeight, base *route.Route, path conf.Path) *route.Route {
	conf.Check(cfg, ClusterWeightFields(), path, s.errs)
	r, f := *base, *base.Forward
	r.Forward = &f
	switch {
	case cfg.GetName() != "" && cfg.GetClusterHeader() != "":
		s.errs.Add(path, "only one of name and cluster_header may be set")
	case cfg.GetClusterHeader() != "":
		f.ClusterHeader = headerName(cfg.GetClusterHeader())
	default:
		f.Cluster = s.known(cfg.GetName(), path.Field("name"))
	}
	own := s.level(cfg, path)
	r.FilterConfigs = append(own.filters[:len(own.filters):len(own.filters)], base.FilterConfigs...)
	inherited, _ := base.Response.(mutations)
	r.Response = responseMutation(append(newMutations(own.response), inherited...))
	if outer, ok := base.Forward.Request.(*rewrite); ok {
		variant := *outer
		variant.cluster, variant.clusterHost = own.request, cfg.GetHostRewriteLiteral()
		f.Request = &variant
	}
	return &r
}

// pick returns the route of a cluster; nil if the runtime has made all weights zero,
// or too large. random is spread over the weights.
func (w *weighted) pick(h *httpmsg.Headers, info *streaminfo.Stream, random uint64) *route.Route {
	if w.hash != nil {
		if n, ok := w.hash.HashRequest(h, info, nil); ok {
			random = n
		}
	}
	if w.header != "" {
		if n, ok := headerNumber(h, w.header); ok {
			random = n
		}
	}
	total, snapshot := w.total, runtimeconf.Snapshot(nil)
	if w.keys != nil {
		snapshot, total = w.runtime.Snapshot(), 0
		for i := range w.weights {
			total += w.weight(i, snapshot)
		}
	}
	if total == 0 || total > math.MaxUint32 {
		return nil
	}
	random %= total
	i := 0
	for random >= w.weight(i, snapshot) {
		random -= w.weight(i, snapshot)
		i++
	}
	return w.routes[i]
}

// weight returns the weight of a route, which the runtime may change if there is a
// snapshot.
func (w *weighted) weight(i int, snapshot runtimeconf.Snapshot) uint64 {
	if snapshot == nil {
		return w.weights[i]
	}
	return min(snapshot.Integer(w.keys[i], w.weights[i]), math.MaxUint32)
}

// headerNumber returns the value of a header that occurs once and is a number.
func headerNumber(h *httpmsg.Headers, name string) (n uint64, ok bool) {
	var room [2]string
	values := h.Values(room[:0], name)
	if len(values) != 1 || values[0] == "" {
		return 0, false
	}
	for _, c := range []byte(values[0]) {
		digit := uint64(c - '0')
		if digit > 9 || n > (math.MaxUint64-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}
