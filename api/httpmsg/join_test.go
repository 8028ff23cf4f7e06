package httpmsg

import "testing"

func TestCommaJoined(t *testing.T) {
	for name, want := range map[string]bool{
		"accept": true, "x-forwarded-for": true, "vary": true, "if-match": true, "user-agent": true,
		"cookie": false, "set-cookie": false, "x-custom": false, "": false,
	} {
		if got := CommaJoined(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}
