package stats

import (
	"math"
	"slices"
)

// Histograms count values in the log-linear bins of circllhist: a bin for each value
// of two significant digits. The values are integers, so the bin of v is its two
// leading digits d (10 to 99; below 10 v itself) and the number of digits after
// them, k. Bins are numbered 100k+d.
const (
	digitPairs = 100
	decades    = 19 // the largest uint64 has 20 digits
	binCount   = digitPairs * decades
)

// binCounts has a count for every bin.
type binCounts [binCount]uint64

// binOf returns the decade and digits of v's bin.
func binOf(v uint64) (decade, digits int) {
	for v >= digitPairs {
		v /= 10
		decade++
	}
	return decade, int(v)
}

// bounds returns the lower bound and width of a bin. Zero has a bin of width 0; the
// bins below 10 are those of 1.0, 2.0 and so on, which are 0.1 wide. The arithmetic
// is circllhist's, to the last bit: it decides in which bucket a bin counts.
func bounds(bin int) (low, width float64) {
	digits := float64(bin % digitPairs)
	switch {
	case bin == 0:
		return 0, 0
	case bin < 10:
		return digits, 0.1
	}
	scale := math.Pow10(bin/digitPairs + 1)
	return digits / 10 * scale, scale / 10
}

// A bin is the count of one bin.
type bin struct {
	index int
	count uint64
}

// A distribution is what a histogram counted: its bins that are not empty, in
// ascending order. It is immutable.
type distribution []bin

// distributionOf collects the counts that are not zero, and clears them.
func distributionOf(counts *binCounts) distribution {
	n := 0
	for _, c := range counts {
		if c > 0 {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	d := make(distribution, 0, n)
	for i, c := range counts {
		if c > 0 {
			d = append(d, bin{i, c})
			counts[i] = 0
		}
	}
	return d
}

// plus returns the sum of two distributions.
func (d distribution) plus(other distribution) distribution {
	sum := make(distribution, 0, max(len(d), len(other)))
	for len(d) > 0 && len(other) > 0 {
		switch {
		case d[0].index < other[0].index:
			sum, d = append(sum, d[0]), d[1:]
		case d[0].index > other[0].index:
			sum, other = append(sum, other[0]), other[1:]
		default:
			sum = append(sum, bin{d[0].index, d[0].count + other[0].count})
			d, other = d[1:], other[1:]
		}
	}
	return slices.Concat(sum, d, other)
}

// samples returns the number of values.
func (d distribution) samples() uint64 {
	var n uint64
	for _, b := range d {
		n += b.count
	}
	return n
}

// sum returns the sum of the values, each taken as the harmonic mean of its bin's
// bounds: that keeps the relative error smallest.
func (d distribution) sum() float64 {
	var sum float64
	for _, b := range d {
		if low, width := bounds(b.index); low > 0 {
			sum += (low + width*(low/(low+low+width))) * float64(b.count)
		}
	}
	return sum
}

// quantiles returns for each of the ascending shares (0 to 1) the smallest value that
// this share of all values does not exceed, NaN if there are none. The n values of a
// bin are taken as dividing it into n+1 equal parts.
func (d distribution) quantiles(shares []float64) []float64 {
	result := make([]float64, len(shares))
	total := float64(d.samples())
	if total == 0 {
		for i := range result {
			result[i] = math.NaN()
		}
		return result
	}
	at, before := 0, 0.0
	for i, share := range shares {
		rank := max(1, math.Ceil(share*total))
		for at < len(d)-1 && before+float64(d[at].count) < rank {
			before += float64(d[at].count)
			at++
		}
		low, width := bounds(d[at].index)
		result[i] = low + (rank-before)/float64(d[at].count+1)*width
	}
	return result
}

// cumulative returns for each of the ascending limits the number of values in bins
// that start at or below it.
func (d distribution) cumulative(limits []float64) []uint64 {
	result := make([]uint64, len(limits))
	var n uint64
	at := 0
	for i, limit := range limits {
		for ; at < len(d); at++ {
			if low, _ := bounds(d[at].index); low > limit {
				break
			}
			n += d[at].count
		}
		result[i] = n
	}
	return result
}
