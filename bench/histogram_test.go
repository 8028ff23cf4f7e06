//go:build linux && (amd64 || arm64)

package main

import (
	"math"
	"testing"
)

func TestHistogramBuckets(t *testing.T) {
	for _, v := range []int64{0, 1, 127, 128, 255, 256, 257, 511, 512, 1000, 123456, 1e9, math.MaxInt64} {
		i := bucket(v)
		top := bucketTop(i)
		if top < v || i > 0 && bucketTop(i-1) >= v {
			t.Errorf("%d is in bucket %d, whose top is %d (the one before: %d)", v, i, top, bucketTop(i-1))
		}
		if float64(top-v) > float64(v)/subBuckets {
			t.Errorf("%d is kept as %d", v, top)
		}
	}
	if n := len(histogram{}.counts); bucket(math.MaxInt64) >= n {
		t.Errorf("bucket of the greatest value is %d of %d", bucket(math.MaxInt64), n)
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var h histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("median of nothing is %d", got)
	}
	for v := int64(1); v <= 100_000; v++ {
		h.record(v)
	}
	h.record(-1) // a clock that steps back
	for _, test := range []struct {
		q    float64
		want int64
	}{{0, 0}, {0.5, 50_000}, {0.99, 99_000}, {1, 100_000}} {
		got := h.quantile(test.q)
		if d := math.Abs(float64(got - test.want)); d > float64(test.want)/subBuckets {
			t.Errorf("quantile %g is %d, want %d", test.q, got, test.want)
		}
	}
}

func TestHistogramDoesNotAllocate(t *testing.T) {
	var h histogram
	if n := testing.AllocsPerRun(100, func() { h.record(12345) }); n != 0 {
		t.Errorf("record allocates %g times", n)
	}
}
