package grpcaccesslog

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// common adds common_properties, the message AccessLogCommon.
func (l *logger) common(w *Encoder, e *format.Entry) {
	s, up := e.Stream, &e.Stream.Upstream
	down := s.Downstream
	if down == nil {
		down = &streaminfo.Connection{}
	}
	start := w.Begin(1)
	w.Address(2, down.Remote)
	w.Address(3, down.Local)
	tlsProperties(w, down)
	w.Time(5, s.Start)
	w.Since(6, s.Start, s.LastRxByte)
	w.Since(7, s.Start, up.FirstTxByte)
	w.Since(8, s.Start, up.LastTxByte)
	w.Since(9, s.Start, up.FirstRxByte)
	w.Since(10, s.Start, up.LastRxByte)
	w.Since(11, s.Start, s.FirstTxByte)
	w.Since(12, s.Start, s.LastTxByte)
	if up.Host.IsValid() {
		w.Address(13, up.Host)
		w.Text(15, up.ClusterRaw)
	}
	w.Address(14, up.LocalAddress)
	responseFlags(w, s.Flags)
	metadata(w, s)
	w.Text(18, up.FailureReason)
	w.Text(19, s.RouteName)
	w.Address(20, down.DirectRemote)
	l.filterStates(w, s, down)
	l.tags(w, e)
	w.Since(23, s.Start, s.End)
	w.Number(24, uint64(s.AttemptCount))
	w.Text(25, s.TerminationDetails)
	w.Text(26, s.RequestID)
	w.Bool(27, s.End.IsZero()) // an intermediate entry
	w.Text(28, down.TransportFailure)
	w.Number(29, s.DownstreamBytes.Sent)
	w.Number(30, s.DownstreamBytes.Received)
	w.Number(31, up.Bytes.Sent)
	w.Number(32, up.Bytes.Received)
	w.Number(33, uint64(e.Type)) // the numbers are those of AccessLogType
	w.End(start)
}

// tlsProperties adds TLSProperties.
func tlsProperties(w *Encoder, c *streaminfo.Connection) {
	ja3 := ""
	if c.Fingerprints != nil {
		ja3 = c.Fingerprints.JA3
	}
	if c.TLS == nil && c.RequestedServerName == "" && ja3 == "" {
		return
	}
	start := w.Begin(4)
	if t := c.TLS; t != nil {
		w.Number(1, tlsVersion(t.Version))
		suite := w.Begin(2)
		w.Number(1, uint64(t.CipherSuiteID))
		w.End(suite)
	}
	w.Text(3, c.RequestedServerName)
	if t := c.TLS; t != nil {
		local := w.Begin(4)
		if own := t.Local(); own != nil {
			for _, uri := range streaminfo.AltNamesOf(own, streaminfo.URIName) {
				name := w.Begin(1)
				w.Text(1, uri)
				w.End(name)
			}
			w.Text(2, streaminfo.Subject(own))
		}
		w.End(local)
		peer := w.Begin(5)
		if its := t.PeerCertificate(); its != nil {
			for _, uri := range streaminfo.AltNamesOf(its, streaminfo.URIName) {
				name := w.Begin(1)
				w.Text(1, uri)
				w.End(name)
			}
			w.Text(2, streaminfo.Subject(its))
			w.Text(3, streaminfo.Issuer(its))
		}
		w.End(peer)
		w.Text(6, t.SessionID)
	}
	w.Text(7, ja3)
	w.End(start)
}

func tlsVersion(name string) uint64 {
	switch name {
	case "TLSv1":
		return 1
	case "TLSv1.1":
		return 2
	case "TLSv1.2":
		return 3
	case "TLSv1.3":
		return 4
	}
	return 0
}

