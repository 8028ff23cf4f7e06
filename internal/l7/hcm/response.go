package hcm

import (
	"strconv"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/filterchain"
)

// startResponse takes the headers of a response from a terminal filter.
func (s *stream) startResponse(h *httpmsg.Headers, end bool, details string) {
	if s.ended || s.responseStarted || s.response.Dead {
		return
	}
	s.responseStarted = true
	s.info.ResponseDetails = details
	s.info.ResponseCode = h.StatusCode() // what changes headers may format it
	s.mutateResponse(h)
	s.response.ReceiveHeaders(h, end)
}

// mutateResponse applies what the route says about response headers, before the
// filters see them.
func (s *stream) mutateResponse(h *httpmsg.Headers) {
	if r := s.route; r != nil && r.Response != nil {
		s.response.Headers = h
		r.Response.MutateHeaders(h, s.entryFor(format.NotSet))
	}
}

// sendLocalReply answers with a response that is made here. It goes through the
// encoder filters, unless a response is already on its way through them; if that
// has reached the client the stream is reset.
func (s *stream) sendLocalReply(reply httpfilter.LocalReply) {
	if s.ended {
		return
	}
	if s.headersSent {
		s.info.ResponseDetails = reply.Details
		s.resetStream(httpmsg.ResetLocalReset, reply.Details)
		return
	}
	if reply.Status == 400 && !s.cfg.keepAfterBadRequest {
		// Who sends one request that is wrong may mean another one by the next bytes.
		s.m.endKeepAlive()
	}
	if reply.CutsRequest {
		s.request.Complete = false
	}
	direct := s.responseStarted
	s.request.Kill()
	s.responseStarted = true
	s.info.ResponseDetails = strings.ReplaceAll(reply.Details, " ", "_")
	end := s.makeLocalReply(reply)
	if direct {
		// The filters have seen another response: they are not shown this one.
		s.response.Kill()
		s.response.Headers = &s.local
		s.writeHeaders(&s.local, end)
		if !end {
			s.writeData(&s.localBody, true)
		}
		return
	}
	s.response.ReceiveHeaders(&s.local, end)
	if !end && !s.ended {
		s.response.ReceiveData(&s.localBody, true)
	}
}

// makeLocalReply fills s.local and s.localBody, and reports whether there is no
// body.
func (s *stream) makeLocalReply(from httpfilter.LocalReply) (end bool) {
	h := &s.local
	h.Reset()
	s.localBody.Drain(s.localBody.Len())
	h.SetStatusCode(from.Status)
	// What a route adds to its own answer comes behind the location of a redirect.
	direct := s.route != nil && s.route.Direct != nil
	if !direct {
		s.mutateResponse(h)
	}
	if from.Modify != nil {
		from.Modify(h)
	}
	if direct {
		s.mutateResponse(h)
	}
	s.info.ResponseCode = from.Status
	s.repliedHere = true
	r := reply{status: from.Status, body: from.Body, contentType: plainText}
	given := h.Get(httpmsg.ContentType)
	if s.cfg.localReply != nil {
		s.cfg.localReply.rewrite(s, h, &r)
	}
	s.replyBody = r.body
	switch {
	case s.grpc:
		s.grpcReply(h, &from, &r)
		return true
	case r.body == "":
		h.Remove(httpmsg.ContentLength)
		h.Remove(httpmsg.ContentType)
		return true
	}
	h.Set(httpmsg.ContentLength, strconv.Itoa(len(r.body)))
	if own := h.Get(httpmsg.ContentType); own == "" || own == given && r.body != from.Body {
		h.Set(httpmsg.ContentType, r.contentType)
	}
	if s.isHead() {
		return true
	}
	s.localBody.AppendString(r.body)
	return false
}

func (s *stream) isHead() bool {
	return s.request.Headers != nil && s.request.Headers.Get(httpmsg.Method) == "HEAD"
}

// grpcReply makes a reply a trailers-only gRPC response.
func (s *stream) grpcReply(h *httpmsg.Headers, from *httpfilter.LocalReply, r *reply) {
	status := from.GRPCStatus
	if !from.HasGRPCStatus {
		status = httpmsg.GRPCStatusOfHTTP(r.status)
	}
	h.SetStatusCode(200)
	h.Set(httpmsg.ContentType, "application/grpc")
	if h.Get(httpmsg.GRPCStatus) == "" {
		h.Set(httpmsg.GRPCStatus, strconv.Itoa(status))
	}
	if r.body != "" && !s.isHead() {
		h.Set(httpmsg.GRPCMessage, grpcMessage(r.grpcText()))
	}
	h.Remove(httpmsg.ContentLength)
}

