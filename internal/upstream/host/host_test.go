package host_test

import (
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/internal/upstream/host"
)

var _ upstream.Host = (*host.Host)(nil)

func TestHealth(t *testing.T) {
	for _, tc := range []struct {
		flags  host.HealthFlags
		health host.Health
		text   string
	}{
		{0, host.Healthy, "healthy"},
		{host.FailedActiveHC, host.Unhealthy, "/failed_active_hc"},
		{host.FailedEDSHealth | host.EDSStatusDraining, host.Unhealthy, "/failed_eds_health/eds_status_draining"},
		{host.DegradedEDSHealth, host.Degraded, "/degraded_eds_health"},
		{host.DegradedActiveHC | host.FailedOutlierCheck, host.Unhealthy, "/failed_outlier_check/degraded_active_hc"},
		{host.PendingDynamicRemoval | host.ActiveHCTimeout, host.Healthy, "/pending_dynamic_removal/active_hc_timeout"},
	} {
		h := host.New(host.Config{Health: tc.flags})
		if h.Health() != tc.health || h.HealthFlags().String() != tc.text {
			t.Errorf("%b: %v %q", tc.flags, h.Health(), h.HealthFlags())
		}
	}
	h := host.New(host.Config{Health: host.FailedEDSHealth})
	h.SetHealthFlags(host.DegradedEDSHealth, host.FailedEDSHealth)
	if h.Health() != host.Degraded {
		t.Error("flags are not replaced")
	}
}

func TestSet(t *testing.T) {
	hosts := []*host.Host{
		host.New(host.Config{}),
		host.New(host.Config{Priority: 2, Health: host.FailedEDSHealth}),
		host.New(host.Config{Health: host.DegradedEDSHealth}),
		host.New(host.Config{Health: host.PendingActiveHC | host.FailedActiveHC}),
	}
	s := host.NewSet(hosts)
	if len(s.Levels) != 3 || len(s.Levels[0].Hosts) != 3 || len(s.Levels[1].Hosts) != 0 || len(s.Levels[2].Hosts) != 1 {
		t.Fatalf("levels: %+v", s.Levels)
	}
	total, healthy, degraded, excluded := s.Counts()
	if total != 4 || healthy != 1 || degraded != 1 || excluded != 1 {
		t.Error(total, healthy, degraded, excluded)
	}
	if total, _, _, _ := host.NewSet(nil).Counts(); total != 0 || len(host.NewSet(nil).Levels) != 1 {
		t.Error("an empty set has one empty level")
	}
}

func TestCanaryAndWeight(t *testing.T) {
	md, err := structpb.NewStruct(map[string]any{"canary": true})
	if err != nil {
		t.Fatal(err)
	}
	h := host.New(host.Config{Metadata: map[string]*structpb.Struct{"envoy.lb": md}})
	if !h.Canary() || host.New(host.Config{}).Canary() {
		t.Error("canary")
	}
	if h.Weight() != 1 {
		t.Error("the default weight is 1")
	}
}

func TestRecord(t *testing.T) {
	h := host.New(host.Config{})
	for _, status := range []int{200, 404, 500, 503} {
		h.RecordResponse(0, status, false)
	}
	h.RecordTimeout(0)
	s := h.Stats()
	if s.RqSuccess.Load() != 2 || s.RqError.Load() != 2 || s.RqTimeout.Load() != 1 {
		t.Error("counts")
	}
}
