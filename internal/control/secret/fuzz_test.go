package secret

import (
	"testing"

	"google.golang.org/protobuf/proto"
)

// FuzzParse feeds resource files: a good one has one secret, and fill never panics on it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"version_info":"1","resources":[{"@type":"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret","name":"a"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, _, err := parse("s.yaml", text)
		if (s == nil) != (err != nil) {
			t.Fatalf("got %v and %v", s, err)
		}
		if err != nil {
			return
		}
		for _, source := range sources(s) {
			if source.GetFilename() != "" {
				return // nothing is opened here
			}
		}
		if filled, err := fill(s); err != nil || !proto.Equal(filled, s) {
			t.Errorf("filled with nothing: %v, %v", filled, err)
		}
	})
}
