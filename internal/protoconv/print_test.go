package protoconv_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

func TestMarshalJSON(t *testing.T) {
	for _, tc := range []struct {
		msg  proto.Message
		want string
	}{
		{&corev3.Node{}, `{}`},
		{&structpb.Value{}, `null`},
		{structpb.NewNumberValue(1e21), `1e+21`},
		{structpb.NewNumberValue(math.Inf(-1)), `"-Infinity"`},
		{structpb.NewNumberValue(math.NaN()), `"NaN"`},
		{structpb.NewStringValue("a\"\\\n\t\r\x01<b>&é\xff"), `"a\"\\\n\t\r\u0001\u003cb\u003e&é` + "\ufffd" + `"`},
		{wrapperspb.Int64(-5), `"-5"`},
		{wrapperspb.UInt64(5), `"5"`},
		{wrapperspb.Float(0.1), `0.1`},
		{wrapperspb.Bytes([]byte{0xfb, 0xff}), `"+/8="`},
		{wrapperspb.Bool(true), `true`},
		{&durationpb.Duration{Seconds: 1 << 60}, `null`},
		{&fieldmaskpb.FieldMask{Paths: []string{"a_b", "c"}}, `"aB,c"`},
		{&anypb.Any{}, `{}`},
		{&anypb.Any{TypeUrl: "x/no.Such", Value: []byte{1}}, `{"@type":"x/no.Such","value":"AQ=="}`},
		{&corev3.RuntimeFractionalPercent{RuntimeKey: "k"}, `{"runtime_key":"k"}`},
	} {
		for range 20 { // the same bytes always
			if got := string(protoconv.MarshalJSON(tc.msg, protoconv.Print{})); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
				break
			}
		}
	}
}

func TestRedact(t *testing.T) {
	secret := &tlsv3.Secret{Name: "s", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "public"}},
		PrivateKey:       &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: []byte("private")}},
		Password: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "private"},
			WatchedDirectory: &corev3.WatchedDirectory{Path: "private"}},
	}}}
	const want = `{"@type":"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret","name":"s",` +
		`"tls_certificate":{"certificate_chain":{"inline_string":"public"},"private_key":{"inline_bytes":"W3JlZGFjdGVkXQ=="},` +
		`"password":{"inline_string":"[redacted]","watched_directory":{"path":"[redacted]"}}}}`
	if got := string(protoconv.MarshalJSON(pack(t, secret), protoconv.Print{Redact: true})); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := string(protoconv.MarshalJSON(secret, protoconv.Print{})); strings.Contains(got, "[redacted]") || !strings.Contains(got, `"private"`) {
		t.Error("redacted without being asked:", got)
	}
}

// TestRoundTrip prints every accepted configuration of the corpus and loads it
// again.
func TestRoundTrip(t *testing.T) {
	files, _ := filepath.Glob("testdata/load/*.txtar")
	trips := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, parts := sections(string(data))
		for _, part := range parts {
			if part.name != "want.json" {
				continue
			}
			trips++
			roundTrip(t, []byte(part.text))
		}
	}
	if trips == 0 {
		t.Error("nothing to print")
	}
}

func roundTrip(t *testing.T, data []byte) {
	t.Helper()
	load := func(kind protoconv.Kind, data []byte) *bootstrapv3.Bootstrap {
		msg := &bootstrapv3.Bootstrap{}
		if _, err := protoconv.Load(msg, protoconv.Options{}, protoconv.Source{Kind: kind, Data: data}); err != nil {
			t.Fatalf("%v in\n%s", err, data)
		}
		return msg
	}
	first := load(protoconv.JSON, data)
	asYAML, err := protoconv.MarshalYAML(first, protoconv.Print{})
	if err != nil {
		t.Fatal(err)
	}
	again := load(protoconv.JSON, protoconv.MarshalJSON(first, protoconv.Print{}))
	if !proto.Equal(first, again) {
		t.Errorf("JSON does not come back:\n%s", data)
	}
	if strings.Contains(string(data), "1.5") { // a fraction in a Struct becomes a string in YAML
		return
	}
	if again := load(protoconv.YAML, asYAML); !proto.Equal(first, again) {
		t.Errorf("YAML does not come back:\n%s", asYAML)
	}
}

func TestMarshalYAML(t *testing.T) {
	msg := &corev3.Node{Id: "n", Cluster: "front-proxy/1", UserAgentName: "5", Locality: &corev3.Locality{Region: "a: b", Zone: "Null"},
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{"yes": structpb.NewStringValue("two\nlines"), "a": structpb.NewNumberValue(1)}}}
	got, err := protoconv.MarshalYAML(msg, protoconv.Print{})
	const want = `id: "n"
cluster: front-proxy/1
metadata:
  a: 1
  "yes": "two\nlines"
locality:
  region: "a: b"
  zone: "Null"
user_agent_name: "5"
`
	if err != nil || string(got) != want {
		t.Errorf("got\n%s (%v)", got, err)
	}
}
