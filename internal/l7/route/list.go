package route

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	environmentv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/environment_variable/v3"
	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// An action is what the matcher of a virtual host leads to: one route, or several.
type action struct {
	routes routeList
	at     string // its place in the configuration
}

// action returns what the matcher finds, nil for nothing.
func (v *virtualHost) action(h *httpmsg.Headers, info *streaminfo.Stream) *action {
	r := v.tree.Match(matcher.Data{Request: h, Stream: info})
	a, _ := r.Action.(*action)
	return a
}

// routeList builds routes, without their index: that is made when there are no
// errors.
func (s *hostScope) routeList(l *routeList, cfgs []*routev3.Route, path conf.Path) {
	for i, cfg := range cfgs {
		l.entries = append(l.entries, s.entry(cfg, path.Index(i)))
	}
	s.lists = append(s.lists, l)
}

// tree builds the matcher of a virtual host. As in Envoy, names of clusters in it are
// not checked.
func (s *hostScope) tree(cfg *routev3.VirtualHost, path conf.Path) matcher.Tree {
	if cfg.GetMatcher() == nil {
		return nil
	}
	if len(cfg.GetRoutes()) > 0 {
		s.errs.Add(path, "only one of routes and matcher may be set")
	}
	validate := s.ValidateClusters
	s.ValidateClusters = false
	defer func() { s.ValidateClusters = validate }()
	return matcher.Build(cfg.GetMatcher(), matcher.Config{
		Factories: s.Matching(s.Root),
		Action:    s.action,
		Refuse:    refuseInput,
	}, path.Field("matcher"), s.errs)
}

func (s *hostScope) action(msg proto.Message, path conf.Path, errs *conf.Errors) any {
	a := &action{at: path.Parent().Parent().String()}
	switch cfg := msg.(type) {
	case *routev3.Route:
		a.routes.entries = []entry{s.entry(cfg, path)}
		s.lists = append(s.lists, &a.routes)
	case *routev3.RouteList:
		s.routeList(&a.routes, cfg.GetRoutes(), path.Field("routes"))
	default:
		errs.Add(path, "the action must be of type envoy.config.route.v3.Route or RouteList, not %s", msg.ProtoReflect().Descriptor().FullName())
	}
	return a
}

// refuseInput turns down what Envoy does not let routes match on: all that may change
// or is not there when a route is chosen.
func refuseInput(msg proto.Message) string {
	switch msg.(type) {
	case *matcherv3.HttpRequestHeaderMatchInput, *networkv3.FilterStateInput, *environmentv3.Config:
		return ""
	}
	return "routes can be matched on request headers and filter state only"
}
