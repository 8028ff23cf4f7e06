package stats

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// oneLine keeps a text from forging lines of output.
var oneLine = strings.NewReplacer("\n", `\n`, "\r", `\r`)

// writeText writes one line per metric, "name: value", histograms last.
func (s *Store) writeText(w io.Writer, q *query) error {
	out := bufio.NewWriterSize(w, 32<<10)
	var line []byte
	for _, m := range s.inventory().metrics {
		if !q.shows(m) {
			continue
		}
		line = append(line[:0], m.name...)
		switch m.kind {
		case histograms:
			line = s.appendTextHistogram(line, m, q.mode)
		case textReadouts:
			line = append(append(append(line, `: "`...), oneLine.Replace(m.text.Value())...), '"')
		default:
			line = strconv.AppendUint(append(line, ": "...), m.number(), 10)
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return out.Flush()
}

// number returns the value of a counter or gauge.
func (m *metric) number() uint64 {
	if m.kind == counters {
		return m.counter.Value()
	}
	return m.gauge.Value()
}

func (s *Store) appendTextHistogram(line []byte, m *metric, mode bucketMode) []byte {
	v := s.view(m)
	if v.cumulative == nil {
		return append(line, ": No recorded values"...)
	}
	switch mode {
	case cumulativeMode, disjointMode:
		interval, cumulative := v.buckets(v.interval, mode), v.buckets(v.cumulative, mode)
		line = append(line, ':')
		for i, bound := range v.bounds {
			line = appendDigits(append(line, " B"...), bound, 6)
			line = strconv.AppendUint(append(line, '('), interval[i], 10)
			line = strconv.AppendUint(append(line, ','), cumulative[i], 10)
			line = append(line, ')')
		}
		return line
	case detailedMode:
		line = appendTextBins(append(line, ":\n  totals="...), v.cumulative, v.scale)
		line = appendTextBins(append(line, "\n  intervals="...), v.interval, v.scale)
		return v.appendTextQuantiles(append(line, "\n  summary="...))
	default:
		return v.appendTextQuantiles(append(line, ": "...))
	}
}

func (v *view) appendTextQuantiles(line []byte) []byte {
	interval, cumulative := v.quantiles(v.interval), v.quantiles(v.cumulative)
	for i, share := range shares() {
		if i > 0 {
			line = append(line, ' ')
		}
		line = appendDigits(append(line, 'P'), share*100, 6)
		line = appendPlain(append(line, '('), interval[i])
		line = appendPlain(append(line, ','), cumulative[i])
		line = append(line, ')')
	}
	return line
}

func appendTextBins(line []byte, d distribution, scale float64) []byte {
	for i, b := range d {
		if i > 0 {
			line = append(line, ", "...)
		}
		low, width := bounds(b.index)
		line = appendDigits(line, low*scale, 15)
		line = appendDigits(append(line, ','), width*scale, 15)
		line = strconv.AppendUint(append(line, ':'), b.count, 10)
	}
	return line
}
