package router

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// ResponseHeaders implements upstream.ResponseHandler.
func (u *upstreamRequest) ResponseHeaders() *httpmsg.Headers {
	u.response.Reset()
	return &u.response
}

// OnInterim implements upstream.ResponseHandler.
func (u *upstreamRequest) OnInterim() {
	u.touch()
	status := u.response.StatusCode()
	if u.gotInterim || !passedOn(status) {
		// The filters take one; later ones are allowed to be lost.
		return
	}
	u.gotInterim = true
	u.f.onInterim(u, status)
}

// OnHeaders implements upstream.ResponseHandler.
func (u *upstreamRequest) OnHeaders(endStream bool) {
	f := u.f
	u.touch()
	now := f.d.Now()
	u.up.FirstRxByte, u.up.Version = now, u.conn.Version
	u.received, u.status = 0, u.response.StatusCode()
	u.gotHeaders, u.gotAll = true, endStream
	if endStream {
		u.up.LastRxByte = now
	}
	if u.upgrade != noUpgrade && !u.answerUpgrade() {
		return
	}
	f.onHeaders(u, endStream)
}

// answerUpgrade handles the answer to a request for a tunnel: it opens it, or
// leaves it shut. It reports whether the response goes the usual way.
func (u *upstreamRequest) answerUpgrade() bool {
	f, asked := u.f, u.upgrade
	switch {
	case asked.accepts(u.status):
		if asked == websocketUpgrade {
			// A tunnel lives as long as it wants.
			disarm(f.timers.response)
			u.timers.disarmPerTry()
		}
		u.upgrade = noUpgrade
		u.sendRest()
		return u.phase == open
	case asked == websocketUpgrade && u.status < 400:
		u.refuseWebsocket()
		return false
	default:
		return true
	}
}

// refuseWebsocket answers with the headers of a response that is neither the switch
// to the new protocol nor an error; its body would be taken for the tunnel.
func (u *upstreamRequest) refuseWebsocket() {
	f := u.f
	u.reset()
	f.stop()
	f.cb.SendLocalReply(httpfilter.LocalReply{
		Status: u.status, Details: "websocket_handshake_unsuccessful",
		Modify: func(h *httpmsg.Headers) {
			for _, field := range u.response.Fields() {
				switch field.ID() {
				case httpmsg.Status, httpmsg.ContentLength, httpmsg.TransferEncoding, httpmsg.Connection, httpmsg.Upgrade:
				default:
					h.Add(field.Name, field.Value)
				}
			}
		},
	})
}

// OnData implements upstream.ResponseHandler.
func (u *upstreamRequest) OnData(data *buffer.Buffer, endStream bool) {
	f := u.f
	u.touch()
	u.received += uint64(data.Len())
	now := f.d.Now()
	if u.up.FirstBodyByte.IsZero() {
		u.up.FirstBodyByte = now
	}
	if endStream {
		u.up.LastRxByte, u.gotAll = now, true
		if u.outcomeOpen {
			// A gRPC response without a status in trailers has failed.
			u.recordOutcome(500)
		}
		f.responseComplete(u)
	}
	f.cb.SendResponseData(data, endStream)
}

// OnTrailers implements upstream.ResponseHandler.
func (u *upstreamRequest) OnTrailers(trailers *httpmsg.Headers) {
	f := u.f
	u.up.LastRxByte, u.gotAll = f.d.Now(), true
	if u.outcomeOpen {
		u.recordOutcome(grpcOutcome(trailers))
	}
	f.responseComplete(u)
	f.cb.SendResponseTrailers(trailers)
}

// OnReset implements upstream.ResponseHandler.
func (u *upstreamRequest) OnReset(reason httpmsg.ResetReason, transportFailure string) {
	u.up.FailureReason = transportFailure
	u.flags |= resetFlags[reason]
	u.detach()
	u.f.onReset(u, reason, reason.String(), transportFailure)
}

// pause stops (true) or resumes the response's bytes, if there are more.
func (u *upstreamRequest) pause(stop bool) {
	if u.phase != open || u.gotAll {
		return
	}
	s := u.f.cluster.Stats()
	if stop {
		s.UpstreamFlowControlPausedReadingTotal.Inc(u.f.shard)
	} else {
		s.UpstreamFlowControlResumedReadingTotal.Inc(u.f.shard)
	}
	u.stream.ReadDisable(stop)
}

// fromCanary reports whether host or response say that this is a canary's.
func (u *upstreamRequest) fromCanary() bool {
	return u.host.Canary() || u.response.Get(httpmsg.XEnvoyUpstreamCanary) == "true"
}

// headersOutcome tells the host how a response went as far as its headers say. A
// gRPC response that goes on says it in its trailers.
func (u *upstreamRequest) headersOutcome(status int, endStream bool) {
	switch {
	case !u.f.grpc || status >= 500:
		u.recordOutcome(status)
	case endStream:
		u.recordOutcome(grpcOutcome(&u.response))
	default:
		u.outcomeOpen = true
	}
}

// grpcOutcome is the HTTP status that means the same as the grpc-status.
func grpcOutcome(h *httpmsg.Headers) int {
	if n := grpcStatus(h); n >= 0 {
		return httpmsg.HTTPStatusOfGRPC(n)
	}
	return 500
}

func (u *upstreamRequest) recordOutcome(status int) { u.record(status, false) }

// recordFailure is recordOutcome for an attempt that failed whatever the status.
func (u *upstreamRequest) recordFailure(status int) { u.record(status, true) }

func (u *upstreamRequest) record(status int, failed bool) {
	u.outcomeOpen = false
	if u.host != nil {
		u.host.RecordResponse(u.f.shard, status, failed)
	}
}

func (u *upstreamRequest) recordTimeout() {
	if u.host != nil {
		u.host.RecordTimeout(u.f.shard)
	}
}
