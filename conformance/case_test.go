package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A topic is a file of cases.
type topic struct {
	name     string
	About    string      `yaml:"about"`    // what the topic is, for readers
	Defaults config      `yaml:"defaults"` // below the configuration of each case
	Cases    []*testCase `yaml:"cases"`
	names    []string    // of all cases, also those not chosen
}

// A testCase is one comparison.
type testCase struct {
	Name      string `yaml:"name"`
	Why       string `yaml:"why"`     // with the section of the RFC or of Envoy's documentation
	Differs   string `yaml:"differs"` // why nuncio differs on purpose
	config    `yaml:",inline"`
	Send      string                    `yaml:"send"`     // short for a client that only sends this
	Client    []step                    `yaml:"client"`   // what clients do, in this order
	Upstream  upstreamScript            `yaml:"upstream"` // short for the upstream "up"
	Upstreams map[string]upstreamScript `yaml:"upstreams"`
	TLS       map[string]string         `yaml:"upstream_tls"` // of upstreams by name, see tlsOptions
	Files     map[string]string         `yaml:"files"`        // of the directory of the case, by name
	Quiet     duration                  `yaml:"quiet"`        // how long a recording waits for something to happen, if not 1.5s
	Alone     bool                      `yaml:"alone"`        // in a process of its own
}

// A config is laid over the basic configuration of base.yaml.
type config struct {
	Bootstrap   map[string]any `yaml:"bootstrap"`    // over the bootstrap; cases with the same one share a process
	Listener    map[string]any `yaml:"listener"`     // over the listener of the case
	HCM         map[string]any `yaml:"hcm"`          // over its HttpConnectionManager
	RouteConfig map[string]any `yaml:"route_config"` // over its RouteConfiguration
	Routes      []any          `yaml:"routes"`       // the routes of its only virtual host
	Clusters    map[string]any `yaml:"clusters"`     // over the cluster of the upstream of this name
	TLS         map[string]any `yaml:"tls"`          // the DownstreamTlsContext of the only filter chain
	Chains      []any          `yaml:"chains"`       // the filter chains, each over that with the HttpConnectionManager
}

type duration time.Duration

func (d *duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	*d = duration(v)
	return err
}

// A step is a word (do this) or a mapping of a word to a text.
type step struct {
	do   string
	text string
	conn int // which connection of the client, from 0
}

// clientSteps and upstreamSteps are the words; the value tells whether a text belongs to it.
var (
	clientSteps = map[string]bool{"connect": false, "send": true, "receive": true, "fin": false, "close": false, "reset": false, "pause": true, "upstream": true, "admin": true, "end": false,
		"h2": true, "hold": true, "tls": true, "replace": true, "stat": true}
	upstreamSteps = map[string]bool{"send": true, "receive": true, "fin": false, "close": false, "reset": false, "pause": true, "client": true, "request": false, "h2": true, "hold": true}
)

func (s *step) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		s.do = n.Value
		return nil
	}
	fields := map[string]string{}
	if err := n.Decode(&fields); err != nil {
		return err
	}
	for key, value := range fields {
		if key == "conn" {
			if _, err := fmt.Sscanf(value, "%d", &s.conn); err != nil || s.conn < 1 {
				return fmt.Errorf("line %d: conn counts from 1", n.Line)
			}
			s.conn--
			continue
		}
		if s.do != "" {
			return fmt.Errorf("line %d: %q and %q in one step", n.Line, s.do, key)
		}
		s.do, s.text = key, value
	}
	return nil
}

func (s step) check(words map[string]bool) error {
	needsText, known := words[s.do]
	switch {
	case !known:
		return fmt.Errorf("no step is called %q", s.do)
	case needsText != (s.text != ""):
		return fmt.Errorf("step %q: text %q", s.do, s.text)
	case s.do == "pause":
		_, err := time.ParseDuration(s.text)
		return err
	}
	return nil
}

// An upstreamScript is what an upstream does with its connections: scripts[i] with the
// i-th, the last one with all that come later. Without scripts it answers each request
// with reply.
type upstreamScript struct {
	scripts [][]step
	reply   string
	refuse  bool // nobody listens
}

const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

func (u *upstreamScript) UnmarshalYAML(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == "refuse":
		u.refuse = true
	case n.Kind == yaml.ScalarNode:
		u.reply = n.Value
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0 && n.Content[0].Kind == yaml.SequenceNode:
		return n.Decode(&u.scripts)
	default:
		u.scripts = make([][]step, 1)
		return n.Decode(&u.scripts[0])
	}
	return nil
}

var caseName = regexp.MustCompile(`^[a-z0-9_]+$`)

func loadTopic(file string) (*topic, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	t := &topic{name: strings.TrimSuffix(filepath.Base(file), ".yaml")}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(t); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	seen := map[string]bool{}
	for _, c := range t.Cases {
		if err := c.complete(); err != nil {
			return nil, fmt.Errorf("%s: case %q: %w", file, c.Name, err)
		}
		if seen[c.Name] {
			return nil, fmt.Errorf("%s: two cases %q", file, c.Name)
		}
		seen[c.Name] = true
		t.names = append(t.names, c.Name)
	}
	return t, nil
}

// complete writes out what is short, and checks.
func (c *testCase) complete() error {
	if !caseName.MatchString(c.Name) || c.Why == "" {
		return errors.New("needs a name of small letters, digits and _, and a why")
	}
	if c.Send != "" {
		c.Client = append([]step{{do: "send", text: c.Send}}, c.Client...)
	}
	if c.Upstreams == nil {
		c.Upstreams = map[string]upstreamScript{}
	}
	if _, twice := c.Upstreams["up"]; !twice {
		c.Upstreams["up"] = c.Upstream
	}
	for name, u := range c.Upstreams {
		if u.scripts == nil && u.reply == "" {
			u.reply = ok
		}
		if u.scripts == nil {
			u.scripts = [][]step{nil}
		}
		c.Upstreams[name] = u
		for _, s := range slices.Concat(u.scripts...) {
			if err := s.check(upstreamSteps); err != nil {
				return fmt.Errorf("upstream %s: %w", name, err)
			}
		}
	}
	for _, s := range c.Client {
		if err := s.check(clientSteps); err != nil {
			return err
		}
	}
	return nil
}

// choose keeps the cases that are wanted.
func (t *topic) choose(wanted func(name string) bool) {
	t.Cases = slices.DeleteFunc(t.Cases, func(c *testCase) bool { return !wanted(c.Name) })
}
