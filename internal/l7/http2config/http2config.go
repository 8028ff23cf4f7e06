// Package http2config reads the options of HTTP/2, which listeners and clusters have
// in common, into the settings of the codec.
package http2config

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
	"github.com/nuncio-proxy/nuncio/internal/l7/keepalive"
)

// Fields lists the fields that Parse reads.
func Fields() conf.Fields {
	return conf.Fields{Message: "envoy.config.core.v3.Http2ProtocolOptions", Names: []string{
		"hpack_table_size", "max_concurrent_streams", "initial_stream_window_size", "initial_connection_window_size",
		"allow_connect", "allow_metadata", "max_metadata_size", "max_outbound_frames", "max_outbound_control_frames",
		"max_consecutive_inbound_frames_with_empty_payload", "max_inbound_priority_frames_per_stream",
		"max_inbound_window_update_frames_per_data_frame_sent", "stream_error_on_invalid_http_messaging",
		"override_stream_error_on_invalid_http_message", "custom_settings_parameters", "max_header_field_size_kb", "connection_keepalive",
		"stream_reset_burst", "stream_reset_rate", "disallow_obs_text", "enable_huffman_encoding",
		// There is one codec.
		"use_oghttp2_codec",
	}}
}

// Parse changes s to what msg says; nil says nothing. Fields that are not implemented
// go to errs. Main goroutine.
func Parse(msg *corev3.Http2ProtocolOptions, s *h2.Settings, path conf.Path, errs *conf.Errors) {
	if msg == nil {
		return
	}
	conf.Check(msg, Fields(), path, errs)
	set32(&s.HeaderTableSize, msg.GetHpackTableSize())
	set32(&s.MaxConcurrentStreams, msg.GetMaxConcurrentStreams())
	set32(&s.InitialStreamWindow, msg.GetInitialStreamWindowSize())
	set32(&s.InitialConnectionWindow, msg.GetInitialConnectionWindowSize())
	set(&s.MaxOutboundFrames, msg.GetMaxOutboundFrames())
	set(&s.MaxOutboundControlFrames, msg.GetMaxOutboundControlFrames())
	set(&s.MaxConsecutiveEmptyInboundFrames, msg.GetMaxConsecutiveInboundFramesWithEmptyPayload())
	set(&s.MaxInboundPriorityFramesPerStream, msg.GetMaxInboundPriorityFramesPerStream())
	set(&s.MaxInboundWindowUpdateFramesPerDataFrameSent, msg.GetMaxInboundWindowUpdateFramesPerDataFrameSent())
	set(&s.MaxHeaderFieldKB, msg.GetMaxHeaderFieldSizeKb())
	s.AllowConnect, s.AllowMetadata = msg.GetAllowConnect(), msg.GetAllowMetadata()
	if msg.GetMaxMetadataSize() != nil {
		s.MaxMetadataSize = int(msg.GetMaxMetadataSize().GetValue())
	}
	if v := msg.GetStreamResetBurst(); v != nil {
		s.StreamResetBurst = v.GetValue()
	}
	if v := msg.GetStreamResetRate(); v != nil {
		s.StreamResetRate = v.GetValue()
	}
	s.DisallowObsText = msg.GetDisallowObsText().GetValue()
	if v := msg.GetEnableHuffmanEncoding(); v != nil {
		s.Huffman = h2.HuffmanNever
		if v.GetValue() {
			s.Huffman = h2.HuffmanAlways
		}
	}
	s.StreamErrorOnInvalidMessaging = msg.GetStreamErrorOnInvalidHttpMessaging()
	if override := msg.GetOverrideStreamErrorOnInvalidHttpMessage(); override != nil {
		s.StreamErrorOnInvalidMessaging = override.GetValue()
	}
	custom(msg, s, path.Field("custom_settings_parameters"), errs)
}

// KeepAlive returns when the connection is pinged, nil for never. Main goroutine.
func KeepAlive(msg *corev3.Http2ProtocolOptions) *keepalive.Settings {
	k := msg.GetConnectionKeepalive()
	if k == nil {
		return nil
	}
	percent := float64(keepalive.DefaultJitter)
	if j := k.GetIntervalJitter(); j != nil {
		percent = j.GetValue()
	}
	interval := k.GetInterval().AsDuration()
	return &keepalive.Settings{
		Interval: interval, Jitter: time.Duration(float64(interval) * percent / 100),
		Timeout: k.GetTimeout().AsDuration(), IdleInterval: k.GetConnectionIdleInterval().AsDuration(),
	}
}

// The settings of RFC 9113, section 6.5.2, and RFC 8441 that are not only passed on.
const (
	settingHeaderTableSize       = 1
	settingEnablePush            = 2
	settingMaxConcurrentStreams  = 3
	settingInitialWindowSize     = 4
	settingEnableConnectProtocol = 8
)

// custom reads settings that are given by number. Those that have a field of their own
// mean that field.
func custom(msg *corev3.Http2ProtocolOptions, s *h2.Settings, path conf.Path, errs *conf.Errors) {
	seen := map[uint16]uint32{}
	for i, p := range msg.GetCustomSettingsParameters() {
		at, id, value := path.Index(i), uint16(p.GetIdentifier().GetValue()), p.GetValue().GetValue()
		if before, again := seen[id]; again && before != value {
			errs.Add(at, "setting %d is there with another value already", id)
		}
		seen[id] = value
		field, taken := "", false
		switch id {
		case settingHeaderTableSize:
			field, taken, s.HeaderTableSize = "hpack_table_size", msg.HpackTableSize != nil, value
		case settingMaxConcurrentStreams:
			field, taken, s.MaxConcurrentStreams = "max_concurrent_streams", msg.MaxConcurrentStreams != nil, value
		case settingInitialWindowSize:
			field, taken, s.InitialStreamWindow = "initial_stream_window_size", msg.InitialStreamWindowSize != nil, value
		case settingEnableConnectProtocol:
			field, taken = "allow_connect", true
		case settingEnablePush:
			if value == 1 {
				errs.Add(at, "server push is not supported")
			}
		default:
			s.Custom = append(s.Custom, h2.Setting{ID: id, Value: value})
		}
		if taken {
			errs.Add(at, "setting %d is set by %s", id, field)
		}
	}
}

func set32(to *uint32, v *wrapperspb.UInt32Value) {
	if v != nil {
		*to = v.GetValue()
	}
}

func set(to *int, v *wrapperspb.UInt32Value) {
	if v != nil {
		*to = int(v.GetValue())
	}
}
