package protoconv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// maxDepth bounds the nesting of a configuration, so that neither hostile input
// nor an alias inside its own anchor exhausts the stack.
const maxDepth = 200

// parseYAML returns the root node of the one document in data.
func parseYAML(file string, data []byte) (*yaml.Node, conf.Errors) {
	if json.Valid(data) { // JSON's escapes and long keys are not all YAML's
		return parseJSON(file, data)
	}
	lines := &lineReader{rest: data}
	dec := yaml.NewDecoder(lines)
	var root *yaml.Node
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, yamlError(file, err, lines.count)
		}
		content := doc.Content[0]
		if root != nil && content.Tag != "!!null" {
			return nil, syntaxError(file, doc.Line, doc.Column, "a second YAML document; only one is read")
		}
		if root == nil {
			root = content
		}
	}
	if root == nil || root.Tag == "!!null" {
		return nil, syntaxError(file, 0, 0, "the configuration is empty")
	}
	if cycle := findCycle(root, map[*yaml.Node]bool{}); cycle != nil {
		return nil, syntaxError(file, cycle.Line, cycle.Column, "the alias *"+cycle.Value+" stands inside its own anchor")
	}
	return root, nil
}

// findCycle returns an alias inside the node that it refers to, or nil; around
// holds the nodes around n.
func findCycle(n *yaml.Node, around map[*yaml.Node]bool) *yaml.Node {
	if n.Kind == yaml.AliasNode && around[n.Alias] {
		return n
	}
	around[n] = true
	defer delete(around, n)
	for _, inner := range n.Content {
		if cycle := findCycle(inner, around); cycle != nil {
			return cycle
		}
	}
	return nil
}

// A lineReader hands out one line at a time and counts them.
type lineReader struct {
	rest  []byte
	count int
}

func (r *lineReader) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := len(r.rest)
	if i := bytes.IndexByte(r.rest, '\n'); i >= 0 {
		n = i + 1
	}
	n = copy(b, r.rest[:n])
	if r.rest[n-1] == '\n' || n == len(r.rest) {
		r.count++
	}
	r.rest = r.rest[n:]
	return n, nil
}

// yamlError takes the line out of the parser's text, "yaml: line 3: ...". When
// the text names what was not found or not allowed inside a construct, that line
// is where the construct began; the place of the error is the last line read.
func yamlError(file string, err error, lastLine int) conf.Errors {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := lastLine
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, message, _ := strings.Cut(rest, ": ")
		text = message
		inside := strings.HasPrefix(message, "did not find expected") || strings.HasPrefix(message, "found a tab")
		if n, err := strconv.Atoi(number); err == nil && !inside {
			line = n
		}
	}
	return syntaxError(file, line, 0, "invalid YAML: "+text)
}

func syntaxError(file string, line, column int, message string) conf.Errors {
	return conf.Errors{{File: file, Line: line, Column: column, Message: message}}
}

// parseJSON builds the tree that YAML would give from strict JSON.
func parseJSON(file string, data []byte) (*yaml.Node, conf.Errors) {
	p := &jsonParser{dec: json.NewDecoder(bytes.NewReader(data)), data: data, line: 1, column: 1}
	p.dec.UseNumber()
	var root *yaml.Node
	err := json.Unmarshal(data, &json.RawMessage{})
	if err == nil {
		root, err = p.value(0)
	}
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		p.moveTo(int(syntax.Offset) - 1)
	}
	if err != nil {
		return nil, syntaxError(file, p.line, p.column, "invalid JSON: "+err.Error())
	}
	return root, nil
}

type jsonParser struct {
	dec  *json.Decoder
	data []byte
	// The position of data[at].
	at, line, column int
}

// moveTo advances the position to the given offset.
func (p *jsonParser) moveTo(offset int) {
	for p.at < min(offset, len(p.data)) {
		_, size := utf8.DecodeRune(p.data[p.at:])
		if p.data[p.at] == '\n' {
			p.line, p.column = p.line+1, 0
		}
		p.at += size
		p.column++
	}
}

// value reads one value.
func (p *jsonParser) value(depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	start := int(p.dec.InputOffset())
	for start < len(p.data) && strings.IndexByte(" \t\r\n,:", p.data[start]) >= 0 {
		start++
	}
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	p.moveTo(start)
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: p.line, Column: p.column}
	switch t := token.(type) {
	case json.Delim:
		n.Kind = yaml.SequenceNode
		if t == '{' {
			n.Kind = yaml.MappingNode
		}
		for p.dec.More() { // keys and values of an object in turn
			item, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		_, err = p.dec.Token()
		return n, err
	case string:
		n.Value, n.Style = t, yaml.DoubleQuotedStyle
	case json.Number:
		n.Value = t.String()
	case bool:
		n.Value = strconv.FormatBool(t)
	default:
		n.Value = "null"
	}
	return n, nil
}
