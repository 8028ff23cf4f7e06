package upstream_test

import (
	"strconv"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func TestGRPCCalls(t *testing.T) {
	scope := metrics.New(1)
	var n upstream.NamedGRPC
	n.Init(scope.Scope("cluster.a."))
	g := n.Get("grpc.s.m.")
	for _, status := range []string{"0", "14", "00", "+1", "17", "x", "", "0"} {
		g.RecordStatus(0, status)
	}
	g.RecordResult(0, true)
	g.AddRequestMessages(0, 2)
	g.AddResponseMessages(0, 3)
	g.RecordTime(0, 7)
	const want = "cluster.a.grpc.s.m.+1: 1\ncluster.a.grpc.s.m.0: 2\ncluster.a.grpc.s.m.00: 1\ncluster.a.grpc.s.m.14: 1\n" +
		"cluster.a.grpc.s.m.17: 1\ncluster.a.grpc.s.m.failure: 6\ncluster.a.grpc.s.m.request_message_count: 2\n" +
		"cluster.a.grpc.s.m.response_message_count: 3\ncluster.a.grpc.s.m.success: 3\ncluster.a.grpc.s.m.total: 9\n" +
		"cluster.a.grpc.s.m.x: 1\n"
	if got := scope.String(); got != want {
		t.Errorf("got\n%s", got)
	}
	if got := scope.Recorded("cluster.a.grpc.s.m.upstream_rq_time"); len(got) != 1 || got[0] != 7 {
		t.Error(got)
	}
	for i := range 1000 {
		g.RecordStatus(0, strconv.Itoa(1000+i))
	}
	if got := len(scope.Names()); got > 120 {
		t.Errorf("%d names: there is no bound", got)
	}
	if allocs := testing.AllocsPerRun(100, func() { g.RecordStatus(0, "14") }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
