package httpmsg

import "testing"

func TestHasToken(t *testing.T) {
	for _, c := range []struct {
		list, lower string
		want        bool
	}{
		{"close", "close", true},
		{"Close", "close", true},
		{"keep-alive, CLOSE", "close", true},
		{"keep-alive ,\tclose ,x", "close", true},
		{"", "close", false},
		{",,", "close", false},
		{"closed", "close", false},
		{"clo se", "close", false},
		{"a\vclose", "close", false},
		{"\u212aeep-alive", "keep-alive", false}, // the Kelvin sign folds to k in Unicode
	} {
		if got := HasToken(c.list, c.lower); got != c.want {
			t.Errorf("HasToken(%q, %q) = %v", c.list, c.lower, got)
		}
	}
}
