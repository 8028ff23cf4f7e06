package routecheck

import (
	"fmt"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/nuncio-proxy/nuncio/api/route"
)

// A coverage knows what of which route was checked, with success.
type coverage struct {
	config *routev3.RouteConfiguration
	// checked has a route for each way to go, as each of weighted clusters.
	checked map[*route.Route]map[string]bool
}

func newCoverage(config *routev3.RouteConfiguration) *coverage {
	return &coverage{config: config, checked: map[*route.Route]map[string]bool{}}
}

func (c *coverage) mark(r *route.Route, kind string) {
	if c.checked[r] == nil {
		c.checked[r] = map[string]bool{}
	}
	c.checked[r][kind] = true
}

// percent returns how much is covered: every route counts as a whole once something
// of it is checked, or, if all is set, by the share of what can be checked.
func (c *coverage) percent(all bool) float64 {
	ways, covered := 0, 0.0
	for _, host := range c.config.GetVirtualHosts() {
		for _, r := range host.GetRoutes() {
			ways += max(1, len(r.GetRoute().GetWeightedClusters().GetClusters()))
		}
	}
	for r, kinds := range c.checked {
		switch {
		case !all:
			covered++
		case r.Forward != nil:
			covered += float64(len(kinds)) / 5 // cluster, virtual cluster, virtual host, path and host
		default:
			covered += float64(len(kinds)) / 2 // redirect and status
		}
	}
	if ways == 0 {
		return 0
	}
	return 100 * covered / float64(ways)
}

// missing lists the routes that nothing was checked of: by their matches, or by
// their names.
func (c *coverage) missing(byName bool) (lines []string) {
	seen := map[string]bool{}
	for r := range c.checked {
		seen[r.Name] = true
	}
	for _, host := range c.config.GetVirtualHosts() {
		for _, r := range host.GetRoutes() {
			switch {
			case seen[r.GetName()]:
			case byName:
				lines = append(lines, fmt.Sprintf("Missing test for host: %s, route name: %s", host.GetName(), r.GetName()))
			default:
				lines = append(lines, fmt.Sprintf("Missing test for host: %s, route: %s", host.GetName(), matchText(r.GetMatch())))
			}
		}
	}
	return lines
}

// matchText prints the match of a route in the text format, which the library
// varies on purpose.
func matchText(m *routev3.RouteMatch) string {
	text := prototext.MarshalOptions{Multiline: true}.Format(m)
	return strings.TrimSpace(strings.ReplaceAll(text, ":  ", ": "))
}
