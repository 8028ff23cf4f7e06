package router

import (
	"strings"

	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A failure is why the router answers a request itself: what the client, the
// access log and the statistics are told about it. All of them are made here.
type failure struct {
	status  int
	body    string
	details string
	flag    streaminfo.Flags
	// overloaded asks for x-envoy-overloaded.
	overloaded bool
}

func noRoute() failure {
	return failure{status: 404, details: "route_not_found", flag: streaminfo.NoRouteFound}
}

func noCluster(status int) failure {
	if status == 0 {
		status = 503
	}
	return failure{status: status, details: "cluster_not_found", flag: streaminfo.NoClusterFound}
}

func maintenance() failure {
	return failure{
		status: 503, body: "maintenance mode", details: "maintenance_mode", flag: streaminfo.UpstreamOverflow, overloaded: true,
	}
}

func invalidHeader(id httpmsg.ID, value string) failure {
	return failure{
		status: 400, body: "invalid header '" + id.String() + "' with value '" + value + "'",
		details: "request_headers_failed_strict_check{" + id.String() + "}", flag: streaminfo.InvalidEnvoyRequestHeaders,
	}
}

func noHealthyUpstream() failure {
	return failure{status: 503, body: "no healthy upstream", details: "no_healthy_upstream", flag: streaminfo.NoHealthyUpstream}
}

// timedOut is the failure of a timeout of the router; status is 204 if the request
// asked for that instead of 504.
func timedOut(status int, details string) failure {
	body := ""
	if status == 504 {
		body = "upstream request timeout"
	}
	return failure{status: status, body: body, details: details, flag: streaminfo.UpstreamRequestTimeout}
}

func maxStreamDuration(requestComplete bool) failure {
	status := 408
	if requestComplete {
		status = 504
	}
	return failure{
		status: status, body: "upstream max stream duration reached", details: "upstream_max_stream_duration_reached",
		flag: streaminfo.UpstreamMaxStreamDurationReached,
	}
}

func retryBufferFull() failure {
	return failure{
		status: 507, body: "exceeded request buffer limit while retrying upstream",
		details: "request_payload_exceeded_retry_buffer_limit",
	}
}

func earlyConnectData() failure {
	return failure{status: 400, details: "early_connect_data"}
}

// unsendable is the failure of a request that lacks what a codec needs, because a
// filter removed it.
func unsendable(err error) failure {
	text := err.Error()
	return failure{
		status: 503, body: text, details: "filter_removed_required_request_headers{" + underscored(text) + "}",
		flag: streaminfo.DownstreamProtocolError,
	}
}

// resetFlags are the flags of the reasons for which an upstream stream ends early.
var resetFlags = [...]streaminfo.Flags{
	httpmsg.ResetNone:                    streaminfo.LocalReset,
	httpmsg.ResetLocalReset:              streaminfo.LocalReset,
	httpmsg.ResetLocalRefusedStream:      streaminfo.LocalReset,
	httpmsg.ResetRemoteReset:             streaminfo.UpstreamRemoteReset,
	httpmsg.ResetRemoteRefusedStream:     streaminfo.UpstreamRemoteReset,
	httpmsg.ResetConnectError:            streaminfo.UpstreamRemoteReset,
	httpmsg.ResetLocalConnectionFailure:  streaminfo.UpstreamConnectionFailure,
	httpmsg.ResetRemoteConnectionFailure: streaminfo.UpstreamConnectionFailure,
	httpmsg.ResetConnectionTimeout:       streaminfo.UpstreamConnectionFailure,
	httpmsg.ResetConnectionTermination:   streaminfo.UpstreamConnectionTermination,
	httpmsg.ResetOverflow:                streaminfo.UpstreamOverflow,
	httpmsg.ResetProtocolError:           streaminfo.UpstreamProtocolError,
	httpmsg.ResetOverloadManager:         streaminfo.OverloadManagerTerminated,
}

// resetStatus is the status that stands for a reset.
func resetStatus(reason httpmsg.ResetReason) int {
	if reason == httpmsg.ResetProtocolError {
		return 502
	}
	return 503
}

// upstreamReset is the failure of a stream that ended early. The reason of the
// transport is shown to operators (details), not to clients (body).
func upstreamReset(reason httpmsg.ResetReason, transportFailure string, retried, responseStarted bool) failure {
	body := "upstream connect error or disconnect/reset before headers. reset reason: "
	if retried {
		body = "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: "
	}
	details := "upstream_reset_before_response_started{"
	if responseStarted {
		details = "upstream_reset_after_response_started{"
	}
	text := reason.String()
	details += underscored(text)
	if transportFailure != "" {
		details += "|" + underscored(transportFailure)
	}
	return failure{
		status: resetStatus(reason), body: body + text, details: details + "}", flag: resetFlags[reason],
		overloaded: reason == httpmsg.ResetOverflow,
	}
}

func underscored(s string) string { return strings.ReplaceAll(s, " ", "_") }

// localExtras are headers of a response that is made here.
type localExtras struct {
	location, contentType string // "" for none
	overloaded            bool
}

// fail answers the request with a failure, or ends the response that has begun.
// Attempt, timers and retries are over then.
func (f *filter) fail(x failure) {
	f.stop()
	f.info.Flags |= x.flag
	f.local.overloaded = x.overloaded
	f.cb.SendLocalReply(httpfilter.LocalReply{Status: x.status, Body: x.body, Details: x.details, Modify: f.modify})
}

// modifyLocalReply adds the router's headers to a response that is made here.
func (f *filter) modifyLocalReply(h *httpmsg.Headers) {
	if f.local.location != "" {
		h.AddID(httpmsg.Location, f.local.location)
	}
	if f.local.contentType != "" {
		h.Set(httpmsg.ContentType, f.local.contentType)
	}
	if f.local.overloaded && !f.cfg.suppressEnvoyHeaders {
		h.AddID(httpmsg.XEnvoyOverloaded, "true")
	}
	f.addAttemptCount(h)
}
