package httpmsg

import (
	"fmt"
	"testing"
)

func TestAppend(t *testing.T) {
	for _, tc := range []struct {
		pseudo ID
		name   string
		want   string
	}{
		{Method, "x-forwarded-for", "[a,b,c]"},
		{Method, "accept-encoding", "[a,b,c]"},
		{Method, "cookie", "[a b c]"},
		{Method, "vary", "[a b c]"},
		{Method, "x-other", "[a b c]"},
		{Status, "vary", "[a,b,c]"},
		{Status, "via", "[a,b,c]"},
		{Status, "set-cookie", "[a b c]"},
		{Status, "accept", "[a b c]"},
		{Unknown, "via", "[a b c]"}, // trailers
	} {
		h := new(Headers)
		if tc.pseudo != Unknown {
			h.AddID(tc.pseudo, "x")
		}
		for _, v := range []string{"a", "b", "c"} {
			h.Append(tc.name, v)
			h.Append("x-between", "")
		}
		if got := fmt.Sprint(h.Values(nil, tc.name)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		size := 0
		for _, f := range h.Fields() {
			size += len(f.Name) + len(f.Value)
		}
		if h.ByteSize() != size {
			t.Errorf("%s: size %d, want %d", tc.name, h.ByteSize(), size)
		}
	}
}

func TestAppendEmpty(t *testing.T) {
	h := new(Headers)
	h.AddID(Method, "GET")
	for _, v := range []string{"", "a", "", "b"} {
		h.AppendID(UserAgent, v)
	}
	if got := h.Get(UserAgent); got != "a,b" || h.Len() != 2 {
		t.Error(got)
	}
}

// A name that is well-known must stand in the table of IDs: joinedName is not asked
// about it.
func TestJoinedNamesAreNoIDs(t *testing.T) {
	for id := Unknown + 1; id < numIDs; id++ {
		if joinedName(names[id]) != 0 {
			t.Error(names[id])
		}
	}
}
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
