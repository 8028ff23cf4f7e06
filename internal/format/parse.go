package format

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A command is one operator as it is written: %NAME(arg):max%.
type command struct {
	name string
	arg  string // "" also for ()
	max  int    // -1 if there is none
}

// parse splits a format into pieces.
func (c *Compiler) parse(format string) ([]piece, error) {
	var pieces []piece
	var lit []byte
	for pos := 0; pos < len(format); {
		rest := format[pos:]
		switch i := strings.IndexByte(rest, '%'); {
		case i < 0:
			lit, pos = append(lit, rest...), len(format)
			continue
		case i > 0:
			lit, pos = append(lit, rest[:i]...), pos+i
			continue
		case strings.HasPrefix(rest, "%%"):
			lit, pos = append(lit, '%'), pos+2
			continue
		}
		cmd, n := scanCommand(rest)
		if n == 0 {
			return nil, fmt.Errorf("Incorrect configuration: %s. Couldn't find valid command at position %d", format, pos)
		}
		p, err := c.operator(cmd)
		if err != nil {
			return nil, err
		}
		if len(lit) > 0 {
			pieces, lit = append(pieces, piece{lit: string(lit)}), lit[:0]
		}
		pieces, pos = append(pieces, p), pos+n
	}
	if len(lit) > 0 {
		pieces = append(pieces, piece{lit: string(lit)})
	}
	return pieces, nil
}

// scanCommand reads the command that s, which begins with a percent sign, starts
// with. It returns its length, 0 if there is none.
func scanCommand(s string) (cmd command, n int) {
	i := 1
	for i < len(s) && isNameByte(s[i]) {
		i++
	}
	cmd = command{name: s[1:i], max: -1}
	if i == 1 {
		return cmd, 0
	}
	if i == len(s) || s[i] != '(' {
		return scanEnd(cmd, s, i)
	}
	// The argument ends at the first parenthesis that ends a command: it may hold
	// others, and percent signs.
	for end := i + 1; end < len(s) && s[end] != '\n'; end++ {
		if s[end] != ')' {
			continue
		}
		cmd.arg = s[i+1 : end]
		if full, n := scanEnd(cmd, s, end+1); n > 0 {
			return full, n
		}
	}
	return cmd, 0
}

// scanEnd reads what follows name and argument at s[i:]: an optional limit, and the
// percent sign.
func scanEnd(cmd command, s string, i int) (command, int) {
	if i < len(s) && s[i] == ':' {
		start := i + 1
		for i = start; i < len(s) && s[i] >= '0' && s[i] <= '9'; {
			i++
		}
		limit, err := strconv.ParseUint(s[start:i], 10, 64)
		if err != nil {
			return cmd, 0
		}
		cmd.max = int(min(limit, math.MaxInt))
	}
	if i == len(s) || s[i] != '%' {
		return cmd, 0
	}
	return cmd, i + 1
}

func isNameByte(b byte) bool { return b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' }

// operator builds the piece for a command, from the table of operators.
func (c *Compiler) operator(cmd command) (piece, error) {
	s, ok := c.operators[cmd.name]
	switch {
	case !ok:
		return piece{}, fmt.Errorf("Not supported field in StreamInfo: %s", cmd.name)
	case s.args == noArgs && (cmd.arg != "" || cmd.max >= 0):
		return piece{}, fmt.Errorf("%s does not take any parameters or length", cmd.name)
	case s.args == requiredArgs && cmd.arg == "":
		return piece{}, fmt.Errorf("%s requires parameters", cmd.name)
	case !s.limit && cmd.max >= 0:
		return piece{}, fmt.Errorf("%s does not allow length to be specified.", cmd.name)
	}
	p := piece{max: cmd.max, encode: s.encode}
	if s.uncut {
		p.max = -1
	}
	var err error
	if s.both != nil {
		p.op, p.alone, err = s.both(c, cmd.arg)
	} else {
		p.op, err = s.build(c, cmd.arg)
	}
	return p, err
}
