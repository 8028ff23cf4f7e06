package format

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// TestFilterStateNumber: num_internal_redirects is one. Recorded from Envoy 1.40.
func TestFilterStateNumber(t *testing.T) {
	f, err := NewCompiler(Options{}).Compile("%FILTER_STATE(n)% %FILTER_STATE(n:PLAIN)%")
	if err != nil {
		t.Fatal(err)
	}
	e := &format.Entry{Stream: &streaminfo.Stream{FilterState: map[string]any{"n": uint32(3)}, Downstream: &streaminfo.Connection{}}}
	if got := string(f.Append(nil, e)); got != "3 3" {
		t.Error(got)
	}
}

// messages is an object with a JSON form of its own.
type messages struct{}

func (messages) String() string { return "2,1" }

func (messages) MarshalJSON() ([]byte, error) { return []byte(`{"requestMessageCount":"2"}`), nil }

func TestFilterStateJSON(t *testing.T) {
	f, err := NewCompiler(Options{}).Compile("%FILTER_STATE(m)% %FILTER_STATE(m:PLAIN)%")
	if err != nil {
		t.Fatal(err)
	}
	e := &format.Entry{Stream: &streaminfo.Stream{FilterState: map[string]any{"m": messages{}}, Downstream: &streaminfo.Connection{}}}
	if got := string(f.Append(nil, e)); got != `{"requestMessageCount":"2"} 2,1` {
		t.Error(got)
	}
}
