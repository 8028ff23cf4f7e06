package runtimeconf

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

func TestNewFraction(t *testing.T) {
	for _, tc := range []struct {
		p    *typev3.FractionalPercent
		want uint32
	}{
		{nil, 0},
		{&typev3.FractionalPercent{Numerator: 25}, 250_000},
		{&typev3.FractionalPercent{Numerator: 25, Denominator: typev3.FractionalPercent_TEN_THOUSAND}, 2500},
		{&typev3.FractionalPercent{Numerator: 25, Denominator: typev3.FractionalPercent_MILLION}, 25},
		{&typev3.FractionalPercent{Numerator: 1<<32 - 1}, 1_000_000},
	} {
		if got := NewFraction(&corev3.RuntimeFractionalPercent{DefaultValue: tc.p, RuntimeKey: "k"}); got != (Fraction{"k", tc.want}) {
			t.Errorf("%v: got %v", tc.p, got)
		}
	}
	if got := NewFraction(nil); got != (Fraction{}) {
		t.Error(got)
	}
}
