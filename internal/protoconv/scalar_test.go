package protoconv_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

// TestScalars reads YAML scalars into messages of one value. want is the value
// in JSON; empty means refused.
func TestScalars(t *testing.T) {
	for _, tc := range []struct {
		msg        proto.Message
		yaml, want string
	}{
		{&wrapperspb.BoolValue{}, "ON", "true"},
		{&wrapperspb.BoolValue{}, "'t'", "true"},
		{&wrapperspb.BoolValue{}, "1", ""},
		{&wrapperspb.BoolValue{}, "maybe", ""},
		{&wrapperspb.BoolValue{}, "!!str true", "true"},
		{&wrapperspb.Int32Value{}, "2147483647", "2147483647"},
		{&wrapperspb.Int32Value{}, "2147483648", ""},
		{&wrapperspb.Int32Value{}, "-0x10", "-16"},
		{&wrapperspb.Int32Value{}, "1_000", ""},
		{&wrapperspb.Int32Value{}, "0b11", ""},
		{&wrapperspb.Int32Value{}, "0o17", ""},
		{&wrapperspb.Int32Value{}, "08", "8"},
		{&wrapperspb.Int32Value{}, "+7", "7"},
		{&wrapperspb.Int32Value{}, "true", ""},
		{&wrapperspb.UInt32Value{}, "4294967295", "4294967295"},
		{&wrapperspb.UInt32Value{}, "4294967296", ""},
		{&wrapperspb.UInt32Value{}, "-1", ""},
		{&wrapperspb.UInt32Value{}, "2.0", "2"},
		{&wrapperspb.UInt32Value{}, "2.5", ""},
		{&wrapperspb.Int64Value{}, "-9223372036854775808", `"-9223372036854775808"`},
		{&wrapperspb.Int64Value{}, "'9223372036854775808'", ""},
		{&wrapperspb.UInt64Value{}, "18446744073709551615", `"18446744073709551615"`},
		{&wrapperspb.UInt64Value{}, "1e30", ""},
		{&wrapperspb.DoubleValue{}, "1e3", "1000"},
		{&wrapperspb.DoubleValue{}, "-.5", "-0.5"},
		{&wrapperspb.DoubleValue{}, "NaN", `"NaN"`},
		{&wrapperspb.DoubleValue{}, "inf", ""},
		{&wrapperspb.DoubleValue{}, "0x1p4", ""},
		{&wrapperspb.DoubleValue{}, "1e999", ""},
		{&wrapperspb.FloatValue{}, "1e39", ""},
		{&wrapperspb.FloatValue{}, "-Infinity", `"-Infinity"`},
		{&wrapperspb.StringValue{}, "5000000000", `"5000000000"`},
		{&wrapperspb.StringValue{}, "1.5", `"1.5"`},
		{&wrapperspb.StringValue{}, "yEs", `"yEs"`},
		{&wrapperspb.StringValue{}, "[a]", ""},
		{&wrapperspb.BytesValue{}, "+/8=", `"+/8="`},
		{&wrapperspb.BytesValue{}, "-_8", `"+/8="`},
		{&wrapperspb.BytesValue{}, "a", ""},
		{&durationpb.Duration{}, "1.5s", `"1.500s"`},
		{&durationpb.Duration{}, "-.000000001s", `"-0.000000001s"`},
		{&durationpb.Duration{}, "0s", `"0s"`},
		{&durationpb.Duration{}, "1.0000000001s", ""},
		{&durationpb.Duration{}, "315576000001s", ""},
		{&durationpb.Duration{}, "s", ""},
		{&durationpb.Duration{}, "1e3s", ""},
		{&durationpb.Duration{}, "{seconds: 1}", ""},
		{&timestamppb.Timestamp{}, "2026-01-02T03:04:05.5Z", `"2026-01-02T03:04:05.500Z"`},
		{&timestamppb.Timestamp{}, "2026-01-02T03:04:05+01:00", `"2026-01-02T02:04:05Z"`},
		{&timestamppb.Timestamp{}, "yesterday", ""},
		{&fieldmaskpb.FieldMask{}, "aB.cD,e", `"aB.cD,e"`},
		{&fieldmaskpb.FieldMask{}, "a,,b", ""},
		{&structpb.Value{}, "{a: [1, ~, x, off]}", `{"a":[1,null,"x",false]}`},
		{&structpb.ListValue{}, "[a]", `["a"]`},
		{&structpb.ListValue{}, "a", ""},
	} {
		name := fmt.Sprintf("%s %s", tc.msg.ProtoReflect().Descriptor().Name(), tc.yaml)
		got := ""
		if _, err := protoconv.Load(tc.msg, protoconv.Options{}, protoconv.Source{Data: []byte(tc.yaml)}); err == nil {
			got = string(protoconv.MarshalJSON(tc.msg, protoconv.Print{}))
		}
		if got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}

func TestWarningJSON(t *testing.T) {
	res, err := protoconv.Load(&structpb.Struct{}, protoconv.Options{}, protoconv.Source{Data: []byte("a: b")})
	if err != nil || len(res.Warnings) != 0 {
		t.Fatal(res.Warnings, err)
	}
	res, err = protoconv.Load(&durationpb.Duration{}, protoconv.Options{Unknown: protoconv.WarnUnknown},
		protoconv.Source{Name: "f.pb", Kind: protoconv.Binary, Data: []byte{0x50, 1}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(res.Warnings)
	const want = `[{"kind":"unknown","file":"f.pb","path":"","message":"unknown field number 10 of google.protobuf.Duration"}]`
	if err != nil || string(got) != want {
		t.Errorf("got %s (%v)", got, err)
	}
}
