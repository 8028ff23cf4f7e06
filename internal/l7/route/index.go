package route

import "strings"

// A pathIndex finds the routes whose path may fit, as lists of positions in the
// configuration, each in ascending order.
type pathIndex struct {
	exact, exactFold       map[string][]int32
	prefixes, prefixesFold node // by prefix, or by what a regex begins with
	connect                []int32
	folds                  bool // there are routes without case
}

func newIndex(entries []entry) (x pathIndex) {
	for i := range entries {
		x.add(&entries[i].path, int32(i))
	}
	return x
}

func (x *pathIndex) add(m *pathMatch, i int32) {
	exact, prefixes := &x.exact, &x.prefixes
	if m.fold {
		exact, prefixes, x.folds = &x.exactFold, &x.prefixesFold, true
	}
	switch m.kind {
	case pathExact:
		if *exact == nil {
			*exact = map[string][]int32{}
		}
		(*exact)[m.text] = append((*exact)[m.text], i)
	case pathRegex:
		prefixes.insert(m.re.Prefix(), i)
	case pathPolicy:
		prefix, _, _ := strings.Cut(m.policy.Prefix(), ";") // the index may see no parameters
		prefixes.insert(prefix, i)
	case pathConnect:
		x.connect = append(x.connect, i)
	default:
		prefixes.insert(m.text, i)
	}
}

func (x *pathIndex) collect(c *candidates, r *request) {
	if r.connect {
		c.add(x.connect)
	}
	if !r.hasPath {
		return
	}
	c.add(x.exact[r.path])
	x.prefixes.collect(c, r.path)
	if x.folds {
		c.add(x.exactFold[r.lower])
		x.prefixesFold.collect(c, r.lower)
	}
}

// candidates merges lists of positions.
type candidates struct {
	lists [16][]int32
	n     int
	// overflow is set when there were more lists: a path with that many nested prefixes
	// is matched without the index.
	overflow bool
}

func (c *candidates) add(list []int32) {
	switch {
	case len(list) == 0:
	case c.n == len(c.lists):
		c.overflow = true
	default:
		c.lists[c.n] = list
		c.n++
	}
}

// next removes and returns the smallest position, -1 if there is none left. A
// position is in one list only.
func (c *candidates) next() int32 {
	first := -1
	for i := range c.n {
		if len(c.lists[i]) > 0 && (first < 0 || c.lists[i][0] < c.lists[first][0]) {
			first = i
		}
	}
	if first < 0 {
		return -1
	}
	position := c.lists[first][0]
	c.lists[first] = c.lists[first][1:]
	return position
}

// A node of a radix tree. The zero node is an empty tree.
type node struct {
	text     string // on the edge to this node
	routes   []int32
	first    string // the first bytes of the children's texts
	children []*node
}

// insert adds a route under a key.
func (n *node) insert(key string, i int32) {
	for key != "" {
		at := strings.IndexByte(n.first, key[0])
		if at < 0 {
			child := &node{text: key, routes: []int32{i}}
			n.first += key[:1]
			n.children = append(n.children, child)
			return
		}
		child := n.children[at]
		same := commonPrefix(key, child.text)
		if same < len(child.text) {
			child = child.split(same)
			n.children[at] = child
		}
		n, key = child, key[same:]
	}
	n.routes = append(n.routes, i)
}

// split puts a node above n that takes the first bytes of its text.
func (n *node) split(at int) *node {
	above := &node{text: n.text[:at], first: n.text[at : at+1], children: []*node{n}}
	n.text = n.text[at:]
	return above
}

func commonPrefix(a, b string) int {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return i
}

// collect adds the routes of all keys that path begins with.
func (n *node) collect(c *candidates, path string) {
	for {
		c.add(n.routes)
		if path == "" {
			return
		}
		at := strings.IndexByte(n.first, path[0])
		if at < 0 {
			return
		}
		n = n.children[at]
		if !strings.HasPrefix(path, n.text) {
			return
		}
		path = path[len(n.text):]
	}
}
