package stats

import (
	"bufio"
	"html"
	"io"
	"strconv"
)

const htmlHead = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>nuncio: statistics</title>
<style>
body { font: 14px sans-serif; margin: 1.5em; }
table { border-collapse: collapse; }
td { padding: 2px 12px 2px 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td + td { font-family: monospace; }
</style>
`

// writeHTML writes a table of the metrics. The page of active-html loads itself again
// every five seconds.
func (s *Store) writeHTML(w io.Writer, q *query) error {
	out := bufio.NewWriterSize(w, 32<<10)
	out.WriteString(htmlHead)
	if q.format == activeHTMLFormat {
		out.WriteString("<meta http-equiv=\"refresh\" content=\"5\">\n")
	}
	out.WriteString("</head>\n<body>\n<h1>Statistics</h1>\n<table>\n")
	var value []byte
	for _, m := range s.inventory().metrics {
		if !q.shows(m) {
			continue
		}
		switch m.kind {
		case histograms:
			value = s.appendTextHistogram(value[:0], m, q.mode)[len(": "):]
		case textReadouts:
			value = append(value[:0], m.text.Value()...)
		default:
			value = strconv.AppendUint(value[:0], m.number(), 10)
		}
		row := "<tr><td>" + html.EscapeString(m.name) + "</td><td>" + html.EscapeString(string(value)) + "</td></tr>\n"
		if _, err := out.WriteString(row); err != nil {
			return err
		}
	}
	out.WriteString("</table>\n</body>\n</html>\n")
	return out.Flush()
}
