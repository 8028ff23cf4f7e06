package stats

import (
	"bufio"
	"io"
	"strconv"
)

// writePrometheus writes the text exposition format: counters, gauges, text readouts
// if asked for, histograms; the metrics of a family together.
func (s *Store) writePrometheus(w io.Writer, q *query) error {
	out := bufio.NewWriterSize(w, 32<<10)
	p := promWriter{summaries: q.mode == summaryMode || q.mode == noMode}
	for _, m := range s.families() {
		if !q.shows(m) {
			continue
		}
		if _, err := out.Write(p.metric(s, m)); err != nil {
			return err
		}
	}
	return out.Flush()
}

// promWriter writes metrics one after the other.
type promWriter struct {
	summaries bool   // show histograms as summaries of the last interval
	family    string // of the last metric, as in its name
	kind      kind   // of the last metric
	name      string // of the family, as Prometheus wants it
	labels    string
	out       []byte
}

// metric returns the lines of m, valid until the next call.
func (p *promWriter) metric(s *Store, m *metric) []byte {
	t := s.tagged(m)
	p.out = p.out[:0]
	p.labels = t.labels.Value()
	if family := t.family.Value(); p.name == "" || family != p.family || m.kind != p.kind {
		p.family, p.kind, p.name = family, m.kind, "envoy_"+prometheusName(family)
		p.out = append(append(append(p.out, "# TYPE "...), p.name...), p.promType()...)
	}
	switch m.kind {
	case histograms:
		p.histogram(s.view(m))
	case textReadouts:
		p.start("", "text_value", m.text.Value())
		p.out = append(p.out, "0\n"...)
	default:
		p.start("", "", "")
		p.out = append(strconv.AppendUint(p.out, m.number(), 10), '\n')
	}
	return p.out
}

func (p *promWriter) promType() string {
	switch {
	case p.kind == counters:
		return " counter\n"
	case p.kind != histograms:
		return " gauge\n"
	case p.summaries:
		return " summary\n"
	}
	return " histogram\n"
}

// start writes a line's beginning: the name with a suffix, the labels, and one label
// more if its name is not "".
func (p *promWriter) start(suffix, label, value string) {
	p.out = append(append(append(append(p.out, p.name...), suffix...), '{'), p.labels...)
	if label != "" {
		if p.labels != "" {
			p.out = append(p.out, ',')
		}
		p.out = append(append(p.out, label...), `="`...)
		p.out = append(append(p.out, labelEscaper.Replace(value)...), '"')
	}
	p.out = append(p.out, "} "...)
}

func (p *promWriter) histogram(v view) {
	var number [64]byte
	d := v.cumulative
	if p.summaries {
		d = v.interval
		values := v.quantiles(d)
		for i, share := range shares() {
			p.start("", "quantile", string(appendPlain(number[:0], share)))
			p.out = append(appendDigits(p.out, values[i], 32), '\n')
		}
	} else {
		counts := v.buckets(d, cumulativeMode)
		for i, bound := range v.bounds {
			p.start("_bucket", "le", string(appendDigits(number[:0], bound, 32)))
			p.out = append(strconv.AppendUint(p.out, counts[i], 10), '\n')
		}
		p.start("_bucket", "le", "+Inf")
		p.out = append(strconv.AppendUint(p.out, d.samples(), 10), '\n')
	}
	p.start("_sum", "", "")
	p.out = append(appendDigits(p.out, d.sum()*v.scale, 32), '\n')
	p.start("_count", "", "")
	p.out = append(strconv.AppendUint(p.out, d.samples(), 10), '\n')
}
