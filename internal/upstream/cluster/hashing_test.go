package cluster

import (
	"os"
	"strconv"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

// TestHashingAsEnvoy replays requests that a real Envoy balanced by a hash of their
// key: testdata/envoy_hash.yaml has the clusters, envoy_hash.txt the keys with their hashes and
// hosts, and the statistics.
func TestHashingAsEnvoy(t *testing.T) {
	yaml, err := os.ReadFile("testdata/envoy_hash.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var msg bootstrapv3.Bootstrap_StaticResources
	if _, err := protoconv.Load(&msg, protoconv.Options{}, protoconv.Source{Name: "c.yaml", Kind: protoconv.YAML, Data: yaml}); err != nil {
		t.Fatal(err)
	}
	var errs conf.Errors
	configs := ParseAll(msg.GetClusters(), testContext(), conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	b := newBench()
	for _, c := range configs {
		b.Add(c, nil)
	}
	recording, err := os.ReadFile("testdata/envoy_hash.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(recording)) {
		field := strings.Fields(line)
		if field[0] == "stat" {
			want, _ := strconv.ParseUint(field[2], 10, 64)
			b.expect(t, map[string]uint64{field[1]: want})
			continue
		}
		c := (*b.active.Load())[field[0]].cluster
		hash, _ := strconv.ParseUint(field[2], 10, 64)
		h := c.balancer.Pick(b.loop, &upstream.Pick{Hash: hash, HasHash: true})
		if got := h.Address().String(); got != field[3] {
			t.Errorf("%s %s: got %s, want %s", field[0], field[1], got, field[3])
		}
		if field[0] == "bounded" { // its requests stay
			c.stats.UpstreamRqActive.Inc(0)
			b.hostAt(field[0], field[3]).Stats().RqActive.Add(1)
		}
	}
}

func (b *bench) hostAt(cluster, address string) *host.Host {
	for _, h := range (*b.active.Load())[cluster].cluster.byAddress {
		if h.Address().String() == address {
			return h
		}
	}
	return nil
}
