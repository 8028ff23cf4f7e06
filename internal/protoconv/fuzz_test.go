package protoconv_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

// FuzzLoad checks that no input crashes or hangs the loader, and that an
// accepted one can be printed and loaded again with the same meaning.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/load/*.txtar")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, parts := sections(string(data))
		for _, part := range parts {
			if !strings.HasPrefix(part.name, "want.") {
				f.Add([]byte(part.text), uint8(protoconv.KindOf(part.name, nil)))
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, kind uint8) {
		msg := &bootstrapv3.Bootstrap{}
		opts := protoconv.Options{Unknown: protoconv.Unknown(kind >> 2 & 1)}
		_, err := protoconv.Load(msg, opts, protoconv.Source{Name: "f", Kind: protoconv.Kind(kind & 3), Data: data})
		if err != nil {
			return
		}
		printed := protoconv.MarshalJSON(msg, protoconv.Print{Indent: true})
		again := &bootstrapv3.Bootstrap{}
		if _, err := protoconv.Load(again, protoconv.Options{Unknown: protoconv.WarnUnknown}, protoconv.Source{Kind: protoconv.JSON, Data: printed}); err != nil {
			t.Fatalf("%v in\n%s", err, printed)
		}
		if second := protoconv.MarshalJSON(again, protoconv.Print{Indent: true}); string(second) != string(printed) {
			t.Fatalf("printed\n%s\nand then\n%s", printed, second)
		}
		if _, err := protoconv.MarshalYAML(msg, protoconv.Print{}); err != nil {
			t.Fatal(err)
		}
		_ = proto.Size(msg)
	})
}

// TestAliasBomb checks the bound on what aliases stand for, as values and as
// merged mappings.
func TestAliasBomb(t *testing.T) {
	for name, double := range map[string]string{"values": " {l: %, r: %}\n", "merge": " {<<: [%, %]}\n"} {
		t.Run(name, func(t *testing.T) { aliasBomb(t, double) })
	}
}

func aliasBomb(t *testing.T, double string) {
	var b strings.Builder
	b.WriteString("!ignore x:\n- &a0 {k: v}\n")
	for i := 1; i < 40; i++ {
		prev := "*a" + string(rune('0'+(i-1)%10)) + strings.Repeat("x", (i-1)/10)
		b.WriteString("- &a" + string(rune('0'+i%10)) + strings.Repeat("x", i/10) + strings.ReplaceAll(double, "%", prev))
	}
	b.WriteString("node: {metadata: *a9xxx}\n")
	_, err := protoconv.Load(&bootstrapv3.Bootstrap{}, protoconv.Options{}, protoconv.Source{Data: []byte(b.String())})
	if err == nil || !strings.Contains(err.Error(), "too many values after replacing aliases") || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("got %.300v", err)
	}
}

// TestDepth checks the bound on nesting in every kind of source.
func TestDepth(t *testing.T) {
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	for name, src := range map[string]protoconv.Source{
		"yaml": {Data: []byte("x: " + deep)},
		"flow": {Data: []byte("node: {metadata: {a: " + deep + "}}")},
		"json": {Kind: protoconv.JSON, Data: []byte(deep)},
	} {
		_, err := protoconv.Load(&bootstrapv3.Bootstrap{}, protoconv.Options{}, src)
		if err == nil || strings.Count(err.Error(), "\n") > 1 {
			t.Errorf("%s: got %.300v", name, err)
		}
	}
}
