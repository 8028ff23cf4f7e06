package upstream_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

func TestNamedResponses(t *testing.T) {
	scope := metrics.New(4)
	var n upstream.NamedResponses
	n.Init(scope.Scope("cluster.a."))
	var wg sync.WaitGroup
	for shard := range 4 {
		wg.Go(func() {
			for i := range 100 {
				n.Get("zone."+strconv.Itoa(i%10)+".").Record(shard, 204)
			}
		})
	}
	wg.Wait()
	if got := scope.String(); !strings.Contains(got, "cluster.a.zone.7.upstream_rq_204: 40\n") {
		t.Error(got)
	}
	for i := range 2000 {
		n.Get(strconv.Itoa(i) + ".")
	}
	if n.Get("more.") != nil {
		t.Error("there is no bound")
	}
	if n.Get("zone.1.") == nil {
		t.Error("a name is lost")
	}
	if allocs := testing.AllocsPerRun(100, func() { n.Get("zone.1.") }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	n.Close()
	if n.Get("late.") != nil {
		t.Error("a name after the end")
	}
}
