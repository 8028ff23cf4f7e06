package host

import "strings"

// HealthFlags are the reasons why a host gets no traffic, or less.
type HealthFlags uint32

// The flags, in the order in which admin prints them.
const (
	FailedActiveHC HealthFlags = 1 << iota
	FailedOutlierCheck
	FailedEDSHealth
	DegradedActiveHC
	DegradedEDSHealth
	PendingDynamicRemoval
	PendingActiveHC
	ExcludedViaImmediateHCFail
	ActiveHCTimeout
	EDSStatusDraining
)

var flagNames = [...]string{
	"/failed_active_hc", "/failed_outlier_check", "/failed_eds_health", "/degraded_active_hc",
	"/degraded_eds_health", "/pending_dynamic_removal", "/pending_active_hc",
	"/excluded_via_immediate_hc_fail", "/active_hc_timeout", "/eds_status_draining",
}

// String returns the flags as admin prints them: "healthy" if there are none.
func (f HealthFlags) String() string {
	var b strings.Builder
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			b.WriteString(name)
		}
	}
	if b.Len() == 0 {
		return "healthy"
	}
	return b.String()
}

// Health is what the flags of a host come to.
type Health uint8

// The values.
const (
	Healthy Health = iota
	Degraded
	Unhealthy
)

// HealthFlags returns the flags.
func (h *Host) HealthFlags() HealthFlags { return HealthFlags(h.health.Load()) }

// SetHealthFlags sets or clears flags, all at once; the next Set takes them up.
func (h *Host) SetHealthFlags(set, clear HealthFlags) {
	for {
		before := h.health.Load()
		if h.health.CompareAndSwap(before, before&^uint32(clear)|uint32(set)) {
			return
		}
	}
}

// Health sums the flags up.
func (h *Host) Health() Health {
	switch f := h.HealthFlags(); {
	case f&(FailedActiveHC|FailedOutlierCheck|FailedEDSHealth) != 0:
		return Unhealthy
	case f&(DegradedActiveHC|DegradedEDSHealth) != 0:
		return Degraded
	}
	return Healthy
}

// excluded reports whether the host does not even count as one: it was not checked
// yet, or took itself out.
func (h *Host) excluded() bool {
	return h.HealthFlags()&(PendingActiveHC|ExcludedViaImmediateHCFail) != 0
}
