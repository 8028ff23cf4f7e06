package addr

import (
	"encoding/binary"
	"math"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A State is the moment in the life of a socket at which an option is set.
type State uint8

// The states, in their order. A connection never gets to Listening.
const (
	PreBind State = iota
	Bound
	Listening
)

// A SocketOption is set as it stands, by setsockopt.
type SocketOption struct {
	Level, Name int
	Value       []byte // as the system takes it
	State       State
	// SkipIPv4 and SkipIPv6: not on sockets of that kind. A Unix socket has neither.
	SkipIPv4, SkipIPv6 bool
}

func optionFields() conf.Fields {
	return conf.Fields{Message: "envoy.config.core.v3.SocketOption", Names: []string{
		"description", "level", "name", "int_value", "buf_value", "state", "type", "ip_version"}}
}

// ParseOptions reads the socket options that apply to stream sockets.
func ParseOptions(msgs []*corev3.SocketOption, path conf.Path, errs *conf.Errors) []SocketOption {
	var options []SocketOption
	for i, msg := range msgs {
		at := path.Index(i)
		conf.Check(msg, optionFields(), at, errs)
		if msg.GetType().GetDatagram() != nil {
			continue
		}
		o := SocketOption{
			Level:    int32Field(msg.GetLevel(), at.Field("level"), errs),
			Name:     int32Field(msg.GetName(), at.Field("name"), errs),
			State:    State(msg.GetState()),
			SkipIPv4: msg.GetIpVersion() == corev3.SocketOption_SOCKET_IP_VERSION_IPV6,
			SkipIPv6: msg.GetIpVersion() == corev3.SocketOption_SOCKET_IP_VERSION_IPV4,
		}
		switch v := msg.GetValue().(type) {
		case *corev3.SocketOption_IntValue:
			o.Value = binary.NativeEndian.AppendUint32(nil, uint32(int32Field(v.IntValue, at.Field("int_value"), errs)))
		case *corev3.SocketOption_BufValue:
			o.Value = v.BufValue
		default:
			errs.Add(at, "one of int_value and buf_value must be set")
		}
		options = append(options, o)
	}
	return options
}

func int32Field(v int64, path conf.Path, errs *conf.Errors) int {
	if v < math.MinInt32 || v > math.MaxInt32 {
		errs.Add(path, "must fit in 32 bits, is %d", v)
	}
	return int(int32(v))
}

// A KeepAlive configures TCP keep-alive probes. The zero KeepAlive leaves the
// system's default: none.
type KeepAlive struct {
	Enabled bool
	// The system's default where zero.
	Probes         int
	Idle, Interval time.Duration // whole seconds
}

// ParseKeepAlive reads msg, which may be nil. A value of 0 in any field turns
// keep-alive off.
func ParseKeepAlive(msg *corev3.TcpKeepalive, path conf.Path, errs *conf.Errors) KeepAlive {
	if msg == nil {
		return KeepAlive{}
	}
	k := KeepAlive{Enabled: true}
	value := func(v *wrapperspb.UInt32Value, name string) int {
		if v != nil && v.GetValue() == 0 {
			k.Enabled = false
		}
		if v.GetValue() > math.MaxInt16 {
			errs.Add(path.Field(name), "must be at most %d, is %d", math.MaxInt16, v.GetValue())
		}
		return int(v.GetValue())
	}
	k.Probes = value(msg.GetKeepaliveProbes(), "keepalive_probes")
	k.Idle = time.Duration(value(msg.GetKeepaliveTime(), "keepalive_time")) * time.Second
	k.Interval = time.Duration(value(msg.GetKeepaliveInterval(), "keepalive_interval")) * time.Second
	if !k.Enabled {
		return KeepAlive{}
	}
	return k
}
