// Package genericsecret is the formatter envoy.formatter.generic_secret: the operator
// SECRET is the value of a generic secret, as it is now.
package genericsecret

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	genericsecretv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/formatter/generic_secret/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/secret"
)

// Factory is the extension.FormatterFactory of the formatter.
type Factory struct{}

var _ extension.FormatterFactory = Factory{}

// Name implements extension.Factory.
func (Factory) Name() string { return "envoy.formatter.generic_secret" }

// Category implements extension.Factory.
func (Factory) Category() string { return extension.Formatters }

// Config implements extension.Factory.
func (Factory) Config() proto.Message { return &genericsecretv3.GenericSecret{} }

// Fields implements extension.Factory.
func (Factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: "envoy.extensions.formatter.generic_secret.v3.GenericSecret", Names: []string{"secret_configs"}}}
}

// BuiltIn implements extension.FormatterFactory.
func (Factory) BuiltIn() bool { return false }

// BuildFormatter implements extension.FormatterFactory.
func (Factory) BuildFormatter(msg proto.Message, ctx extension.Context, path conf.Path, errs *conf.Errors) format.Commands {
	configs := msg.(*genericsecretv3.GenericSecret).GetSecretConfigs()
	path = path.Field("secret_configs")
	if len(configs) == 0 {
		errs.Add(path, "must not be empty")
		return nil
	}
	values := map[string]*value{}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		if source := ctx.Secrets.Find(configs[name], path.Key(name), errs); source != nil {
			values[name] = &value{source: source, ctx: ctx}
		}
	}
	return format.Commands{"SECRET": func(name string) (format.Operator, error) {
		v := values[name]
		if v == nil {
			return format.Operator{}, fmt.Errorf("secret_configs has no %q", name)
		}
		if err := v.watch(); err != nil {
			return format.Operator{}, err
		}
		return format.Operator{Text: v.append}, nil
	}}
}

// A value is that of a secret: the secret.Watcher of its source.
type value struct {
	source  secret.Source
	ctx     extension.Context
	watched bool // main goroutine
	text    atomic.Pointer[extension.DataSource]
}

var errKind = errors.New("is not a generic_secret with a secret")

// watch begins to follow the secret, once.
func (v *value) watch() error {
	if v.watched {
		return nil
	}
	v.watched = true
	if s := v.source.Current(); s != nil {
		if err := v.Check(s); err != nil {
			return fmt.Errorf("secret %s: %w", v.source.Name(), err)
		}
		v.Changed()
	}
	v.source.Watch(v)
	return nil
}

// Check implements secret.Watcher.
func (v *value) Check(s *tlsv3.Secret) error {
	src := s.GetGenericSecret().GetSecret()
	if src == nil {
		return errKind
	}
	var errs conf.Errors
	extension.ReadDataSource(src, v.ctx, conf.Path{}, &errs)
	return errs.Err()
}

// Changed implements secret.Watcher.
func (v *value) Changed() {
	var errs conf.Errors
	text := extension.NewDataSource(v.source.Current().GetGenericSecret().GetSecret(), 0, v.ctx, conf.Path{}, &errs)
	if err := errs.Err(); err != nil {
		v.ctx.Log.Warnf("secret %s: %v", v.source.Name(), err)
		return
	}
	v.text.Store(text)
}

// append adds the value; there is none before the secret came.
func (v *value) append(dst []byte, _ *format.Entry) ([]byte, bool) {
	text := v.text.Load()
	if text == nil {
		return dst, false
	}
	return append(dst, text.Text()...), true
}
