package route

import (
	"strings"
	"time"
)

// A RetryOn is a set of retry conditions.
type RetryOn uint32

// The conditions.
const (
	Retry5xx RetryOn = 1 << iota
	RetryGatewayError
	RetryReset
	RetryResetBeforeRequest
	RetryConnectFailure
	RetryRetriable4xx
	RetryRefusedStream
	RetryRetriableStatusCodes
	RetryRetriableHeaders
	RetryEnvoyRateLimited
	RetryGRPCCancelled
	RetryGRPCDeadlineExceeded
	RetryGRPCResourceExhausted
	RetryGRPCUnavailable
	RetryGRPCInternal
	RetryHTTP3PostConnectFailure
)

// RetryGRPC is the set of conditions on a gRPC status.
const RetryGRPC = RetryGRPCCancelled | RetryGRPCDeadlineExceeded | RetryGRPCResourceExhausted |
	RetryGRPCUnavailable | RetryGRPCInternal

// ParseRetryOn reads a comma-separated list of conditions, as in retry_on and
// x-envoy-retry-on. Names that it does not know are left out; unknown is the first
// of them.
func ParseRetryOn(text string) (on RetryOn, unknown string) {
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		flag := retryFlag(name)
		if on |= flag; flag == 0 && unknown == "" {
			unknown = name
		}
	}
	return on, unknown
}

func retryFlag(name string) RetryOn {
	switch name {
	case "5xx":
		return Retry5xx
	case "gateway-error":
		return RetryGatewayError
	case "reset":
		return RetryReset
	case "reset-before-request":
		return RetryResetBeforeRequest
	case "connect-failure":
		return RetryConnectFailure
	case "http3-post-connect-failure":
		return RetryHTTP3PostConnectFailure
	case "retriable-4xx":
		return RetryRetriable4xx
	case "refused-stream":
		return RetryRefusedStream
	case "retriable-status-codes":
		return RetryRetriableStatusCodes
	case "retriable-headers":
		return RetryRetriableHeaders
	case "envoy-ratelimited":
		return RetryEnvoyRateLimited
	case "cancelled":
		return RetryGRPCCancelled
	case "deadline-exceeded":
		return RetryGRPCDeadlineExceeded
	case "resource-exhausted":
		return RetryGRPCResourceExhausted
	case "unavailable":
		return RetryGRPCUnavailable
	case "internal":
		return RetryGRPCInternal
	}
	return 0
}

// A RetryPolicy says when and how a request is sent again.
type RetryPolicy struct {
	On                   RetryOn
	NumRetries           int
	PerTryTimeout        time.Duration // 0 for none
	PerTryIdleTimeout    time.Duration // 0 for none
	BaseInterval         time.Duration
	MaxInterval          time.Duration
	RetriableStatusCodes []int
	// RetriableHeaders matches responses, RequestHeaders restricts the requests that
	// are retried at all (empty: all).
	RetriableHeaders, RequestHeaders []HeaderMatcher
	// HostPredicates ask for another host for a retry, and give up after HostAttempts
	// picks.
	HostPredicates []RetryHostPredicate
	HostAttempts   int
	Priority       RetryPriority       // nil for none
	RateLimited    *RateLimitedBackOff // nil for none
	// RefreshCluster chooses the cluster anew for each retry.
	RefreshCluster bool
}
