package addr_test

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/internal/addr"
)

func parse[M proto.Message](t *testing.T, json string, msg M) M {
	t.Helper()
	if err := protojson.Unmarshal([]byte(json), msg); err != nil {
		t.Fatalf("%s: %v", json, err)
	}
	return msg
}

// checkErrors expects one error per line of want.
func checkErrors(t *testing.T, input string, errs conf.Errors, want string) {
	t.Helper()
	if got := errs.Error(); got != want {
		t.Errorf("%s:\ngot  %s\nwant %s", input, got, want)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		json, address, errors string
	}{
		{`{"socket_address":{"address":"127.0.0.1","port_value":80}}`, "127.0.0.1:80", ""},
		{`{"socket_address":{"address":"::1","port_value":0,"ipv4_compat":true}}`, "[::1]:0", ""},
		{`{"socket_address":{"address":"::ffff:10.0.0.1","port_value":1}}`, "10.0.0.1:1", ""},
		{`{"socket_address":{"address":"fe80::1%1","port_value":1}}`, "[fe80::1%1]:1", ""},
		{`{"pipe":{"path":"/tmp/s","mode":384}}`, "/tmp/s", ""},
		{`{"pipe":{"path":"@abstract"}}`, "@abstract", ""},
		{`{}`, "", "a: one of socket_address and pipe must be set"},
		{`{"socket_address":{"address":"example.com","port_value":80}}`, "", "a.socket_address.address: malformed IP address: " +
			"example.com. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'"},
		{`{"socket_address":{"port_value":80}}`, "", "a.socket_address.address: must not be empty"},
		{`{"socket_address":{"address":"1.2.3.4","port_value":65536}}`, "", "a.socket_address.port_value: must be at most 65535, is 65536"},
		{`{"socket_address":{"address":"1.2.3.4","named_port":"http","resolver_name":"x"}}`, "1.2.3.4:0",
			"a.socket_address.named_port: field named_port is not implemented\n" +
				"a.socket_address.resolver_name: field resolver_name is not implemented"},
		{`{"envoy_internal_address":{"server_listener_name":"x"}}`, "envoy://x/", ""},
		{`{"envoy_internal_address":{"server_listener_name":"x","endpoint_id":"1"}}`, "envoy://x/1", ""},
		{`{"envoy_internal_address":{"endpoint_id":"1"}}`, "envoy:///1", "a.envoy_internal_address.server_listener_name: must be set"},
		{`{"pipe":{"path":""}}`, "", "a.pipe.path: must not be empty"},
		{`{"pipe":{"path":"/` + strings.Repeat("x", 103) + `"}}`, "-", "a.pipe.path: must be at most 103 bytes long, is 104"},
		{`{"pipe":{"path":"@x","mode":384}}`, "@x", "a.pipe.mode: an abstract socket has no mode"},
		{`{"pipe":{"path":"/x","mode":512}}`, "/x", "a.pipe.mode: must be at most 511 (0777), is 512"},
	} {
		var errs conf.Errors
		s := addr.Parse(parse(t, c.json, &corev3.Address{}), conf.Path{}.Field("a"), &errs)
		checkErrors(t, c.json, errs, c.errors)
		if s.Address.String() != c.address && c.address != "-" {
			t.Errorf("%s: address %q", c.json, s.Address)
		}
	}
}

func TestParseDetails(t *testing.T) {
	var errs conf.Errors
	s := addr.ParseName(parse(t, `{"socket_address":{"address":"a.example","port_value":80,"protocol":"UDP","ipv4_compat":true}}`,
		&corev3.Address{}), conf.Path{}, &errs)
	if s.Host != "a.example" || s.Port != 80 || !s.UDP || !s.IPv4Compat || s.Address.IsValid() || errs.Err() != nil {
		t.Errorf("%+v, %v", s, errs)
	}
	s = addr.Parse(parse(t, `{"pipe":{"path":"/x","mode":384}}`, &corev3.Address{}), conf.Path{}, &errs)
	if s.Mode != 0o600 || s.UDP || s.Host != "" || errs.Err() != nil {
		t.Errorf("%+v, %v", s, errs)
	}
	if s = addr.Parse(nil, conf.Path{}, &errs); s.Address.IsValid() || len(errs) != 1 {
		t.Errorf("no message: %+v, %v", s, errs)
	}
}

