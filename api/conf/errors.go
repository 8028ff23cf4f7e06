package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An Error is one thing wrong with a configuration. In JSON it is an object
// with the keys file, line, column, path and message; unknown places are left
// out.
type Error struct {
	// File is the file name as the user gave it; empty for a configuration
	// that came from elsewhere.
	File string `json:"file,omitempty"`
	// Line and Column count from 1; 0 means unknown. Columns count characters.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Path names the value the error is about.
	Path Path `json:"path"`
	// Message says what is wrong and, where it can, what would be right.
	Message string `json:"message"`
}

// Error returns file:line:column: path: message, without the parts that are
// unknown.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
		if e.Column > 0 {
			fmt.Fprintf(&b, ":%d", e.Column)
		}
	}
	for _, s := range []string{e.Path.String(), e.Message} {
		if s == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(s)
	}
	return b.String()
}

// Errors collects everything that is wrong with a configuration, so that it is
// reported at once. A component appends to the list it is given and goes on as
// far as it can. As an error it is returned by Err only, so that an empty list
// is never a non-nil error.
type Errors []Error

// Add appends an error about the value at path. The loader of the
// configuration fills in the file, line and column afterwards.
func (e *Errors) Add(path Path, format string, args ...any) {
	*e = append(*e, Error{Path: path, Message: fmt.Sprintf(format, args...)})
}

// Err returns the list as an error, or nil if it is empty.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Error returns one line per error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Sort orders the list by line and column within each file; files, and errors
// at one place, keep the order in which they were added. Errors of unknown
// place come last.
func (e Errors) Sort() {
	order := map[string]int{}
	for i := range e {
		if _, seen := order[e[i].File]; !seen {
			order[e[i].File] = len(order)
		}
	}
	slices.SortStableFunc(e, func(a, b Error) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
