package main

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/nuncio-proxy/nuncio/extensions/all"
	"github.com/nuncio-proxy/nuncio/proxymain"
)

// TestIncompleteConfigurations takes one value at a time out of a configuration that
// has many, or empties it. Components are shown messages that break the rules of
// the proto files, so that all errors come at once: none may panic.
func TestIncompleteConfigurations(t *testing.T) {
	text, err := os.ReadFile("testdata/rich.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(text []byte) error {
		return proxymain.Check(proxymain.Config{BootstrapYAML: string(text), Extensions: all.Factories()})
	}
	if err := check(text); err != nil {
		t.Fatal(err)
	}
	var rich any
	if err := json.Unmarshal(text, &rich); err != nil {
		t.Fatal(err)
	}
	cases, wrong := 0, 0
	try := func() {
		cases++
		changed, err := json.Marshal(rich)
		if err != nil {
			t.Fatal(err)
		}
		if check(changed) != nil {
			wrong++
		}
	}
	change(rich, try)
	if cases < 400 || wrong < 100 {
		t.Errorf("%d cases, %d of them errors: is the configuration still rich?", cases, wrong)
	}
}

// change calls try with each value below v emptied, and each key taken out.
func change(v any, try func()) {
	each := func(value any, set func(any)) {
		change(value, try)
		switch value.(type) {
		case string:
			set("")
		case float64:
			set(0)
		case []any:
			set([]any{})
		case map[string]any:
			set(map[string]any{})
		default:
			return
		}
		try()
		set(value)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			value := v[key]
			each(value, func(x any) { v[key] = x })
			delete(v, key)
			try()
			v[key] = value
		}
	case []any:
		for i, value := range v {
			each(value, func(x any) { v[i] = x })
		}
	}
}
