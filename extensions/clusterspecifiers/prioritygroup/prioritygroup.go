// Package prioritygroup is the cluster specifier
// envoy.router.cluster_specifier_plugin.priority_group: each attempt of a request has
// a group of weighted clusters of its own.
package prioritygroup

import (
	"math"
	"strconv"

	groupv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/router/cluster_specifiers/priority_group/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// Factory is the extension.ClusterSpecifierFactory of the specifier.
type Factory struct{}

var _ extension.ClusterSpecifierFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.router.cluster_specifier_plugin.priority_group" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.ClusterSpecifiers }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &groupv3.PriorityGroupClusterSpecifier{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{
		Message: "envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupClusterSpecifier",
		Names: []string{"priority_groups.name", "priority_groups.clusters.cluster_name", "priority_groups.clusters.weight",
			"override_metadata_namespace", "header_name", "use_hash_policy"},
	}}
}

// BuildClusterSpecifier implements extension.ClusterSpecifierFactory.
func (Factory) BuildClusterSpecifier(msg proto.Message, ctx extension.ClusterSpecifierContext, path conf.Path, errs *conf.Errors) route.ClusterSpecifier {
	m := msg.(*groupv3.PriorityGroupClusterSpecifier)
	s := &specifier{
		namespace: m.GetOverrideMetadataNamespace(),
		header:    match.Lower(m.GetHeaderName()),
		byHash:    m.GetUseHashPolicy().GetValue(),
	}
	if len(m.GetPriorityGroups()) == 0 {
		errs.Add(path.Field("priority_groups"), "must not be empty")
	}
	for i, cfg := range m.GetPriorityGroups() {
		s.groups = append(s.groups, newGroup(cfg, ctx, path.Field("priority_groups").Index(i), errs))
	}
	return s
}

func newGroup(cfg *groupv3.PriorityGroup, ctx extension.ClusterSpecifierContext, path conf.Path, errs *conf.Errors) group {
	g := group{name: cfg.GetName()}
	if g.name == "" {
		errs.Add(path.Field("name"), "must not be empty")
	}
	if len(cfg.GetClusters()) == 0 {
		errs.Add(path.Field("clusters"), "must not be empty")
	}
	for i, c := range cfg.GetClusters() {
		at := path.Field("clusters").Index(i)
		switch name := c.GetClusterName(); {
		case name == "":
			errs.Add(at.Field("cluster_name"), "must not be empty")
		case ctx.ValidateClusters && !ctx.Clusters.Known(name):
			errs.Add(at.Field("cluster_name"), "unknown cluster %q", name)
		}
		if c.GetWeight().GetValue() == 0 {
			errs.Add(at.Field("weight"), "must be at least 1")
		}
		g.add(c.GetClusterName(), uint64(c.GetWeight().GetValue()))
	}
	return g
}

// specifier is a route.ClusterSpecifier. It is immutable.
type specifier struct {
	groups    []group
	namespace string // of dynamic metadata that overrides groups; "" for none
	header    string // with a number in place of the random one; "" for none
	byHash    bool   // the hash of the route is in place of the random number
}

// A group is a list of clusters with weights.
type group struct {
	name     string
	clusters []weighted
	total    uint64
}

type weighted struct {
	cluster string
	weight  uint64
}

func (g *group) add(cluster string, weight uint64) {
	g.clusters = append(g.clusters, weighted{cluster, weight})
	g.total += weight
}

// pick returns a cluster; g has at least one, and no weight is 0.
func (g *group) pick(random uint64) string {
	random %= g.total
	i := 0
	for random >= g.clusters[i].weight {
		random -= g.clusters[i].weight
		i++
	}
	return g.clusters[i].cluster
}

// SpecifyCluster implements route.ClusterSpecifier.
func (s *specifier) SpecifyCluster(f *route.Forward, h *httpmsg.Headers, info *streaminfo.Stream, random uint64) string {
	random = s.random(f, h, info, random)
	retries := 0
	if info != nil {
		retries = max(info.AttemptCount-1, 0)
		if g := s.override(info, retries); g != nil {
			return g.pick(random)
		}
	}
	return s.groups[min(retries, len(s.groups)-1)].pick(random)
}

func (s *specifier) random(f *route.Forward, h *httpmsg.Headers, info *streaminfo.Stream, random uint64) uint64 {
	switch {
	case s.byHash && f.Hash != nil:
		if n, ok := f.Hash.HashRequest(h, info, nil); ok {
			return n
		}
	case s.header != "":
		var room [2]string
		if values := h.Values(room[:0], s.header); len(values) == 1 {
			if n, err := strconv.ParseUint(values[0], 10, 64); err == nil {
				return n
			}
		}
	}
	return random
}

// override returns the group of dynamic metadata for an attempt, nil if there is no
// valid one. A group without clusters there is the configured one of that name.
func (s *specifier) override(info *streaminfo.Stream, retries int) *group {
	fields := info.Metadata[s.namespace].GetFields()
	groups := fields["priority_groups"].GetListValue().GetValues()
	if len(groups) == 0 {
		return nil
	}
	g := parseGroup(groups[min(retries, len(groups)-1)].GetStructValue().GetFields())
	if g == nil || g.clusters != nil {
		return g
	}
	for i := range s.groups {
		if s.groups[i].name == g.name {
			return &s.groups[i]
		}
	}
	return nil
}

// parseGroup reads a group as the message PriorityGroup, nil if something is wrong.
func parseGroup(fields map[string]*structpb.Value) *group {
	g := &group{name: fields["name"].GetStringValue()}
	if g.name == "" {
		return nil
	}
	for _, c := range fields["clusters"].GetListValue().GetValues() {
		fields := c.GetStructValue().GetFields()
		name, weight := fields["cluster_name"].GetStringValue(), fields["weight"].GetNumberValue()
		if name == "" || weight < 1 || weight > math.MaxUint32 || weight != math.Trunc(weight) {
			return nil
		}
		g.add(name, uint64(weight))
	}
	return g
}
