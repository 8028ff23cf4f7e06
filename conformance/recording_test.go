package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// An outcome is what a proxy did in a case: lines by section ("client 1", "log", ...).
type outcome map[string][]string

// change is what has to be laid over o to get other: a section that is only in o
// becomes empty.
func (o outcome) change(other outcome) outcome {
	c := outcome{}
	for name := range o {
		if _, has := other[name]; !has {
			c[name] = []string{}
		}
	}
	for name, lines := range other {
		if !slices.Equal(o[name], lines) {
			c[name] = lines
		}
	}
	return c
}

// A recording is what proxies did in a case when it was recorded.
type recording struct {
	Envoy  outcome `json:"envoy"`
	Nuncio outcome `json:"nuncio,omitempty"` // the sections that differ on purpose
}

// nuncio is what nuncio has to do.
func (r *recording) nuncio() outcome {
	if r.Envoy == nil {
		return nil
	}
	o := maps.Clone(r.Envoy)
	for name, lines := range r.Nuncio {
		o[name] = lines
		if len(lines) == 0 {
			delete(o, name)
		}
	}
	return o
}

// recordings are those of a topic.
type recordings struct {
	file  string
	cases map[string]*recording
}

func loadRecordings(topic string) (*recordings, error) {
	r := &recordings{file: filepath.Join(*dirFlag, "recordings", topic+".json"), cases: map[string]*recording{}}
	text, err := os.ReadFile(r.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, nil
	case err != nil:
		return nil, err
	}
	return r, json.Unmarshal(text, &r.cases)
}

// save writes the recordings, without those of cases that are no more.
func (r *recordings) save(t *topic) error {
	maps.DeleteFunc(r.cases, func(name string, _ *recording) bool { return !slices.Contains(t.names, name) })
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(r.cases); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(r.file, b.Bytes(), 0o644)
}

// get never returns nil.
func (r *recordings) get(name string) *recording {
	if rec := r.cases[name]; rec != nil {
		return rec
	}
	return &recording{}
}

func (r *recordings) set(name string) *recording {
	if r.cases[name] == nil {
		r.cases[name] = &recording{}
	}
	return r.cases[name]
}

// An expectation tells what a case should come to, or nil: this ends waiting early, it
// is no judgement.
type expectation func(c *testCase) outcome

func (r *recordings) envoy(update bool) expectation {
	return func(c *testCase) outcome {
		if update {
			return nil
		}
		return r.get(c.Name).Envoy
	}
}

func (r *recordings) nuncio(update bool) expectation {
	return func(c *testCase) outcome {
		if update && c.Differs != "" {
			return nil
		}
		return r.get(c.Name).nuncio()
	}
}

// diff shows the sections of two outcomes that differ, line by line, or is empty.
func diff(want, got outcome) string {
	all := maps.Clone(want)
	if all == nil {
		all = outcome{}
	}
	maps.Copy(all, got)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if slices.Equal(want[name], got[name]) {
			continue
		}
		b.WriteString("  " + name + "\n")
		for _, line := range diffLines(want[name], got[name]) {
			b.WriteString("    " + line + "\n")
		}
	}
	return b.String()
}

// diffLines has the lines of a and b, the ones of only a after "-", of only b after "+".
// Equal lines at the ends are left out.
func diffLines(a, b []string) []string {
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	a, b = a[start:], b[start:]
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	// common[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, "  "+quote(a[i]))
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+quote(a[i]))
			i++
		default:
			out = append(out, "+ "+quote(b[j]))
			j++
		}
	}
	return out
}

// quote shows a line on one line.
func quote(line string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(line); err != nil {
		return err.Error()
	}
	return strings.Trim(b.String(), "\"\n")
}
