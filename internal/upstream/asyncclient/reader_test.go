package asyncclient

import (
	"fmt"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/buffer"
)

// read cuts text, which arrives in pieces, and returns what came of it.
func read(pieces ...string) string {
	var pool buffer.Pool
	r := reader{max: 40_000}
	r.in.Init(&pool)
	out := ""
	for _, p := range pieces {
		r.in.AppendString(p)
		for {
			m, ok, err := r.next()
			if err != nil {
				r.close()
				return out + err.Error()
			}
			if !ok {
				break
			}
			out += fmt.Sprintf("%d:%s,", len(m), m)
		}
	}
	r.close()
	if pool.InUse() != 0 {
		out += "blocks are in use"
	}
	return out
}

// FuzzReader checks that it does not matter how the bytes arrive.
func FuzzReader(f *testing.F) {
	f.Add([]byte(frame("") + frame("one") + frame("two")))
	f.Add([]byte(frame("x") + "\x01\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x9c\x41rest"))
	f.Add([]byte(frame(string(make([]byte, 20_000)))))
	f.Fuzz(func(t *testing.T, p []byte) {
		text := string(p)
		want := read(text)
		for i := 0; i <= min(len(text), 100); i++ {
			if got := read(text[:i], text[i:]); got != want {
				t.Fatalf("split at %d: %q, whole %q", i, got, want)
			}
		}
		single := make([]string, len(text))
		for i := range len(text) {
			single[i] = text[i : i+1]
		}
		if got := read(single...); got != want {
			t.Errorf("byte by byte: %q, whole %q", got, want)
		}
	})
}
