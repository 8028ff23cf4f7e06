package matcher

import "slices"

// anyTree leads to one branch always: a tree without a list or tree.
type anyTree struct{ otherwise *OnMatch }

func (t *anyTree) Match(d Data) Result { return t.otherwise.Follow(d) }

// listTree takes the first branch whose predicate holds and that leads somewhere.
type listTree struct {
	branches  []branch
	otherwise *OnMatch
}

type branch struct {
	when predicate
	then *OnMatch
}

func (t *listTree) Match(d Data) Result {
	for i := range t.branches {
		b := &t.branches[i]
		switch b.when.test(d) {
		case unsure:
			return Result{Outcome: Unsure}
		case yes:
			if r := b.then.Follow(d); r.Outcome != NoMatch {
				return r
			}
		}
	}
	return t.otherwise.Follow(d)
}

// exactTree takes the branch whose key is the value.
type exactTree struct {
	input     Input
	branches  map[string]*OnMatch
	otherwise *OnMatch
}

func (t *exactTree) Match(d Data) Result {
	v := t.input.Get(d)
	if v.State == NotYet {
		return Result{Outcome: Unsure}
	}
	if v.State == Present {
		if r := t.branches[v.Text].Follow(d); r.Outcome != NoMatch {
			return r
		}
	}
	return t.otherwise.Follow(d)
}

// prefixTree takes the branch with the longest key that the value begins with and
// that leads somewhere.
type prefixTree struct {
	input     Input
	branches  map[string]*OnMatch
	lengths   []int // of the keys, the longest first
	otherwise *OnMatch
}

func newPrefixTree(input Input, branches map[string]*OnMatch, otherwise *OnMatch) *prefixTree {
	t := &prefixTree{input: input, branches: branches, otherwise: otherwise}
	for key := range branches {
		if !slices.Contains(t.lengths, len(key)) {
			t.lengths = append(t.lengths, len(key))
		}
	}
	slices.Sort(t.lengths)
	slices.Reverse(t.lengths)
	return t
}

func (t *prefixTree) Match(d Data) Result {
	v := t.input.Get(d)
	if v.State == NotYet {
		return Result{Outcome: Unsure}
	}
	if v.State == Present {
		for _, n := range t.lengths {
			if n > len(v.Text) {
				continue
			}
			if r := t.branches[v.Text[:n]].Follow(d); r.Outcome != NoMatch {
				return r
			}
		}
	}
	return t.otherwise.Follow(d)
}

// A truth is the value of a predicate.
type truth uint8

const (
	no truth = iota
	yes
	unsure
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

type predicate interface {
	test(d Data) truth
}

// single tests one input. A missing value does not match.
type single struct {
	input   Input
	matcher ValueMatcher
}

func (p *single) test(d Data) truth {
	switch v := p.input.Get(d); v.State {
	case Present:
		return truthOf(p.matcher.Match(v))
	case NotYet:
		return unsure
	default:
		return no
	}
}

type and []predicate

func (p and) test(d Data) truth {
	for _, one := range p {
		if t := one.test(d); t != yes {
			return t
		}
	}
	return yes
}

type or []predicate

func (p or) test(d Data) truth {
	result := no
	for _, one := range p {
		switch one.test(d) {
		case yes:
			return yes
		case unsure:
			result = unsure
		}
	}
	return result
}

type not struct{ predicate }

func (p not) test(d Data) truth {
	switch p.predicate.test(d) {
	case yes:
		return no
	case no:
		return yes
	default:
		return unsure
	}
}
