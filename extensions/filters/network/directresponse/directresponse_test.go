package directresponse

import (
	"os"
	"path/filepath"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	responsev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/direct_response/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/testkit/connection"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

func TestDirectResponse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx := extension.NetworkContext{Context: extension.Context{LookupEnv: func(name string) (string, bool) { return "of " + name, name == "SET" }}}
	for _, c := range []struct {
		source    *corev3.DataSource
		want, err string
	}{
		{nil, "", ""},
		{&corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "text"}}, "text", ""},
		{&corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: []byte("bytes")}}, "bytes", ""},
		{&corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: file}}, "from a file", ""},
		{&corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: "/nonexistent"}}, "",
			"c.response.filename: stat /nonexistent: no such file or directory"},
		{&corev3.DataSource{Specifier: &corev3.DataSource_EnvironmentVariable{EnvironmentVariable: "SET"}}, "of SET", ""},
		{&corev3.DataSource{Specifier: &corev3.DataSource_EnvironmentVariable{EnvironmentVariable: "HOME"}}, "",
			"c.response.environment_variable: Environment variable doesn't exist: HOME"},
	} {
		var errs conf.Errors
		build := Factory{}.BuildNetworkFilter(&responsev3.Config{Response: c.source}, ctx, conf.Path{}.Field("c"), &errs)
		if c.err != "" {
			if build != nil || errs.Error() != c.err {
				t.Errorf("got %v, want %s", errs, c.err)
			}
			continue
		}
		for range 2 {
			conn := connection.New(loop.New(1))
			build(conn, conn)
			conn.Start()
			if conn.Output != c.want || conn.CloseType != network.FlushWrite || conn.Stream().ResponseDetails != "direct_response" {
				t.Errorf("%q, %v, %s", conn.Output, conn.CloseType, conn.Stream().ResponseDetails)
			}
		}
	}
	if _, _, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}
