package genericsecret

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	genericsecretv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/formatter/generic_secret/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/secret"
)

// fake is a secret.Provider of one secret, which is its own source.
type fake struct {
	current *tlsv3.Secret
	watcher secret.Watcher
}

func (f *fake) Find(*tlsv3.SdsSecretConfig, conf.Path, *conf.Errors) secret.Source { return f }
func (f *fake) Follow([]string, func()) func()                                     { return func() {} }
func (f *fake) Name() string                                                       { return "s" }
func (f *fake) Current() *tlsv3.Secret                                             { return f.current }
func (f *fake) Watch(w secret.Watcher) func()                                      { f.watcher = w; return func() {} }

func generic(text string) *tlsv3.Secret {
	return &tlsv3.Secret{Type: &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{
		Secret: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}},
	}}}
}

func TestOperator(t *testing.T) {
	source := &fake{}
	var errs conf.Errors
	msg := &genericsecretv3.GenericSecret{SecretConfigs: map[string]*tlsv3.SdsSecretConfig{"a": {Name: "s"}}}
	commands := Factory{}.BuildFormatter(msg, extension.Context{Secrets: source}, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	if _, err := commands["SECRET"]("b"); err == nil {
		t.Error("a name that is not configured is accepted")
	}
	op, err := commands["SECRET"]("a")
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := op.Text(nil, nil); ok || len(got) > 0 {
		t.Errorf("%q before the secret came", got)
	}
	for _, text := range []string{"one", "two"} {
		s := generic(text)
		if err := source.watcher.Check(s); err != nil {
			t.Fatal(err)
		}
		source.current = s
		source.watcher.Changed()
		if got, ok := op.Text([]byte("x"), nil); !ok || string(got) != "x"+text {
			t.Errorf("got %q, want %q", got, "x"+text)
		}
	}
	if err := source.watcher.Check(&tlsv3.Secret{}); err == nil {
		t.Error("another kind of secret is accepted")
	}
}

func TestNoSecrets(t *testing.T) {
	var errs conf.Errors
	if c := (Factory{}).BuildFormatter(&genericsecretv3.GenericSecret{}, extension.Context{}, conf.Path{}, &errs); c != nil || errs.Err() == nil {
		t.Error("no secrets are accepted")
	}
}
