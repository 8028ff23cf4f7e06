package adminhook_test

import (
	"net/url"
	"reflect"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/adminhook"
)

func TestParseQuery(t *testing.T) {
	for _, tc := range []struct {
		raw  string
		want url.Values
	}{
		{"", url.Values{}},
		{"usedonly&filter=^(server\\.state|a+b)$", url.Values{"usedonly": {""}, "filter": {"^(server\\.state|a+b)$"}}},
		{"filter=a%2Bb%2e%zz%4", url.Values{"filter": {"a+b.%zz%4"}}},
		{"a=1&a=2;b&&%61=x=y", url.Values{"a": {"1", "2;b", "x=y"}}},
		{"a=1#fragment", url.Values{"a": {"1"}}},
	} {
		if got := adminhook.ParseQuery(tc.raw); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: got %v, want %v", tc.raw, got, tc.want)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	f.Add("a=%41&b=%")
	f.Fuzz(func(t *testing.T, raw string) {
		for key, values := range adminhook.ParseQuery(raw) {
			if len(key) > len(raw) || len(values) == 0 {
				t.Errorf("%q: key %q, values %q", raw, key, values)
			}
		}
	})
}
