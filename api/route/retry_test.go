package route

import "testing"

func TestParseRetryOn(t *testing.T) {
	for _, tc := range []struct {
		text    string
		on      RetryOn
		unknown string
	}{
		{"5xx", Retry5xx, ""},
		{"gateway-error, reset ,reset-before-request,connect-failure", RetryGatewayError | RetryReset | RetryResetBeforeRequest | RetryConnectFailure, ""},
		{"retriable-4xx,refused-stream,retriable-status-codes,retriable-headers,envoy-ratelimited",
			RetryRetriable4xx | RetryRefusedStream | RetryRetriableStatusCodes | RetryRetriableHeaders | RetryEnvoyRateLimited, ""},
		{"cancelled,deadline-exceeded,resource-exhausted,unavailable,internal", RetryGRPC, ""},
		{"http3-post-connect-failure", RetryHTTP3PostConnectFailure, ""},
		{"junk,5xx,more", Retry5xx, "junk"},
		{"5XX", 0, "5XX"},
	} {
		on, unknown := ParseRetryOn(tc.text)
		if on != tc.on || unknown != tc.unknown {
			t.Errorf("%q: %b, %q", tc.text, on, unknown)
		}
	}
}
