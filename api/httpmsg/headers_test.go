package httpmsg

import (
	"slices"
	"testing"
)

func TestLookupFindsEveryName(t *testing.T) {
	for id := Unknown + 1; id < numIDs; id++ {
		if got := Lookup(id.String()); got != id {
			t.Errorf("Lookup(%q) = %d, want %d", id, got, id)
		}
		if n := len(table[slot(id.String())]); n > 3 {
			t.Errorf("%d names share the slot of %q", n, id)
		}
	}
	for _, name := range []string{"", "x", "x-other", ":pathx"} {
		if got := Lookup(name); got != Unknown {
			t.Errorf("Lookup(%q) = %v", name, got)
		}
	}
}

func headersOf(pairs ...string) *Headers {
	h := new(Headers)
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestHeadersKeepOrderAndIndex(t *testing.T) {
	h := headersOf(":method", "GET", "x-a", "1", "cookie", "a", "x-a", "2", "cookie", "b", "host", "h")
	if got := h.Values(nil, "x-a"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("x-a = %q", got)
	}
	if v, _ := h.Joined("cookie"); v != "a,b" {
		t.Errorf("joined cookie = %q", v)
	}
	h.Set(Cookie, "c")
	h.SetName("x-a", "3")
	want := headersOf(":method", "GET", "x-a", "3", "cookie", "c", "host", "h")
	if !h.Equal(want) || h.ByteSize() != want.ByteSize() {
		t.Errorf("after Set: %v, size %d, want %v, size %d", h.Fields(), h.ByteSize(), want.Fields(), want.ByteSize())
	}
	if !h.RemoveName("x-a") || h.RemoveName("x-a") || !h.Remove(Method) || h.Remove(Method) {
		t.Error("remove reports wrong")
	}
	if h.Get(Host) != "h" || h.Get(Cookie) != "c" || h.Has(Method) {
		t.Errorf("index is wrong after removal: %v", h.Fields())
	}
	h.Reset()
	if h.Len() != 0 || h.ByteSize() != 0 || h.Has(Host) {
		t.Error("Reset left something")
	}
}

func TestStringUsesArena(t *testing.T) {
	var h Headers
	h.SetArena(make([]byte, 0, 8))
	a, b, c := h.String([]byte("abc")), h.String([]byte("defgh")), h.String([]byte("i"))
	if a != "abc" || b != "defgh" || c != "i" {
		t.Errorf("got %q %q %q", a, b, c)
	}
}

func TestStatusCode(t *testing.T) {
	for text, want := range map[string]int{"200": 200, "20": 0, "2x0": 0, "": 0, "1000": 0} {
		h := headersOf(":status", text)
		if got := h.StatusCode(); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	h := headersOf(":method", "GET", ":path", "/", "x-a", "1", "cookie", "a")
	if n := testing.AllocsPerRun(100, func() {
		h.Reset()
		h.Add(":method", "GET")
		h.Add("x-a", "1")
		h.Set(Cookie, "b")
		h.SetStatusCode(404)
		h.RemoveName("x-a")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
