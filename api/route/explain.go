package route

import "fmt"

// MaxExplained bounds the steps of an Explanation.
const MaxExplained = 64

// An Explanation says how a table chose the route of a request. It is made on
// demand, on any goroutine.
type Explanation struct {
	// VirtualHost is the one that was chosen, "" for none. Domain is the configured
	// domain that matched.
	VirtualHost string `json:"virtual_host,omitempty"`
	Domain      string `json:"domain,omitempty"`
	// Reason says why no virtual host was chosen, or why its routes were not asked.
	Reason string `json:"reason,omitempty"`
	// Steps are the routes in the order in which they were tried, at most MaxExplained:
	// the first ones, and the one that matched. Left counts those left out.
	Steps []Step `json:"steps,omitempty"`
	Left  int    `json:"left_out,omitempty"`
	// Cluster is the one chosen among weighted clusters.
	Cluster string `json:"weighted_cluster,omitempty"`
}

// A Step is one route that was tried.
type Step struct {
	Index int    `json:"index"`
	Name  string `json:"name,omitempty"`
	// Failed is the first matcher that failed, in words; "" if the route matched.
	Failed string `json:"failed,omitempty"`
}

// Lines tells the explanation in words.
func (x *Explanation) Lines() (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if x.VirtualHost != "" {
		add("virtual host %s by domain %q", x.VirtualHost, x.Domain)
	}
	if x.Reason != "" {
		add("%s", x.Reason)
	}
	for _, s := range x.Steps {
		name := fmt.Sprintf("route %d", s.Index)
		if s.Name != "" {
			name += " " + s.Name
		}
		if s.Failed == "" {
			add("%s matched", name)
		} else {
			add("%s: %s", name, s.Failed)
		}
	}
	if x.Left > 0 {
		add("%d more routes did not match", x.Left)
	}
	if x.Cluster != "" {
		add("weighted cluster %s", x.Cluster)
	}
	return lines
}
