package format

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nuncio-proxy/nuncio/api/format"
)

// coalesce is COALESCE({"operators": [...]}): the value of the first operator that
// has one. An operator is written as its name, or as an object with command, param
// and max_length.
func (c *Compiler) coalesce(arg string) (inText, alone operator, err error) {
	entries, err := coalesceEntries(arg)
	if err != nil {
		return nil, nil, err
	}
	inTexts, alones := make([]piece, len(entries)), make([]piece, len(entries))
	for i, entry := range entries {
		p, err := c.coalesceEntry(entry)
		if err != nil {
			return nil, nil, fmt.Errorf("COALESCE: failed to parse operator at index %d: %w", i, err)
		}
		inTexts[i], alones[i] = p, p
		if p.alone != nil {
			alones[i].op = p.alone
		}
	}
	return first(inTexts), first(alones), nil
}

func coalesceEntries(arg string) ([]json.RawMessage, error) {
	if !json.Valid([]byte(arg)) {
		return nil, errors.New("COALESCE: failed to parse JSON configuration")
	}
	var config map[string]json.RawMessage
	var entries []json.RawMessage
	switch err := json.Unmarshal([]byte(arg), &config); {
	case err != nil || config["operators"] == nil:
		return nil, errors.New("COALESCE: JSON configuration must contain 'operators' array")
	case json.Unmarshal(config["operators"], &entries) != nil:
		return nil, errors.New("COALESCE: 'operators' must be an array")
	case len(entries) == 0:
		return nil, errors.New("COALESCE: 'operators' array must not be empty")
	}
	return entries, nil
}

// first prints the first of the choices that has a value.
func first(choices []piece) operator {
	return func(dst []byte, e *format.Entry) ([]byte, kind) {
		start := len(dst)
		for i := range choices {
			var k kind
			if dst, k = choices[i].op(dst, e); k == text {
				return choices[i].cut(dst, start), text
			} else if k == literal {
				return dst, literal
			}
		}
		return dst, missing
	}
}

func (c *Compiler) coalesceEntry(entry json.RawMessage) (piece, error) {
	cmd := command{max: -1}
	if json.Unmarshal(entry, &cmd.name) != nil {
		var object struct {
			Command *string `json:"command"`
			Param   string  `json:"param"`
			Max     *uint32 `json:"max_length"`
		}
		switch err := json.Unmarshal(entry, &object); {
		case err != nil:
			return piece{}, fmt.Errorf("operator entry must be either a string (command name) or an object with 'command' field: %w", err)
		case object.Command == nil:
			return piece{}, errors.New("operator object must have 'command' field")
		}
		cmd.name, cmd.arg = *object.Command, object.Param
		if object.Max != nil {
			cmd.max = int(*object.Max)
		}
	}
	if _, ok := c.operators[cmd.name]; !ok {
		return piece{}, fmt.Errorf("unknown command: '%s'", cmd.name)
	}
	return c.operator(cmd)
}
