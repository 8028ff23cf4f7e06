package h2

import "github.com/nuncio-proxy/nuncio/api/stats"

// Stats holds the statistics of codecs, under "http2.".
type Stats struct {
	DroppedHeadersWithUnderscores  *stats.Counter
	GoAwaySent                     *stats.Counter
	HeaderListSizeTooLarge         *stats.Counter
	HeaderOverflow                 *stats.Counter
	InboundEmptyFramesFlood        *stats.Counter
	InboundPriorityFramesFlood     *stats.Counter
	InboundWindowUpdateFramesFlood *stats.Counter
	// KeepaliveTimeout is counted by the owner, who has the clock.
	KeepaliveTimeout               *stats.Counter
	MetadataEmptyFrames            *stats.Counter
	OutboundControlFlood           *stats.Counter
	OutboundFlood                  *stats.Counter
	RequestsRejectedForUnderscores *stats.Counter
	RxMessagingError               *stats.Counter
	RxReset                        *stats.Counter
	StreamRefusedErrors            *stats.Counter
	Trailers                       *stats.Counter
	TxFlushTimeout                 *stats.Counter
	TxReset                        *stats.Counter

	DownstreamConnections *stats.Counter
	UpstreamConnections   *stats.Counter

	DeferredStreamClose *stats.Gauge
	PendingSendBytes    *stats.Gauge
	StreamsActive       *stats.Gauge
}

// NewStats makes the statistics in scope, whose prefix ends where "http2." begins: ""
// downstream, "cluster.<name>." upstream. Envoy makes them with the first connection
// that speaks HTTP/2. The connections count as nghttp2's, Envoy's default codec.
//
// Some are there and never count: the connections of oghttp2; fields of streams that are
// gone, which are not looked at; the frames that wait, which are counted only when there
// may be too many; and what Envoy does not count either by default, all about cookies
// and the histograms.
func NewStats(scope stats.Scope) *Stats {
	scope = scope.Scope("http2.")
	scope.Counter("oghttp2_downstream_connections")
	scope.Counter("oghttp2_upstream_connections")
	scope.Counter("headers_cb_no_stream")
	scope.Counter("cookies_total_bytes_too_large")
	scope.Histogram("cookie_count", stats.Unspecified)
	scope.Histogram("cookie_size", stats.Bytes)
	scope.Histogram("header_count", stats.Unspecified)
	scope.Histogram("header_list_size", stats.Bytes)
	scope.Gauge("outbound_control_frames_active").Touch()
	scope.Gauge("outbound_frames_active").Touch()
	return &Stats{
		DroppedHeadersWithUnderscores:  scope.Counter("dropped_headers_with_underscores"),
		GoAwaySent:                     scope.Counter("goaway_sent"),
		HeaderListSizeTooLarge:         scope.Counter("header_list_size_too_large"),
		HeaderOverflow:                 scope.Counter("header_overflow"),
		InboundEmptyFramesFlood:        scope.Counter("inbound_empty_frames_flood"),
		InboundPriorityFramesFlood:     scope.Counter("inbound_priority_frames_flood"),
		InboundWindowUpdateFramesFlood: scope.Counter("inbound_window_update_frames_flood"),
		KeepaliveTimeout:               scope.Counter("keepalive_timeout"),
		MetadataEmptyFrames:            scope.Counter("metadata_empty_frames"),
		OutboundControlFlood:           scope.Counter("outbound_control_flood"),
		OutboundFlood:                  scope.Counter("outbound_flood"),
		RequestsRejectedForUnderscores: scope.Counter("requests_rejected_with_underscores_in_headers"),
		RxMessagingError:               scope.Counter("rx_messaging_error"),
		RxReset:                        scope.Counter("rx_reset"),
		StreamRefusedErrors:            scope.Counter("stream_refused_errors"),
		Trailers:                       scope.Counter("trailers"),
		TxFlushTimeout:                 scope.Counter("tx_flush_timeout"),
		TxReset:                        scope.Counter("tx_reset"),

		DownstreamConnections: scope.Counter("nghttp2_downstream_connections"),
		UpstreamConnections:   scope.Counter("nghttp2_upstream_connections"),

		DeferredStreamClose: scope.Gauge("deferred_stream_close"),
		PendingSendBytes:    scope.Gauge("pending_send_bytes"),
		StreamsActive:       scope.Gauge("streams_active"),
	}
}
