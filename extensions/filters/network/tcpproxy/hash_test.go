package tcpproxy

import (
	"net/netip"
	"testing"

	"github.com/cespare/xxhash/v2"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/testkit/connection"
	"github.com/nuncio-proxy/nuncio/testkit/httpfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// seven is an object of the filter state with the hash 7.
type seven struct{}

func (seven) Hash() (uint64, bool) { return 7, true }

func TestHashPolicy(t *testing.T) {
	const source, state = `hash_policy {source_ip {}}`, `hash_policy {filter_state {key: "k"}}`
	client := xxhash.Sum64String("10.1.2.3")
	for _, tc := range []struct {
		policy, remote string
		value          any // in the filter state
		ignored        bool
		hash           uint64
		ok             bool
	}{
		{policy: "", remote: "10.1.2.3:4"},
		{policy: source, remote: "10.1.2.3:4", hash: client, ok: true},
		{policy: source, remote: "10.1.2.3:5", hash: client, ok: true},
		{policy: source, remote: "10.1.2.3:5", ignored: true},
		{policy: source},
		{policy: state, remote: "10.1.2.3:4", value: seven{}, hash: 7, ok: true},
		{policy: state, remote: "10.1.2.3:4", value: "text"},
		{policy: state, remote: "10.1.2.3:4"},
	} {
		msg := &tcpv3.TcpProxy{}
		if err := prototext.Unmarshal([]byte(`stat_prefix: "p" cluster: "c" `+tc.policy), msg); err != nil {
			t.Fatal(err)
		}
		l, stats := loop.New(1), metrics.New(1)
		c := &cluster{Cluster: httpfilter.NewCluster(l, stats, "c", 10)}
		c.Info().PicksByHash = !tc.ignored
		var errs conf.Errors
		build := Factory{}.BuildNetworkFilter(msg, extension.NetworkContext{Context: extension.Context{
			Stats: stats, Clusters: clusters{"c": c}, AccessLogs: httpfilter.Loggers{}}}, conf.Path{}, &errs)
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		down := connection.New(l)
		down.Info().Remote = address.Unix("/tmp/client")
		if tc.remote != "" {
			down.Info().Remote = address.FromAddrPort(netip.MustParseAddrPort(tc.remote))
		}
		down.Info().FilterState = map[string]any{"k": tc.value}
		build(down, down)
		down.Start()
		if c.pick.Hash != tc.hash || c.pick.HasHash != tc.ok {
			t.Errorf("%+v: %d, %v", tc, c.pick.Hash, c.pick.HasHash)
		}
		down.Raise(network.RemoteClose)
	}
}