// responseFlags adds ResponseFlags. Flags that came after the message have no field.
func responseFlags(w *Encoder, flags streaminfo.Flags) {
	if flags == 0 {
		return
	}
	fields := [...]struct {
		flag  streaminfo.Flags
		field protowire.Number
	}{
		{streaminfo.FailedLocalHealthCheck, 1}, {streaminfo.NoHealthyUpstream, 2}, {streaminfo.UpstreamRequestTimeout, 3},
		{streaminfo.LocalReset, 4}, {streaminfo.UpstreamRemoteReset, 5}, {streaminfo.UpstreamConnectionFailure, 6},
		{streaminfo.UpstreamConnectionTermination, 7}, {streaminfo.UpstreamOverflow, 8}, {streaminfo.NoRouteFound, 9},
		{streaminfo.DelayInjected, 10}, {streaminfo.FaultInjected, 11}, {streaminfo.RateLimited, 12},
		{streaminfo.RateLimitServiceError, 14}, {streaminfo.DownstreamConnectionTermination, 15},
		{streaminfo.UpstreamRetryLimitExceeded | streaminfo.UpstreamConnectAttemptsExceeded, 16}, {streaminfo.StreamIdleTimeout, 17},
		{streaminfo.InvalidEnvoyRequestHeaders, 18}, {streaminfo.DownstreamProtocolError, 19},
		{streaminfo.UpstreamMaxStreamDurationReached, 20}, {streaminfo.ResponseFromCacheFilter, 21},
		{streaminfo.NoFilterConfigFound, 22}, {streaminfo.DurationTimeout, 23}, {streaminfo.UpstreamProtocolError, 24},
		{streaminfo.NoClusterFound, 25}, {streaminfo.OverloadManagerTerminated, 26}, {streaminfo.DnsResolutionFailed, 27},
		{streaminfo.DownstreamRemoteReset, 28},
	}
	start := w.Begin(16)
	for i := range fields {
		w.Bool(fields[i].field, flags&fields[i].flag != 0)
	}
	if flags&streaminfo.UnauthorizedExternalService != 0 {
		details := w.Begin(13)
		w.Number(1, 1) // EXTERNAL_SERVICE
		w.End(details)
	}
	w.End(start)
}

// metadata adds the dynamic metadata.
func metadata(w *Encoder, s *streaminfo.Stream) {
	if len(s.Metadata)+len(s.TypedMetadata) == 0 {
		return
	}
	start := w.Begin(17)
	for name, fields := range s.Metadata {
		w.named(1, name, fields)
	}
	for name, message := range s.TypedMetadata {
		w.named(2, name, message)
	}
	w.End(start)
}

// named adds an entry of a map of messages.
func (e *Encoder) named(field protowire.Number, name string, m proto.Message) {
	entry := e.Begin(field)
	e.Text(1, name)
	e.message(2, m)
	e.End(entry)
}

// message adds a message object. What it cannot be encoded with is left out.
func (e *Encoder) message(field protowire.Number, m proto.Message) {
	start := e.Begin(field)
	if b, err := (proto.MarshalOptions{}).MarshalAppend(e.b, m); err == nil {
		e.b = b
	}
	e.End(start)
}

// filterStates adds the objects to log, each as an Any.
func (l *logger) filterStates(w *Encoder, s *streaminfo.Stream, c *streaminfo.Connection) {
	for _, key := range l.filterState {
		object := s.FilterState[key]
		if object == nil {
			object = c.FilterState[key]
		}
		var m proto.Message
		switch o := object.(type) {
		case proto.Message:
			m = o
		case interface{ Proto() proto.Message }:
			m = o.Proto()
		case string:
			m = wrapperspb.String(o)
		default:
			continue // it has no form as a message
		}
		entry := w.Begin(21)
		w.Text(1, key)
		packed := w.Begin(2)
		w.Text(1, "type.googleapis.com/"+string(m.ProtoReflect().Descriptor().FullName()))
		w.message(2, m)
		w.End(packed)
		w.End(entry)
	}
}

// tags adds the custom tags that have a value.
func (l *logger) tags(w *Encoder, e *format.Entry) {
	for i := range l.customTags {
		t := &l.customTags[i]
		if value := t.value(e); value != "" {
			w.Entry(22, t.name, value)
		}
	}
}
