package proxymain

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestWastefulHeap(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		name        string
		before, now heap
		want        bool
	}{
		{"small", heap{0, 4 * mib, 8 * mib, 0}, heap{0, 4 * mib, 8 * mib, 4 * mib}, false},
		{"garbage", heap{0, 4 * mib, 13 * mib, 0}, heap{0, 4 * mib, 13 * mib, 0}, true},
		{"free memory", heap{0, 4 * mib, 5 * mib, 8 * mib}, heap{0, 4 * mib, 5 * mib, 8 * mib}, true},
		{"busy", heap{0, 4 * mib, 10 * mib, 0}, heap{2 * mib, 4 * mib, 13 * mib, 0}, false},
		{"large", heap{0, 100 * mib, 140 * mib, 0}, heap{mib, 100 * mib, 141 * mib, 0}, false},
		{"large, with garbage", heap{0, 100 * mib, 151 * mib, 0}, heap{mib, 100 * mib, 151 * mib, 0}, true},
	} {
		if got := tc.now.wasteful(tc.before); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestReadHeap makes garbage and collects it: a runtime that has other names for what
// readHeap reads would say 0.
func TestReadHeap(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	before := readHeap()
	garbage := make([]byte, 4*spareBytes)
	h := readHeap()
	if !h.wasteful(h) || h.wasteful(before) {
		t.Errorf("with garbage: %+v", h)
	}
	runtime.KeepAlive(garbage)
	debug.FreeOSMemory()
	if h := readHeap(); h.wasteful(h) {
		t.Errorf("without garbage: %+v", h)
	}
}
