package stats

// shares returns the quantiles that Envoy shows.
func shares() []float64 {
	return []float64{0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1}
}

// A view is a histogram as one answer shows it.
type view struct {
	interval, cumulative distribution
	bounds               []float64 // of its buckets
	scale                float64   // of its values
}

func (s *Store) view(m *metric) view {
	v := view{bounds: s.bounds(m.name), scale: m.histogram.scale()}
	if merged := m.histogram.merged.Load(); merged != nil {
		v.interval, v.cumulative = merged.interval, merged.cumulative
	}
	return v
}

// bounds returns the bucket bounds of the histogram with this name.
func (s *Store) bounds(name string) []float64 {
	for _, rule := range s.config.Buckets {
		if rule.Match(name) {
			return rule.Bounds
		}
	}
	return s.defaultBuckets
}

// quantiles returns the values of d at shares.
func (v *view) quantiles(d distribution) []float64 {
	q := d.quantiles(shares())
	for i := range q {
		q[i] *= v.scale
	}
	return q
}

// buckets returns the number of values in each bucket of d.
func (v *view) buckets(d distribution, mode bucketMode) []uint64 {
	limits := v.bounds
	if v.scale != 1 {
		limits = make([]float64, len(v.bounds))
		for i, b := range v.bounds {
			limits[i] = b / v.scale
		}
	}
	counts := d.cumulative(limits)
	if mode == disjointMode {
		for i := len(counts) - 1; i > 0; i-- {
			counts[i] -= counts[i-1]
		}
	}
	return counts
}
