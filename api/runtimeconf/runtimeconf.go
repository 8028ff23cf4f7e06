// Package runtimeconf reads the runtime: values that operators change while the
// proxy runs.
package runtimeconf

// A Loader gives the current snapshot. Any goroutine.
type Loader interface {
	Snapshot() Snapshot
}

// A Snapshot is an immutable set of values. Any goroutine. A value that is missing
// or has another type gives the default.
type Snapshot interface {
	Integer(key string, defaultValue uint64) uint64
	Double(key string, defaultValue float64) float64
	Boolean(key string, defaultValue bool) bool
	Get(key string) (text string, ok bool)
	// Percent returns the fraction for key in millionths.
	Percent(key string, defaultMillionths uint32) uint32
}

// A Fraction is a RuntimeFractionalPercent: a share of the requests, which the
// runtime may override.
type Fraction struct {
	Key        string // "" if there is none
	Millionths uint32 // default
}

// Enabled reports whether something with this random value belongs to the share.
func (f Fraction) Enabled(s Snapshot, random uint64) bool {
	share := f.Millionths
	if f.Key != "" {
		share = s.Percent(f.Key, share)
	}
	return random%1_000_000 < uint64(share)
}

// A Flag is a RuntimeFeatureFlag.
type Flag struct {
	Key     string
	Default bool
}

// Enabled reports the value.
func (f Flag) Enabled(s Snapshot) bool {
	if f.Key == "" {
		return f.Default
	}
	return s.Boolean(f.Key, f.Default)
}
