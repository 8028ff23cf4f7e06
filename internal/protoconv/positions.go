package protoconv

import "github.com/nuncio-proxy/nuncio/api/conf"

// Positions remembers where in its files each value of a loaded configuration
// stands. The zero value knows nothing. It is written while loading and only
// read afterwards.
type Positions struct{ root place }

// A place is one value: the position of its key, or of a list's element
// itself, and the values inside it by conf.Path step.
type place struct {
	file         string
	line, column int
	inner        map[string]*place
}

// step returns the place of the value at path, which is directly inside p, and
// sets its position.
func (p *place) step(path conf.Path, file string, line, column int) *place {
	if p.inner == nil {
		p.inner = map[string]*place{}
	}
	child := p.inner[path.Last()]
	if child == nil {
		child = &place{}
		p.inner[path.Last()] = child
	}
	child.file, child.line, child.column = file, line, column
	return child
}

// find returns the place of path or of the nearest known value around it.
func (p *place) find(path conf.Path) (near *place, exact bool) {
	if path.IsRoot() {
		return p, true
	}
	outer, exact := p.find(path.Parent())
	if !exact {
		return outer, false
	}
	if child := outer.inner[path.Last()]; child != nil {
		return child, true
	}
	return outer, false
}

// Locate fills in the position of every error in errs that has none, from its
// path; an error about a value that is not in the file gets the position of
// the message that lacks it.
func (p *Positions) Locate(errs conf.Errors) {
	for i := range errs {
		p.locate(&errs[i])
	}
}

func (p *Positions) locate(e *conf.Error) {
	if e.Line > 0 {
		return
	}
	near, _ := p.root.find(e.Path)
	e.File, e.Line, e.Column = near.file, near.line, near.column
}
