package grpcjsontranscoder

import (
	"errors"
	"strings"
)

// A template is the path of an HTTP rule:
//
//	Template  = "/" Segments [ Verb ]
//	Segments  = Segment { "/" Segment }
//	Segment   = "*" | "**" | LITERAL | Variable
//	Variable  = "{" FieldPath [ "=" Segments ] "}"
//	FieldPath = IDENT { "." IDENT }
//	Verb      = ":" LITERAL
//
// Behind "**" only literals may follow.
// https://github.com/googleapis/googleapis/blob/master/google/api/http.proto
type template struct {
	segments  []string
	verb      string
	variables []variable
}

// A variable is a field that gets the segments from start to before end; a negative end
// counts from behind, with -1 for the end of the path.
type variable struct {
	field      []string
	start, end int
}

const (
	oneSegment   = "*"
	manySegments = "**"
)

// A templateParser reads a template from the front of rest.
type templateParser struct {
	template
	rest       string
	inVariable bool
}

func parseTemplate(text string) (*template, error) {
	p := templateParser{rest: text}
	if err := p.parse(); err != nil {
		return nil, err
	}
	many := false
	for _, s := range p.segments {
		if many && (s == oneSegment || s == manySegments) {
			return nil, errors.New("only literals may follow **")
		}
		many = many || s == manySegments
	}
	for i := range p.variables {
		v := &p.variables[i]
		for _, s := range p.segments[v.start:v.end] {
			if s == manySegments {
				v.end -= len(p.segments) + 1
				break
			}
		}
	}
	return &p.template, nil
}

func (p *templateParser) parse() error {
	if !p.take("/") {
		return errors.New("must begin with /")
	}
	if err := p.parseSegments(); err != nil {
		return err
	}
	if p.take(":") {
		if p.verb = p.literal("/:}"); p.verb == "" {
			return errors.New("the verb is empty")
		}
	}
	if p.rest != "" {
		return errors.New("unexpected " + p.rest[:1])
	}
	return nil
}

func (p *templateParser) take(token string) bool {
	rest, ok := strings.CutPrefix(p.rest, token)
	p.rest = rest
	return ok
}

// literal takes all up to one of the characters in ends.
func (p *templateParser) literal(ends string) string {
	n := strings.IndexAny(p.rest, ends)
	if n < 0 {
		n = len(p.rest)
	}
	text := p.rest[:n]
	p.rest = p.rest[n:]
	return text
}

func (p *templateParser) parseSegments() error {
	for {
		if err := p.parseSegment(); err != nil {
			return err
		}
		if !p.take("/") {
			return nil
		}
	}
}

func (p *templateParser) parseSegment() error {
	switch {
	case p.take(manySegments):
		p.segments = append(p.segments, manySegments)
	case p.take(oneSegment):
		p.segments = append(p.segments, oneSegment)
	case p.take("{"):
		return p.parseVariable()
	default:
		text := p.literal("/:}")
		if text == "" {
			return errors.New("a segment is empty")
		}
		p.segments = append(p.segments, text)
	}
	return nil
}

func (p *templateParser) parseVariable() error {
	if p.inVariable {
		return errors.New("a variable is in another one")
	}
	p.inVariable = true
	v := variable{start: len(p.segments)}
	for {
		name := p.literal(".}=")
		if name == "" {
			return errors.New("the name of a field is empty")
		}
		if v.field = append(v.field, name); !p.take(".") {
			break
		}
	}
	if !p.take("=") {
		p.segments = append(p.segments, oneSegment)
	} else if err := p.parseSegments(); err != nil {
		return err
	}
	if !p.take("}") {
		return errors.New("a variable has no end")
	}
	p.inVariable = false
	v.end = len(p.segments)
	p.variables = append(p.variables, v)
	return nil
}
