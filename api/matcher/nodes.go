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
		case Unsure:
			return Result{Outcome: Unsure}
		case Matched:
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

type predicate interface {
	test(d Data) Outcome
}

// single tests one input. A missing value does not match.
type single struct {
	input   Input
	matcher ValueMatcher
}

func (p *single) test(d Data) Outcome {
	switch v := p.input.Get(d); v.State {
	case Present:
		return p.matcher.Match(v)
	case NotYet:
		return Unsure
	default:
		return NoMatch
	}
}

type and []predicate

func (p and) test(d Data) Outcome {
	for _, one := range p {
		if o := one.test(d); o != Matched {
			return o
		}
	}
	return Matched
}

type or []predicate

func (p or) test(d Data) Outcome {
	result := NoMatch
	for _, one := range p {
		switch one.test(d) {
		case Matched:
			return Matched
		case Unsure:
			result = Unsure
		}
	}
	return result
}

type not struct{ predicate }

func (p not) test(d Data) Outcome {
	switch p.predicate.test(d) {
	case Matched:
		return NoMatch
	case NoMatch:
		return Matched
	default:
		return Unsure
	}
}
