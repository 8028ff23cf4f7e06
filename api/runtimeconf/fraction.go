package runtimeconf

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

// NewFraction reads the message, which may be nil: that is a share of nothing. It is
// for building, not for requests.
func NewFraction(cfg *corev3.RuntimeFractionalPercent) Fraction {
	return Fraction{Key: cfg.GetRuntimeKey(), Millionths: Millionths(cfg.GetDefaultValue())}
}

// Millionths returns a FractionalPercent in millionths, at most a million.
func Millionths(p *typev3.FractionalPercent) uint32 {
	n := uint64(p.GetNumerator())
	switch p.GetDenominator() {
	case typev3.FractionalPercent_HUNDRED:
		n *= 10_000
	case typev3.FractionalPercent_TEN_THOUSAND:
		n *= 100
	}
	return uint32(min(n, 1_000_000))
}
