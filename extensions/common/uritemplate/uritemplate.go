// Package uritemplate reads the path templates that the matcher and the rewriter of
// URI templates share.
//
// A template is a list of segments between slashes. A segment is literal text, "*"
// (anything but a slash, at least one character), "**" (anything, slashes included,
// also nothing), or a variable with text around it: prefix{name}suffix, where
// {name=segments} says what the variable matches, and {name} is {name=*}. Behind "*"
// and "**" text may follow in the last segment.
package uritemplate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	maxVariables = 5
	maxNameLen   = 16

	// pchar are the characters of a path segment, for a class of a regular expression.
	pchar    = `a-zA-Z0-9\-._~%!$&'()+,;:@=*`
	pathGlob = "[" + pchar + "]+"
	textGlob = "[" + pchar + "/]*"
)

// A Template is a parsed path template.
type Template struct {
	// Regex matches whole paths; a group captures each variable.
	Regex string
	// Variables are the names of the groups, in order.
	Variables []string
}

// Parse reads a path template.
func Parse(text string) (*Template, error) {
	if text == "" || text[0] != '/' || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return nil, errors.New(`must begin with "/" and have printable ASCII characters only`)
	}
	p := parser{rest: text[1:]}
	p.regex.WriteByte('/')
	for p.rest != "" {
		if err := p.segment(); err != nil {
			return nil, err
		}
		if rest, ok := strings.CutPrefix(p.rest, "/"); ok {
			p.regex.WriteByte('/')
			p.rest = rest
		}
	}
	return &Template{p.regex.String(), p.variables}, nil
}

type parser struct {
	rest      string // not read yet
	regex     strings.Builder
	variables []string
	textGlob  bool // a "**" was read: no other glob may follow
}

// segment reads up to a slash, or to the end.
func (p *parser) segment() error {
	text, _, more := strings.Cut(p.rest, "/")
	open := strings.IndexByte(text, '{')
	switch {
	case text[:min(1, len(text))] == "*":
		return p.globSegment(text, more)
	case open == 0 || open > 0 && strings.IndexByte(text[open:], '}') > 0:
		return p.variableSegment(open)
	default:
		p.rest = p.rest[len(text):]
		return p.literal(text)
	}
}

// globSegment reads "*" or "**" and the text behind it.
func (p *parser) globSegment(text string, more bool) error {
	size := 1
	if strings.HasPrefix(text, "**") {
		size = 2
	}
	if err := p.glob(size == 2); err != nil {
		return err
	}
	p.rest = p.rest[len(text):]
	switch {
	case len(text) == size:
		return nil
	case more:
		return fmt.Errorf("text after %s is for the last segment only", text[:size])
	}
	return p.literal(text[size:])
}

func (p *parser) glob(text bool) error {
	if p.textGlob {
		return errors.New("nothing but literal text may follow **")
	}
	if p.textGlob = text; text {
		p.regex.WriteString(textGlob)
	} else {
		p.regex.WriteString(pathGlob)
	}
	return nil
}

// variableSegment reads a variable, with the text before and behind it. What is in
// the braces may have slashes.
func (p *parser) variableSegment(open int) error {
	if open > 0 {
		if err := p.literal(p.rest[:open]); err != nil {
			return err
		}
	}
	inside, rest, ok := strings.Cut(p.rest[open+1:], "}")
	if !ok {
		return errors.New("a { has no }")
	}
	p.rest = rest
	if err := p.variable(inside); err != nil {
		return err
	}
	suffix, _, _ := strings.Cut(p.rest, "/")
	p.rest = p.rest[len(suffix):]
	if suffix == "" {
		return nil
	}
	return p.literal(suffix)
}

// variable reads name or name=segments.
func (p *parser) variable(text string) error {
	name, segments, explicit := strings.Cut(text, "=")
	switch {
	case !validName(name):
		return fmt.Errorf("%q is not the name of a variable", name)
	case len(name) > maxNameLen:
		return fmt.Errorf("the name of variable %s is longer than %d characters", name, maxNameLen)
	case slices.Contains(p.variables, name):
		return fmt.Errorf("variable %s is there twice", name)
	case len(p.variables) == maxVariables:
		return fmt.Errorf("there are more than %d variables", maxVariables)
	case explicit && segments == "":
		return fmt.Errorf("variable %s matches nothing", name)
	}
	p.variables = append(p.variables, name)
	p.regex.WriteByte('(')
	defer p.regex.WriteByte(')')
	if !explicit {
		return p.glob(false)
	}
	for i, segment := range strings.Split(segments, "/") {
		if i > 0 {
			p.regex.WriteByte('/')
		}
		var err error
		switch segment {
		case "*", "**":
			err = p.glob(segment == "**")
		default:
			if strings.HasPrefix(segment, "*") {
				return fmt.Errorf("variable %s: no text may follow a glob", name)
			}
			err = p.literal(segment)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// literal reads literal text. As in Envoy, a "*" behind a character repeats it.
func (p *parser) literal(text string) error {
	if text == "" || !isLiteral(text, "") {
		return fmt.Errorf("%q is not literal text of a path", text)
	}
	for i := range len(text) {
		if strings.IndexByte("$()+.", text[i]) >= 0 {
			p.regex.WriteByte('\\')
		}
		p.regex.WriteByte(text[i])
	}
	return nil
}

func isLiteral(text, more string) bool {
	for i := range len(text) {
		if c := text[i]; !alphanumeric(c) && strings.IndexByte("-._~%!$&'()+,;:@=*", c) < 0 && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return true
}

func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !alphanumeric(c) && c != '_' || i == 0 && (c == '_' || '0' <= c && c <= '9') {
			return false
		}
	}
	return name != ""
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// ParseRewrite reads the template of a new path: literal text, and variables in
// braces. It returns a substitution with \1 to \5 for the groups of a template with
// these variables.
func ParseRewrite(text string, variables []string) (substitution string, err error) {
	switch {
	case !strings.HasPrefix(text, "/"):
		return "", errors.New(`must begin with "/"`)
	case strings.Contains(text, "//"):
		return "", errors.New("must not have two slashes in a row")
	}
	var b strings.Builder
	for more := true; more; {
		var literal, name string
		literal, text, more = strings.Cut(text, "{")
		if !isLiteral(literal, "/") {
			return "", fmt.Errorf("%q is not literal text of a path", literal)
		}
		b.WriteString(literal)
		if !more {
			break
		}
		var closed bool
		if name, text, closed = strings.Cut(text, "}"); !closed {
			return "", errors.New("a { has no }")
		}
		group := slices.Index(variables, name)
		if group < 0 {
			return "", fmt.Errorf("variable %q is not in the template of path_match_policy", name)
		}
		fmt.Fprintf(&b, `\%d`, group+1)
	}
	return b.String(), nil
}
