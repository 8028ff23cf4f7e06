// Package bootstrap reads the configuration that a server starts with.
package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	regexenginesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/regex_engines/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

// maxSize bounds the bootstrap, so that a path that never ends, such as
// /dev/zero, is an error.
const maxSize = 256 << 20

// yamlName names the text of --config-yaml in messages.
const yamlName = "--config-yaml"

// A Source says where the bootstrap comes from. Path, YAML and Proto may be
// given together: each is merged over those before it, as proto.Merge does.
type Source struct {
	// Path is the file of --config-path. It may be a FIFO or a descriptor: it is
	// opened once, read to its end and not touched again.
	Path string
	// YAML is the text of --config-yaml.
	YAML string
	// Proto is a bootstrap made by a program that embeds the server. Load does
	// not change it.
	Proto *bootstrapv3.Bootstrap

	// ServiceCluster, ServiceNode and ServiceZone replace the cluster, id and
	// locality.zone of the node, unless empty.
	ServiceCluster, ServiceNode, ServiceZone string

	// AllowUnknown makes unknown fields a warning (--allow-unknown-static-fields).
	AllowUnknown bool
}

// A Config is a bootstrap that was read.
type Config struct {
	// Bootstrap is the whole message, with the node as the flags change it.
	Bootstrap *bootstrapv3.Bootstrap
	// Warnings are about what was accepted but its author should know.
	Warnings []protoconv.Warning
	// Readable says that, whatever the errors, all that was written is in Bootstrap: it
	// can be built, to find further errors.
	Readable bool
	// Positions locates the errors of components that read parts of Bootstrap
	// under paths that start at its top.
	Positions *protoconv.Positions
}

// Load reads, merges and checks the bootstrap, including that no field of its own
// is set that Fields does not list; what is inside the fields listed as a whole
// is left to their components. The error is a conf.Errors with everything that
// is wrong; the Config is then good for its warnings only. Load blocks while a
// FIFO has no writer.
func Load(src Source) (*Config, error) {
	cfg := &Config{Bootstrap: &bootstrapv3.Bootstrap{}, Positions: &protoconv.Positions{}}
	inputs, err := src.inputs()
	if err != nil {
		return cfg, err
	}
	opts := protoconv.Options{Runtime: func(key string, otherwise bool) bool {
		return staticRuntime(cfg.Bootstrap.GetLayeredRuntime(), key, otherwise)
	}}
	opts.Unknown = protoconv.WarnUnknown
	res, err := protoconv.Load(cfg.Bootstrap, opts, inputs...)
	cfg.Warnings, cfg.Positions, cfg.Readable = res.Warnings, res.Positions, res.Decoded
	var errs conf.Errors
	errors.As(err, &errs)
	if !src.AllowUnknown {
		errs = append(errs, cfg.refuseUnknown()...)
	}
	errs = append(errs, cfg.check()...)
	errs.Sort()
	src.overrideNode(cfg.Bootstrap)
	return cfg, errs.Err()
}

// Join returns the errors of reading a configuration and those of building it in the
// order of the file, without those that only follow from an earlier one.
func Join(reading, building conf.Errors) conf.Errors {
	all := append(reading, protoconv.WithoutConsequences(building, reading)...)
	all.Sort()
	return all
}

// refuseUnknown turns the warnings of unknown fields into errors.
func (c *Config) refuseUnknown() (errs conf.Errors) {
	c.Warnings = slices.DeleteFunc(c.Warnings, func(w protoconv.Warning) bool {
		if w.Kind == protoconv.UnknownField {
			errs = append(errs, w.Error)
		}
		return w.Kind == protoconv.UnknownField
	})
	return errs
}

// inputs returns what there is to decode, in order.
func (src Source) inputs() (inputs []protoconv.Source, err error) {
	if src.Path == "" && src.YAML == "" && src.Proto == nil {
		return nil, conf.Errors{{Message: "no configuration: --config-path or --config-yaml must be given"}}
	}
	if src.Path != "" {
		data, err := read(src.Path)
		if err != nil {
			return nil, conf.Errors{{File: src.Path, Message: "cannot read the configuration: " + err.Error()}}
		}
		inputs = append(inputs, protoconv.Source{Name: src.Path, Kind: protoconv.KindOf(src.Path, data), Data: data})
	}
	if src.YAML != "" {
		inputs = append(inputs, protoconv.Source{Name: yamlName, Kind: protoconv.YAML, Data: []byte(src.YAML)})
	}
	if src.Proto != nil {
		data, err := proto.Marshal(src.Proto)
		if err != nil {
			return nil, conf.Errors{{Message: err.Error()}}
		}
		inputs = append(inputs, protoconv.Source{Kind: protoconv.Binary, Data: data})
	}
	return inputs, nil
}

// read returns what is in the file at path, opening it once.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, cause(err)
	}
	if len(data) > maxSize {
		return nil, fmt.Errorf("larger than %d bytes", maxSize)
	}
	return data, nil
}

// cause drops the path from an error of package os; it stands before already.
func cause(err error) error {
	if p := (*os.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// check returns the errors in the bootstrap's own fields.
func (c *Config) check() (errs conf.Errors) {
	conf.Check(c.Bootstrap, Fields(), conf.Path{}, &errs)
	if config := c.Bootstrap.GetDefaultRegexEngine().GetTypedConfig(); config != nil && !config.MessageIs(&regexenginesv3.GoogleRE2{}) {
		errs.Add(conf.Path{}.Field("default_regex_engine").Field("typed_config"),
			"only envoy.extensions.regex_engines.v3.GoogleRE2 is implemented")
	}
	parseExtensions(c.Bootstrap, &errs)
	c.Positions.Locate(errs)
	return errs
}

// overrideNode applies the flags to the node.
func (src Source) overrideNode(b *bootstrapv3.Bootstrap) {
	if src.ServiceCluster == "" && src.ServiceNode == "" && src.ServiceZone == "" {
		return
	}
	if b.Node == nil {
		b.Node = &corev3.Node{}
	}
	if src.ServiceCluster != "" {
		b.Node.Cluster = src.ServiceCluster
	}
	if src.ServiceNode != "" {
		b.Node.Id = src.ServiceNode
	}
	if src.ServiceZone == "" {
		return
	}
	if b.Node.Locality == nil {
		b.Node.Locality = &corev3.Locality{}
	}
	b.Node.Locality.Zone = src.ServiceZone
}
