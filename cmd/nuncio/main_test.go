package main

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/nuncio-proxy/nuncio/extensions/all"
	"github.com/nuncio-proxy/nuncio/proxymain"
)

var update = flag.Bool("update", false, "write docs/parity.md")

// TestParityIsTrue compares docs/parity.md with what the code says of itself.
func TestParityIsTrue(t *testing.T) {
	const file = "../../docs/parity.md"
	var now bytes.Buffer
	if err := proxymain.WriteParity(&now, all.Factories()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, now.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written, now.Bytes()) {
		t.Errorf("%s is not what the code says: run go test ./cmd/nuncio -update", file)
	}
}
