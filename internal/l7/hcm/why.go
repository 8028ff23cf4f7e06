package hcm

import (
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// explain tells the recorder of an ended stream whose answer needs an explanation: it
// was made here, or the upstream's did not go through whole. It is called at the end
// of the turn, when it is known what becomes of the connection.
func (s *stream) explain() {
	if s.cfg.why == nil || s.continued || s.info.HealthCheck ||
		s.responseComplete && !s.repliedHere && s.info.Flags == 0 {
		return
	}
	a := &s.m.w.answer
	a.Request, a.Stream, a.Body = s.request.Headers, &s.info, s.replyBody
	a.Routes, a.Random = s.table, s.random
	a.Connection, a.CloseReason = s.m.fate()
	s.cfg.why.Record(s.m.shard, a)
}

// fate says in words what becomes of the connection, and why if it ends here.
func (m *manager) fate() (words, reason string) {
	info := m.conn.Info()
	switch {
	case m.conn.State() == network.Open:
		return "kept open", ""
	case info.LocalCloseReason != "":
		return "closed by the proxy", info.LocalCloseReason
	case info.CloseType == streaminfo.CloseRemoteReset:
		return "reset by the client", ""
	default:
		return "closed by the client", ""
	}
}
