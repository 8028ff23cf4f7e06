//go:build linux && (amd64 || arm64)

package main

import "math/bits"

// subBuckets is the number of buckets per power of two: values are kept with
// an error of at most 1/subBuckets.
const subBuckets = 128

// A histogram counts non-negative values (nanoseconds) in buckets whose width
// grows with the value. Recording takes a few instructions and no memory.
type histogram struct {
	counts [(64 - 6) * subBuckets]uint64
	total  uint64
	max    int64
}

// bucket returns the index of v's bucket: v itself below 2*subBuckets, then
// subBuckets buckets for each power of two.
func bucket(v int64) int {
	shift := max(bits.Len64(uint64(v))-8, 0)
	return shift*subBuckets + int(v>>shift)
}

// bucketTop returns the largest value of bucket i.
func bucketTop(i int) int64 {
	shift := max(i/subBuckets-1, 0)
	return int64(i-shift*subBuckets+1)<<shift - 1
}

func (h *histogram) record(v int64) {
	v = max(v, 0)
	h.counts[bucket(v)]++
	h.total++
	h.max = max(h.max, v)
}

// quantile returns a value that a share q of all recorded values does not
// exceed; 0 when nothing was recorded.
func (h *histogram) quantile(q float64) int64 {
	rank := uint64(q*float64(h.total) + 0.5)
	rank = min(max(rank, 1), h.total)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return min(bucketTop(i), h.max)
		}
	}
	return 0
}
