package streaminfo

import "math/bits"

// Flags says what went wrong with a stream, a bit each.
type Flags uint64

// The flags, in the order in which they are printed.
const (
	// UpstreamRetryLimitExceeded of a request is known before what its last attempt
	// failed of, and stands first; that of a connection stands behind it.
	UpstreamRetryLimitExceeded Flags = 1 << iota
	FailedLocalHealthCheck
	NoHealthyUpstream
	UpstreamRequestTimeout
	LocalReset
	UpstreamRemoteReset
	UpstreamConnectionFailure
	UpstreamConnectionTermination
	UpstreamOverflow
	NoRouteFound
	DelayInjected
	FaultInjected
	RateLimited
	UnauthorizedExternalService
	RateLimitServiceError
	DownstreamConnectionTermination
	UpstreamConnectAttemptsExceeded
	StreamIdleTimeout
	InvalidEnvoyRequestHeaders
	DownstreamProtocolError
	UpstreamMaxStreamDurationReached
	ResponseFromCacheFilter
	NoFilterConfigFound
	DurationTimeout
	UpstreamProtocolError
	NoClusterFound
	OverloadManagerTerminated
	DnsResolutionFailed
	DropOverload
	DownstreamRemoteReset
	UnconditionalDropOverload
	endOfFlags
)

var flagNames = [...][2]string{
	{"URX", "UpstreamRetryLimitExceeded"}, {"LH", "FailedLocalHealthCheck"}, {"UH", "NoHealthyUpstream"}, {"UT", "UpstreamRequestTimeout"},
	{"LR", "LocalReset"}, {"UR", "UpstreamRemoteReset"}, {"UF", "UpstreamConnectionFailure"},
	{"UC", "UpstreamConnectionTermination"}, {"UO", "UpstreamOverflow"}, {"NR", "NoRouteFound"},
	{"DI", "DelayInjected"}, {"FI", "FaultInjected"}, {"RL", "RateLimited"},
	{"UAEX", "UnauthorizedExternalService"}, {"RLSE", "RateLimitServiceError"},
	{"DC", "DownstreamConnectionTermination"}, {"URX", "UpstreamRetryLimitExceeded"},
	{"SI", "StreamIdleTimeout"}, {"IH", "InvalidEnvoyRequestHeaders"}, {"DPE", "DownstreamProtocolError"},
	{"UMSDR", "UpstreamMaxStreamDurationReached"}, {"RFCF", "ResponseFromCacheFilter"},
	{"NFCF", "NoFilterConfigFound"}, {"DT", "DurationTimeout"}, {"UPE", "UpstreamProtocolError"},
	{"NC", "NoClusterFound"}, {"OM", "OverloadManagerTerminated"}, {"DF", "DnsResolutionFailed"},
	{"DO", "DropOverload"}, {"DR", "DownstreamRemoteReset"}, {"UDO", "UnconditionalDropOverload"},
}

// Append appends the short names, separated by commas, to dst: "-" if there are
// none.
func (f Flags) Append(dst []byte) []byte { return f.append(dst, 0) }

// AppendLong is Append with the long names.
func (f Flags) AppendLong(dst []byte) []byte { return f.append(dst, 1) }

func (f Flags) append(dst []byte, form int) []byte {
	if f == 0 {
		return append(dst, '-')
	}
	for sep := false; f != 0; f &= f - 1 {
		if sep {
			dst = append(dst, ',')
		}
		dst, sep = append(dst, flagNames[bits.TrailingZeros64(uint64(f))][form]...), true
	}
	return dst
}

// ParseFlag returns the flag with that short name: both, where two have it.
func ParseFlag(short string) (f Flags, ok bool) {
	for i, name := range flagNames {
		if name[0] == short {
			f |= 1 << i
		}
	}
	return f, f != 0
}