// grpcMessage percent-encodes a message as the gRPC protocol asks.
func grpcMessage(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// encodeInterim sends a 1xx response through the filters.
func (s *stream) encodeInterim(h *httpmsg.Headers) {
	if s.ended || s.headersSent {
		return
	}
	for i := len(s.filters) - 1; i >= 0; i-- {
		if f := &s.filters[i]; f.Enc != nil && !f.Off {
			if f.Enc.EncodeInterim(h) != httpfilter.Continue {
				return
			}
		}
	}
	s.sendInterim(h)
}

func (s *stream) sendInterim(h *httpmsg.Headers) {
	s.touch()
	s.countResponse(h)
	s.enc.EncodeInterim(h)
	s.m.flush()
}

// Buffers implements filterchain.Owner, as do the methods that follow.
func (s *stream) Buffers() *buffer.Pool { return s.m.d.Buffers() }

// Filters is how many filters serve the request.
func (s *stream) Filters() int { return len(s.filters) }

// Filter returns one of them.
func (s *stream) Filter(i int) *filterchain.Filter { return &s.filters[i].Filter }

// PassedHeaders takes headers to the codec. A request ends at the terminal filter.
func (s *stream) PassedHeaders(p *filterchain.Path, end bool) {
	if p.Response {
		s.writeHeaders(p.Headers, end)
	}
}

// PassedData takes a piece of the body to the codec.
func (s *stream) PassedData(p *filterchain.Path, data *buffer.Buffer, end bool) {
	if p.Response {
		s.writeData(data, end)
	}
}

// PassedTrailers takes trailers to the codec.
func (s *stream) PassedTrailers(p *filterchain.Path) {
	if p.Response {
		s.writeTrailers(p.Trailers)
	}
}

// writeHeaders is the end of the response path: the headers go to the codec.
func (s *stream) writeHeaders(h *httpmsg.Headers, end bool) {
	s.response.Headers = h
	s.finishResponseHeaders(h)
	s.headersSent = true
	s.info.FirstTxByte = s.m.d.Now()
	s.touch()
	if s.upgraded && s.cfg.flushLogs.onTunnel {
		s.log(format.DownstreamTunnelSuccessfullyEstablished)
	}
	s.enc.EncodeHeaders(h, end)
	if s.ended {
		return
	}
	s.sent(end)
}

// sent sends what the codec encoded, and ends the stream behind the last piece.
func (s *stream) sent(end bool) {
	m := s.m
	if end {
		s.responseSent()
	}
	m.flush()
	if end {
		m.closeIfDone()
	}
}

// writeData is the end of the response path: a piece of the body goes to the codec.
func (s *stream) writeData(data *buffer.Buffer, end bool) {
	s.info.BytesSent += uint64(data.Len())
	s.touch()
	s.enc.EncodeData(data, end)
	s.sent(end)
}

// writeTrailers is the end of the response path.
func (s *stream) writeTrailers(t *httpmsg.Headers) {
	s.touch()
	s.enc.EncodeTrailers(t)
	s.sent(true)
}

// finishResponseHeaders makes a response fit for the client: it removes what is
// hop by hop, adds what the proxy adds, and decides whether the connection lives.
func (s *stream) finishResponseHeaders(h *httpmsg.Headers) {
	cfg, m := s.cfg, s.m
	s.upgraded = s.switchesProtocol(h.StatusCode())
	if !s.upgraded {
		h.Remove(httpmsg.Connection)
		h.Remove(httpmsg.Upgrade)
	}
	h.Remove(httpmsg.KeepAlive)
	h.Remove(httpmsg.ProxyConnection)
	h.Remove(httpmsg.TransferEncoding)
	if !h.Has(httpmsg.Date) {
		h.AddID(httpmsg.Date, m.w.dateHeader(m.d.Now()))
	}
	s.setServer(h)
	if r := s.request.Headers; r != nil && (cfg.alwaysSetRequestID || r.Has(httpmsg.XEnvoyForceTrace)) {
		cfg.requestIDs.SetInResponse(h, r)
	}
	if cfg.via != "" {
		appendValue(h, httpmsg.Via, cfg.via)
	}
	if cfg.status != nil {
		cfg.status.apply(h, &s.info)
	}
	s.countResponse(h)
	s.decideConnection(h)
}

// countResponse counts a response, be it final or not.
func (s *stream) countResponse(h *httpmsg.Headers) {
	s.info.ResponseCode = h.StatusCode()
	if !s.info.HealthCheck {
		s.cfg.stats.count(s.m.shard, s.info.ResponseCode)
	}
}

func (s *stream) setServer(h *httpmsg.Headers) {
	switch s.cfg.serverTransformation {
	case serverOverwrite:
		h.Set(httpmsg.Server, s.cfg.serverName)
	case serverAppendIfAbsent:
		if !h.Has(httpmsg.Server) {
			h.AddID(httpmsg.Server, s.cfg.serverName)
		}
	}
}

// decideConnection ends the keep-alive when this is to be the last response, and says
// so.
func (s *stream) decideConnection(h *httpmsg.Headers) {
	cfg, m := s.cfg, s.m
	if m.drain == notDraining && cfg.drain != nil && cfg.drain.DrainClose(m.d.Random()) {
		cfg.stats.cxDrainClose.Inc(m.shard)
		if m.http2 != nil {
			m.beginDrain("")
		} else {
			m.startDrain()
		}
	}
	if !s.request.Complete {
		cfg.stats.rqResponseBeforeRqComplete.Inc(m.shard)
	}
	if m.http2 != nil {
		return
	}
	if m.drain == draining || s.last || !s.request.Complete && !s.upgraded {
		m.startDrain()
	}
	if !s.upgraded && !m.codec.Reusable() {
		h.Set(httpmsg.Connection, "close")
	}
}

func appendValue(h *httpmsg.Headers, id httpmsg.ID, value string) {
	if old := h.Get(id); old != "" {
		value = old + ", " + value
	}
	h.Set(id, value)
}