func TestParseRanges(t *testing.T) {
	var errs conf.Errors
	var msgs []*corev3.CidrRange
	for _, json := range []string{
		`{"address_prefix":"10.1.2.3","prefix_len":8}`, `{"address_prefix":"10.1.2.3","prefix_len":99}`, `{"address_prefix":"10.1.2.3"}`,
		`{"address_prefix":"2001:db8::1","prefix_len":32}`, `{"address_prefix":"::ffff:10.1.2.3","prefix_len":104}`,
		`{"address_prefix":"x","prefix_len":8}`, `{"prefix_len":8}`,
	} {
		msgs = append(msgs, parse(t, json, &corev3.CidrRange{}))
	}
	var got []string
	for _, p := range addr.ParseRanges(msgs, conf.Path{}.Field("r"), &errs) {
		got = append(got, p.String())
	}
	if want := "10.0.0.0/8 10.1.2.3/32 0.0.0.0/0 2001:db8::/32 10.0.0.0/8"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	checkErrors(t, "ranges", errs, "r[5].address_prefix: malformed IP address: x\nr[6].address_prefix: malformed IP address: ")
}

func TestParseOptions(t *testing.T) {
	var errs conf.Errors
	var msgs []*corev3.SocketOption
	for _, json := range []string{
		`{"description":"d","level":"1","name":"2","int_value":"-3","state":"STATE_LISTENING"}`,
		`{"level":"1","name":"2","buf_value":"AQI=","type":{"stream":{}},"ip_version":"SOCKET_IP_VERSION_IPV4"}`,
		`{"level":"1","name":"2","int_value":"1","type":{"datagram":{}}}`,
		`{"level":"1","name":"2","int_value":"1","state":"STATE_BOUND","ip_version":"SOCKET_IP_VERSION_IPV6"}`,
	} {
		msgs = append(msgs, parse(t, json, &corev3.SocketOption{}))
	}
	native := func(v int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(v)) }
	got := addr.ParseOptions(msgs, conf.Path{}, &errs)
	want := []addr.SocketOption{
		{Level: 1, Name: 2, Value: native(-3), State: addr.Listening},
		{Level: 1, Name: 2, Value: []byte{1, 2}, SkipIPv6: true},
		{Level: 1, Name: 2, Value: native(1), State: addr.Bound, SkipIPv4: true},
	}
	if !reflect.DeepEqual(got, want) || errs.Err() != nil {
		t.Errorf("%+v, %v", got, errs)
	}
	addr.ParseOptions([]*corev3.SocketOption{parse(t, `{"level":"4294967296","name":"1"}`, &corev3.SocketOption{})},
		conf.Path{}.Field("o"), &errs)
	checkErrors(t, "options", errs, "o[0].level: must fit in 32 bits, is 4294967296\no[0]: one of int_value and buf_value must be set")
}

func TestParseKeepAlive(t *testing.T) {
	for _, c := range []struct {
		json string
		want addr.KeepAlive
	}{
		{`{}`, addr.KeepAlive{Enabled: true}},
		{`{"keepalive_probes":3,"keepalive_time":60,"keepalive_interval":5}`,
			addr.KeepAlive{Enabled: true, Probes: 3, Idle: time.Minute, Interval: 5 * time.Second}},
		{`{"keepalive_probes":0,"keepalive_time":60}`, addr.KeepAlive{}},
	} {
		var errs conf.Errors
		if got := addr.ParseKeepAlive(parse(t, c.json, &corev3.TcpKeepalive{}), conf.Path{}, &errs); got != c.want || errs.Err() != nil {
			t.Errorf("%s: %+v, %v", c.json, got, errs)
		}
	}
	var errs conf.Errors
	if got := addr.ParseKeepAlive(nil, conf.Path{}, &errs); got.Enabled {
		t.Error("enabled without a message")
	}
	addr.ParseKeepAlive(parse(t, `{"keepalive_time":32768}`, &corev3.TcpKeepalive{}), conf.Path{}.Field("k"), &errs)
	checkErrors(t, "keep-alive", errs, "k.keepalive_time: must be at most 32767, is 32768")
}

func TestFields(t *testing.T) {
	for _, f := range addr.Fields() {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(f.Message)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Split(d.(protoreflect.MessageDescriptor)); err != nil {
			t.Error(err)
		}
	}
}
