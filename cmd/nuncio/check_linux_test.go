package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/extensions/all"
	"github.com/nuncio-proxy/nuncio/proxymain"
)

// TestCheckKeepsNothing checks a good and a bad configuration: the loops and files
// that were opened for that are closed again.
func TestCheckKeepsNothing(t *testing.T) {
	good := strings.ReplaceAll(`
admin:
  access_log:
  - name: envoy.access_loggers.file
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
      path: PATH
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
`, "PATH", filepath.Join(t.TempDir(), "log"))
	bad := good + "  profile_path: /x\nhds_config: {}\n"
	check := func(yaml string) error {
		return proxymain.Check(proxymain.Config{BootstrapYAML: yaml, Concurrency: 2, Extensions: all.Factories()})
	}
	open := func() int {
		descriptors, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(descriptors)
	}
	if err := check(good); err != nil { // opens what stays open in any Go program
		t.Fatal(err)
	}
	before := open()
	for range 3 {
		if err := check(good); err != nil {
			t.Fatal(err)
		}
		var list conf.Errors
		if err := check(bad); !errors.As(err, &list) || len(list) != 1 || list[0].Path.String() != "hds_config" {
			t.Fatalf("got %v", err)
		}
	}
	if after := open(); after != before {
		t.Errorf("%d descriptors are open, there were %d", after, before)
	}
}
