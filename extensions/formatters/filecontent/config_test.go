package filecontent

import (
	"os"
	"path/filepath"
	"testing"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/secret"
)

type follower struct{ changed func() }

func (f *follower) Find(*tlsv3.SdsSecretConfig, conf.Path, *conf.Errors) secret.Source { return nil }
func (f *follower) Follow(_ []string, changed func()) func() {
	f.changed = changed
	return func() {}
}

func TestOperator(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	files := &follower{}
	var errs conf.Errors
	compile := Factory{}.BuildFormatter(Factory{}.Config(), extension.Context{Secrets: files}, conf.Path{}, &errs)["FILE_CONTENT"]
	for _, bad := range []string{"", path} {
		if _, err := compile(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	op, err := compile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two\n"} {
		write(text)
		files.changed()
		if got, ok := op.Text([]byte("x"), nil); !ok || string(got) != "x"+text {
			t.Errorf("got %q, want %q", got, "x"+text)
		}
	}
}
