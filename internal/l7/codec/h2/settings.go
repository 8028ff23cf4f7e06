package h2

import "github.com/nuncio-proxy/nuncio/internal/l7/codec/h2/hpack"

// An UnderscoreAction says what becomes of request headers with an underscore in
// their name (headers_with_underscores_action).
type UnderscoreAction uint8

const (
	// AllowUnderscores passes them.
	AllowUnderscores UnderscoreAction = iota
	// RejectUnderscores resets the stream.
	RejectUnderscores
	// DropUnderscores passes the request without these headers.
	DropUnderscores
)

// A Setting is a parameter of a SETTINGS frame.
type Setting struct {
	ID    uint16
	Value uint32
}

// Settings is the configuration of one side, after Envoy's Http2ProtocolOptions. It
// is immutable and shared by all connections of a listener or cluster.
type Settings struct {
	// HeaderTableSize bounds the HPACK tables of both directions, in bytes
	// (hpack_table_size).
	HeaderTableSize uint32
	// MaxConcurrentStreams bounds the streams that the peer may open, and on the client
	// side those that are opened to the peer.
	MaxConcurrentStreams uint32
	// InitialStreamWindow is what the peer may send on a stream ahead of its reader, and
	// the limit above which a stream asks to stop sending, in bytes: at least 65535.
	// InitialConnectionWindow is that of all streams together.
	InitialStreamWindow     uint32
	InitialConnectionWindow uint32
	// Custom settings are sent before all others (custom_settings_parameters).
	Custom []Setting

	// MaxHeadersKB bounds the names and values of a header section, in KiB; MaxHeaders
	// their number, crumbs of cookies included. Trailers have the same bounds.
	MaxHeadersKB int
	MaxHeaders   int
	// MaxHeaderFieldKB bounds each name and value (max_header_field_size_kb), in KiB.
	// What is larger ends the connection.
	MaxHeaderFieldKB int

	// AllowConnect lets clients send extended CONNECT (allow_connect).
	AllowConnect bool
	// AllowMetadata passes METADATA frames; otherwise they are ignored. MaxMetadataSize
	// bounds those of one stream that are not complete, in bytes.
	AllowMetadata   bool
	MaxMetadataSize int
	// StreamErrorOnInvalidMessaging resets the stream where a message is invalid;
	// otherwise the connection ends (override_stream_error_on_invalid_http_message).
	StreamErrorOnInvalidMessaging bool

	// MaxOutboundFrames bounds the frames that the socket has not taken, and
	// MaxOutboundControlFrames those of them that answer PING and SETTINGS, or are
	// RST_STREAM. Beyond that the connection ends.
	MaxOutboundFrames        int
	MaxOutboundControlFrames int
	// MaxConsecutiveEmptyInboundFrames bounds HEADERS, CONTINUATION and DATA frames
	// without payload or END_STREAM, one behind the other.
	MaxConsecutiveEmptyInboundFrames int
	// MaxInboundPriorityFramesPerStream and
	// MaxInboundWindowUpdateFramesPerDataFrameSent bound these frames.
	MaxInboundPriorityFramesPerStream            int
	MaxInboundWindowUpdateFramesPerDataFrameSent int

	// StreamResetBurst is how many RST_STREAM a client may send at once, StreamResetRate how
	// many more in each second (stream_reset_burst, stream_reset_rate). The owner of the
	// connection counts them, since the codec has no clock.
	StreamResetBurst, StreamResetRate uint64
	// DisallowObsText takes bytes from 0x80 on in header values for an error
	// (disallow_obs_text).
	DisallowObsText bool
	// Huffman is how header blocks are written (enable_huffman_encoding).
	Huffman hpack.Huffman

	// Underscores says what becomes of header names with underscores. Server only.
	Underscores UnderscoreAction
}

// The values of Settings.Huffman.
const (
	HuffmanAlways = hpack.HuffmanAlways
	HuffmanNever  = hpack.HuffmanNever
)

// The limits that Envoy has when nothing is configured.
const (
	DefaultHeaderTableSize         = 4096
	DefaultMaxConcurrentStreams    = 1024
	DefaultInitialStreamWindow     = 16 << 20
	DefaultInitialConnectionWindow = 24 << 20
	DefaultMaxHeadersKB            = 60
	DefaultMaxHeaders              = 100
	DefaultMaxHeaderFieldKB        = 64
	DefaultMaxMetadataSize         = 1 << 20

	DefaultMaxOutboundFrames                            = 10000
	DefaultMaxOutboundControlFrames                     = 1000
	DefaultMaxConsecutiveEmptyInboundFrames             = 1
	DefaultMaxInboundPriorityFramesPerStream            = 100
	DefaultMaxInboundWindowUpdateFramesPerDataFrameSent = 10
	DefaultStreamResetBurst                             = 1000
	DefaultStreamResetRate                              = 33
)

// ServerDefaults are the Settings of a listener that configures nothing.
func ServerDefaults() Settings { return ClientDefaults() }

// ClientDefaults are the Settings of a cluster that configures nothing.
func ClientDefaults() Settings {
	return Settings{
		HeaderTableSize:         DefaultHeaderTableSize,
		MaxConcurrentStreams:    DefaultMaxConcurrentStreams,
		InitialStreamWindow:     DefaultInitialStreamWindow,
		InitialConnectionWindow: DefaultInitialConnectionWindow,
		MaxHeadersKB:            DefaultMaxHeadersKB,
		MaxHeaders:              DefaultMaxHeaders,
		MaxHeaderFieldKB:        DefaultMaxHeaderFieldKB,
		MaxMetadataSize:         DefaultMaxMetadataSize,

		MaxOutboundFrames:                            DefaultMaxOutboundFrames,
		MaxOutboundControlFrames:                     DefaultMaxOutboundControlFrames,
		MaxConsecutiveEmptyInboundFrames:             DefaultMaxConsecutiveEmptyInboundFrames,
		MaxInboundPriorityFramesPerStream:            DefaultMaxInboundPriorityFramesPerStream,
		MaxInboundWindowUpdateFramesPerDataFrameSent: DefaultMaxInboundWindowUpdateFramesPerDataFrameSent,
		StreamResetBurst:                             DefaultStreamResetBurst, StreamResetRate: DefaultStreamResetRate,
	}
}

// maxHeaders is the bound of a header section in bytes.
func (s *Settings) maxHeaders() int { return s.MaxHeadersKB << 10 }
