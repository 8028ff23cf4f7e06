package stats

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"regexp/syntax"
)

// A format is how metrics are written.
type format string

const (
	textFormat       format = "text"
	jsonFormat       format = "json"
	htmlFormat       format = "html"
	activeHTMLFormat format = "active-html"
	prometheusFormat format = "prometheus"
)

// A bucketMode is what is shown of a histogram.
type bucketMode string

const (
	defaultMode    bucketMode = ""           // the format's own: quantiles, or buckets in Prometheus
	noMode         bucketMode = "none"       // as summary
	summaryMode    bucketMode = "summary"    // quantiles
	cumulativeMode bucketMode = "cumulative" // values up to each bound
	disjointMode   bucketMode = "disjoint"   // values between two bounds
	detailedMode   bucketMode = "detailed"   // all bins and the quantiles
)

// A query says which metrics to show, and how.
type query struct {
	format   format
	mode     bucketMode // "" if none was asked for
	kinds    [4]bool    // which kinds to show
	usedOnly bool
	filter   func(name string) bool // nil for no filter
	invert   bool
}

// parseQuery reads the parameters of /stats. Errors are for the client, in Envoy's words.
func parseQuery(params url.Values) (query, error) {
	q := query{
		usedOnly: params.Has("usedonly"),
		invert:   params.Has("invert_filter"),
	}
	switch f := format(params.Get("format")); f {
	case "":
		q.format = textFormat
	case textFormat, jsonFormat, htmlFormat, activeHTMLFormat, prometheusFormat:
		q.format = f
	default:
		return q, errors.New("usage: /stats?format=(html|active-html|json|prometheus|text)\n\n")
	}
	switch mode := bucketMode(params.Get("histogram_buckets")); mode {
	case defaultMode, noMode, summaryMode, cumulativeMode, disjointMode, detailedMode:
		q.mode = mode
	default:
		return q, errors.New("usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary)\n")
	}
	switch params.Get("type") {
	case "", "All":
		q.kinds = [4]bool{true, true, true, true}
	case "Counters":
		q.kinds[counters] = true
	case "Gauges":
		q.kinds[gauges] = true
	case "Histograms":
		q.kinds[histograms] = true
	case "TextReadouts":
		q.kinds[textReadouts] = true
	default:
		return q, errors.New("invalid &type= param")
	}
	if pattern := params.Get("filter"); pattern != "" {
		var err error
		if q.filter, err = Filter(pattern); err != nil {
			return q, fmt.Errorf("Invalid re2 regex: %w", err)
		}
	}
	if q.format == prometheusFormat {
		q.kinds = [4]bool{true, true, params.Has("text_readouts"), true} // by kind, whatever the type
	}
	if q.format == prometheusFormat && (q.mode == disjointMode || q.mode == detailedMode) {
		return q, errors.New("unsupported prometheus histogram bucket mode")
	}
	return q, nil
}

// regexProblem says what is wrong with a regular expression in RE2's words.
func regexProblem(err error) string {
	var problem *syntax.Error
	if !errors.As(err, &problem) {
		return err.Error()
	}
	words := string(problem.Code)
	switch problem.Code {
	case syntax.ErrMissingParen:
		words = "missing )"
	case syntax.ErrMissingBracket:
		words = "missing ]"
	case syntax.ErrInvalidRepeatOp:
		words = "bad repetition operator"
	case syntax.ErrMissingRepeatArgument:
		words = "no argument for repetition operator"
	case syntax.ErrInvalidRepeatSize:
		words = "invalid repetition size"
	case syntax.ErrTrailingBackslash:
		words = `trailing \`
	case syntax.ErrInvalidPerlOp:
		words = "invalid perl operator"
	case syntax.ErrInvalidNamedCapture:
		words = "invalid named capture group"
	}
	return words + ": " + problem.Expr
}

// shows reports whether m is asked for.
func (q *query) shows(m *metric) bool {
	return q.kinds[m.kind] && (!q.usedOnly || m.used()) &&
		(q.filter == nil || q.filter(m.name) != q.invert)
}

// Filter compiles a regular expression (RE2) to a search in names. Its error is for
// clients of admin, in RE2's words.
func Filter(pattern string) (match func(name string) bool, err error) {
	r, err := regexp.Compile(pattern)
	if err != nil {
		return nil, errors.New(regexProblem(err))
	}
	return r.MatchString, nil
}
