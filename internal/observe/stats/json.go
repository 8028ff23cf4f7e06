package stats

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"strconv"
)

// writeJSON writes Envoy's JSON: an array of name and value, and in its last element
// all histograms.
func (s *Store) writeJSON(w io.Writer, q *query) error {
	out := bufio.NewWriterSize(w, 32<<10)
	out.WriteString(`{"stats":[`)
	var element []byte
	open := "" // what ends the array of histograms, once it has begun
	comma := false
	for _, m := range s.inventory().metrics {
		if !q.shows(m) {
			continue
		}
		element = element[:0]
		if comma {
			element = append(element, ',')
		}
		comma = true
		if m.kind == histograms && open == "" {
			element, open = appendHistogramsStart(element, q.mode)
		}
		element = append(appendJSONString(append(element, `{"name":`...), m.name), ',')
		switch m.kind {
		case histograms:
			element = s.appendJSONHistogram(element, m, q.mode)
		case textReadouts:
			element = appendJSONString(append(element, `"value":`...), m.text.Value())
		default:
			element = strconv.AppendUint(append(element, `"value":`...), m.number(), 10)
		}
		if _, err := out.Write(append(element, '}')); err != nil {
			return err
		}
	}
	out.WriteString(open + "]}")
	return out.Flush()
}

// appendHistogramsStart opens the element of histograms and returns what closes it.
func appendHistogramsStart(dst []byte, mode bucketMode) (_ []byte, end string) {
	dst = append(dst, `{"histograms":`...)
	switch mode {
	case cumulativeMode, disjointMode:
		return append(dst, '['), "]}"
	case detailedMode:
		dst = append(appendShares(append(dst, `{"supported_percentiles":`...)), `,"details":[`...)
	default:
		dst = append(appendShares(append(dst, `{"supported_quantiles":`...)), `,"computed_quantiles":[`...)
	}
	return dst, "]}}"
}

func appendShares(dst []byte) []byte {
	dst = append(dst, '[')
	for i, share := range shares() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendNumber(dst, share*100)
	}
	return append(dst, ']')
}

func (s *Store) appendJSONHistogram(dst []byte, m *metric, mode bucketMode) []byte {
	v := s.view(m)
	switch mode {
	case cumulativeMode, disjointMode:
		return v.appendJSONBuckets(append(dst, `"buckets":`...), mode)
	case detailedMode:
		dst = appendJSONBins(append(dst, `"totals":`...), v.cumulative, v.scale)
		dst = appendJSONBins(append(dst, `,"intervals":`...), v.interval, v.scale)
		return v.appendJSONQuantiles(append(dst, `,"percentiles":`...))
	default:
		return v.appendJSONQuantiles(append(dst, `"values":`...))
	}
}

func (v *view) appendJSONQuantiles(dst []byte) []byte {
	interval, cumulative := v.quantiles(v.interval), v.quantiles(v.cumulative)
	dst = append(dst, '[')
	for i := range cumulative {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONNumber(append(dst, `{"cumulative":`...), cumulative[i])
		dst = appendJSONNumber(append(dst, `,"interval":`...), interval[i])
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func (v *view) appendJSONBuckets(dst []byte, mode bucketMode) []byte {
	interval, cumulative := v.buckets(v.interval, mode), v.buckets(v.cumulative, mode)
	dst = append(dst, '[')
	for i, bound := range v.bounds {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendNumber(append(dst, `{"upper_bound":`...), bound)
		dst = strconv.AppendUint(append(dst, `,"interval":`...), interval[i], 10)
		dst = strconv.AppendUint(append(dst, `,"cumulative":`...), cumulative[i], 10)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendJSONBins(dst []byte, d distribution, scale float64) []byte {
	dst = append(dst, '[')
	for i, b := range d {
		if i > 0 {
			dst = append(dst, ',')
		}
		low, width := bounds(b.index)
		dst = appendNumber(append(dst, `{"lower_bound":`...), low*scale)
		dst = appendNumber(append(dst, `,"width":`...), width*scale)
		dst = strconv.AppendUint(append(dst, `,"count":`...), b.count, 10)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendJSONString writes s in JSON; like Envoy, and unlike json.Marshal, it leaves
// "<" and "&" alone.
func appendJSONString(dst []byte, s string) []byte {
	plain := func(c byte) bool { return ' ' <= c && c < 0x7f && c != '"' && c != '\\' }
	for i := range len(s) {
		if plain(s[i]) {
			continue
		}
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			return append(dst, `""`...) // a string always has a JSON form
		}
		return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
	}
	return append(append(append(dst, '"'), s...), '"')
}
