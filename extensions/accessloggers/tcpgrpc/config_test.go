package tcpgrpc

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/grpcclient"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

type server struct{ extension.Server }

func (server) Node() *corev3.Node { return nil }

// clients makes a client of any service, which nobody calls.
type clients struct{}

func (clients) Client(*corev3.GrpcService, conf.Path, *conf.Errors) grpcclient.Client {
	return client{}
}

type client struct{ grpcclient.Client }

func TestConfig(t *testing.T) {
	const common = `"log_name":"l","transport_api_version":"V3","grpc_service":{}`
	for _, tc := range []struct{ config, want string }{
		{`{"common_config":{` + common + `}}`, ""},
		{`{}`, "c.common_config: must be set"},
		{`{"common_config":{` + common + `,"buffer_flush_interval":"-1s"}}`, "c.common_config.buffer_flush_interval: must be greater than zero"},
	} {
		msg := &grpcv3.TcpGrpcAccessLogConfig{}
		if err := protojson.Unmarshal([]byte(tc.config), msg); err != nil {
			t.Fatal(err)
		}
		scope := metrics.New(1)
		var errs conf.Errors
		l := Factory{}.BuildAccessLogger(msg, extension.Context{Stats: scope, Server: server{}, GRPC: clients{}}, conf.Path{}.Field("c"), &errs)
		if got := errs.Error(); got != tc.want || (l == nil) != (got != "") {
			t.Errorf("%s: %v, %s", tc.config, l, got)
		}
		if l != nil {
			l.Log(&format.Entry{}) // there is no worker
			if n := scope.Value("access_logs.grpc_access_log.logs_dropped"); n != 1 {
				t.Errorf("%d dropped", n)
			}
		}
	}
}

func TestFields(t *testing.T) {
	_, missing, err := Factory{}.Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor())
	if err != nil || len(missing) > 0 {
		t.Errorf("missing %v, %v", missing, err)
	}
}
