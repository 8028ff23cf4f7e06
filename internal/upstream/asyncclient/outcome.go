package asyncclient

import (
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// The statistics are those that the router keeps of a request of a client.

// countResponse counts a response.
func (k *call) countResponse(status int, endStream bool) {
	canary := k.host.Canary() || k.response.Get(httpmsg.XEnvoyUpstreamCanary) == "true"
	k.countStatus(status, canary)
	switch {
	case status >= 500:
		k.recordOutcome(status, false)
	case endStream:
		k.recordOutcome(grpcOutcome(&k.response), false)
	default:
		k.outcomeOpen = true
	}
	if endStream {
		k.countTime()
	}
}

// countFailure counts that there is no response, or not all of it, with the status that
// stands for that.
func (k *call) countFailure(status int) {
	if !k.answered {
		k.countStatus(status, k.host != nil && k.host.Canary())
		k.outcomeOpen = true
	}
	if k.outcomeOpen {
		k.recordOutcome(status, true)
	}
}

func (k *call) countStatus(status int, canary bool) {
	s, shard := k.cluster.Stats(), k.d.Shard()
	s.Responses.Record(shard, status)
	if canary {
		s.CanaryResponses.Record(shard, status)
	}
	k.byOrigin().Record(shard, status)
}

// byOrigin returns the statistics of requests from inside, or of others.
func (k *call) byOrigin() *upstream.Responses {
	if k.client.forwardedFor == "" {
		return &k.cluster.Stats().ExternalResponses
	}
	return &k.cluster.Stats().InternalResponses
}

func (k *call) recordOutcome(status int, failed bool) {
	k.outcomeOpen = false
	if k.host != nil {
		k.host.RecordResponse(k.d.Shard(), status, failed)
	}
}

// countTime records how long the whole response took since the request was complete.
func (k *call) countTime() {
	if k.endedAt.IsZero() {
		return
	}
	ms := uint64(k.d.Now().Sub(k.endedAt).Milliseconds())
	k.cluster.Stats().Responses.RecordTime(k.d.Shard(), ms)
	k.byOrigin().RecordTime(k.d.Shard(), ms)
}

// grpcStatus returns the number in grpc-status.
func grpcStatus(h *httpmsg.Headers) (status int, ok bool) {
	n, err := strconv.ParseUint(h.Get(httpmsg.GRPCStatus), 10, 31)
	return int(n), err == nil
}

// grpcOutcome is the HTTP status that stands for how a call went.
func grpcOutcome(h *httpmsg.Headers) int {
	if n, ok := grpcStatus(h); ok {
		return httpmsg.HTTPStatusOfGRPC(n)
	}
	return 500
}

// resetText tells people of a reset, as the router's answer does.
func resetText(reason httpmsg.ResetReason, transportFailure string) string {
	text := "upstream connect error or disconnect/reset before headers. reset reason: " + reason.String()
	if transportFailure != "" {
		text += ", transport failure reason: " + transportFailure
	}
	return text
}
