// Package runtime holds a fake runtime, whose values a test sets.
package runtime

import (
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/runtimeconf"
)

// Values is the runtime: texts by key. It is the loader and its own snapshot; a
// test changes it between calls, on the same goroutine.
type Values map[string]string

var (
	_ runtimeconf.Loader   = Values{}
	_ runtimeconf.Snapshot = Values{}
)

// Snapshot implements runtimeconf.Loader.
func (v Values) Snapshot() runtimeconf.Snapshot { return v }

// Get implements runtimeconf.Snapshot.
func (v Values) Get(key string) (text string, ok bool) {
	text, ok = v[key]
	return text, ok
}

// Integer implements runtimeconf.Snapshot.
func (v Values) Integer(key string, d uint64) uint64 {
	if n, err := strconv.ParseUint(v[key], 10, 64); err == nil {
		return n
	}
	return d
}

// Double implements runtimeconf.Snapshot.
func (v Values) Double(key string, d float64) float64 {
	if n, err := strconv.ParseFloat(v[key], 64); err == nil {
		return n
	}
	return d
}

// Boolean implements runtimeconf.Snapshot.
func (v Values) Boolean(key string, d bool) bool {
	if b, err := strconv.ParseBool(v[key]); err == nil {
		return b
	}
	return d
}

// Percent implements runtimeconf.Snapshot; the text is a percentage.
func (v Values) Percent(key string, d uint32) uint32 {
	if n, err := strconv.ParseFloat(v[key], 64); err == nil {
		return uint32(n * 10_000)
	}
	return d
}
