package asyncclient

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

func TestConfig(t *testing.T) {
	for _, tc := range []struct{ config, want string }{
		{`{"envoy_grpc":{"cluster_name":"a"},"timeout":"0.2s","initial_metadata":[{"key":"a","value":"b"}]}`, ""},
		{`{}`, "s: envoy_grpc must be set"},
		{`{"google_grpc":{"target_uri":"x","stat_prefix":"y"}}`, "s.google_grpc: field google_grpc is not implemented"},
		{`{"envoy_grpc":{"cluster_name":"b"}}`, "s.envoy_grpc.cluster_name: Unknown gRPC client cluster 'b'"},
		{`{"envoy_grpc":{"cluster_name":"a"},"retry_policy":{}}`, "s.retry_policy: field retry_policy is not implemented"},
		{`{"envoy_grpc":{"cluster_name":"a"},"timeout":"-1s"}`, "s.timeout: must not be negative"},
		{`{"envoy_grpc":{"cluster_name":"a"},"initial_metadata":[{"key":":path","value":"x"}]}`,
			"s.initial_metadata[0].key: :-prefixed or host headers may not be modified"},
	} {
		msg := &corev3.GrpcService{}
		if err := protojson.Unmarshal([]byte(tc.config), msg); err != nil {
			t.Fatal(err)
		}
		var errs conf.Errors
		clients := Clients{Clusters: known{"a"}, Formats: filtertest.Formats{}}
		c := clients.Client(msg, conf.Path{}.Field("s"), &errs)
		if got := errs.Error(); got != tc.want || (c == nil) != (got != "") {
			t.Errorf("%s: %v, %s", tc.config, c, got)
		}
	}
}

type known struct{ name string }

func (known) Get(string) upstream.Cluster { return nil }

func (k known) Known(name string) bool { return name == k.name }

func TestFields(t *testing.T) {
	if _, _, err := Fields().Split((&corev3.GrpcService{}).ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}
