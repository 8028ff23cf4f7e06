package route

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
)

// mirrors builds request_mirror_policies; if there are none it returns those of the
// level around.
func (b *builder) mirrors(cfgs []*routev3.RouteAction_RequestMirrorPolicy, around []route.Mirror, path conf.Path) []route.Mirror {
	if len(cfgs) == 0 {
		return around
	}
	var out []route.Mirror
	for i, cfg := range cfgs {
		out = append(out, b.mirror(cfg, path.Index(i)))
	}
	return out
}

func (b *builder) mirror(cfg *routev3.RouteAction_RequestMirrorPolicy, path conf.Path) route.Mirror {
	conf.Check(cfg, MirrorFields(), path, b.errs)
	m := route.Mirror{
		KeepHost:    cfg.GetDisableShadowHostSuffixAppend() || cfg.GetHostRewriteLiteral() != "",
		HostRewrite: cfg.GetHostRewriteLiteral(),
	}
	switch name, header := cfg.GetCluster(), cfg.GetClusterHeader(); {
	case (name == "") == (header == ""):
		b.errs.Add(path, "one of cluster and cluster_header is required")
	case name != "":
		m.Cluster = b.known(name, path.Field("cluster"))
	default:
		m.ClusterHeader = headerName(header)
	}
	if f := cfg.GetRuntimeFraction(); f != nil {
		fraction := runtimeconf.NewFraction(f)
		m.Fraction = &fraction
	}
	if list := headeroption.NewMutations(cfg.GetRequestHeadersMutations(), b.Formats, path.Field("request_headers_mutations"), b.errs); list != nil {
		m.Request = list
	}
	return m
}
