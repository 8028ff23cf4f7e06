package proxyprotocol

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/testkit/listenerfilter"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

const ipv4 = "\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\x07\xd0"

var ipv6 = "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01" + "\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x02" + "\x03\xe8\x07\xd0"

// v2 is a header of version 2.
func v2(versionCommand, family byte, body ...string) string {
	all := strings.Join(body, "")
	return signature2 + string([]byte{versionCommand, family, byte(len(all) >> 8), byte(len(all))}) + all
}

// pp is v2 of a TCP connection over IPv4.
func pp(tlvs ...string) string { return v2(0x21, 0x11, ipv4, strings.Join(tlvs, "")) }

func tlv(kind byte, value string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value)))) + value
}

type rig struct {
	*listenerfilter.Socket
	stats *metrics.Scope
}

func newRig(t testing.TB, text string) rig {
	msg := &proxyprotocolv3.ProxyProtocol{}
	if err := prototext.Unmarshal([]byte(text), msg); err != nil {
		t.Fatal(err)
	}
	stats := metrics.New(1)
	var errs conf.Errors
	build := Factory{}.BuildListenerFilter(msg, extension.NetworkContext{Context: extension.Context{Stats: stats}}, conf.Path{}, &errs)
	if errs.Err() != nil {
		t.Fatal(errs)
	}
	s := listenerfilter.New(loop.New(1), build())
	s.Accept()
	return rig{s, stats}
}

// String tells what became of the connection: the counters, the addresses if they
// changed, and what is left to read.
func (r rig) String() string {
	var parts []string
	for _, name := range r.stats.Names() {
		if r.stats.Value(name) == 1 {
			parts = append(parts, strings.TrimPrefix(strings.TrimPrefix(name, "proxy_proto."), "versions."))
		}
	}
	slices.Sort(parts)
	if r.Connection.Remote != r.Connection.DirectRemote {
		parts = append(parts, r.Connection.Remote.String(), r.Connection.Local.String())
	}
	if r.Done {
		parts = append(parts, fmt.Sprintf("%q", r.Data))
	}
	return strings.Join(parts, " ")
}

const (
	malformed1 = "downstream_cx_proxy_proto_error v1.error"
	malformed2 = "downstream_cx_proxy_proto_error v2.error"
	missing    = "downstream_cx_proxy_proto_error not_found_disallowed"
	restored1  = `v1.found 1.2.3.4:1000 5.6.7.8:2000 "hi"`
	restored2  = `v2.found 1.2.3.4:1000 5.6.7.8:2000 "hi"`
)

// recorded is what Envoy 1.40 does, "" for waiting.
var recorded = []struct{ data, want string }{
	{"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000\r\nhi", restored1},
	{"PROXY TCP6 2001:db8::1 ::1 1000 2000\r\nhi", `v1.found [2001:db8::1]:1000 [::1]:2000 "hi"`},
	{"PROXY UNKNOWN\r\nhi", `v1.found "hi"`},
	{"PROXY UNKNOWN a b c d e f\r\nhi", `v1.found "hi"`},
	{"PROXY  TCP4 1.2.3.4 5.6.7.8 1000 2000\r\nhi", malformed1},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 1000 2000 \r\nhi", restored1},
	{"PROXY", ""},
	{"PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\nhi", `v1.found "hi"`},
	{"PROXY UNKNOWN " + strings.Repeat("x", 93) + "\r\nhi", malformed1},
	{"PROXY UNKNOWN " + strings.Repeat("x", 200), missing},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 0 2000\r\nhi", `v1.found 1.2.3.4:0 5.6.7.8:2000 "hi"`},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 01000 2000\r\nhi", restored1},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 +1000 2000\r\nhi", restored1},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2000\r\nhi", malformed1},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 1000 99999\r\nhi", malformed1},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 1000 000000002000\r\nhi", restored1},
	{"PROXY TCP4 255.255.255.255 5.6.7.8 1 2000\r\nhi", malformed1},
	{"PROXY TCP4 224.0.0.1 5.6.7.8 1 2000\r\nhi", malformed1},
	{"PROXY TCP4 0.0.0.0 5.6.7.8 1 2000\r\nhi", malformed1},
	{"PROXY TCP4 01.2.3.4 5.6.7.8 1 2000\r\nhi", malformed1},
	{"PROXY TCP4 999.2.3.4 5.6.7.8 1 2000\r\nhi", malformed1},
	{"PROXY TCP4 1:2 5:6 1 2\r\nhi", malformed1},
	{"PROXY TCP4 ::1 ::1 1 2\r\nhi", malformed1},
	{"PROXY TCP6 1.2.3.4 5.6.7.8 1000 2000\r\nhi", malformed1},
	{"PROXY TCP6 fe80::1%1 ::1 1 2\r\nhi", `v1.found [fe80::1%1]:1 [::1]:2 "hi"`},
	{"PROXY TCP6 ff02::1 ::1 1 2\r\nhi", malformed1},
	{"PROXY TCP6 :: ::1 1 2\r\nhi", malformed1},
	{"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\nhi", malformed1},
	{"PROXY TCP4 1.2.3.4\r\nhi", malformed1},
	{"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\nhi", ""},
	{"PROXY\r\nhi aaaaaaaaaaaaaa", missing},
	{"PROXY\r\nhi", malformed1},
	{"PROXYTCP4 1.2.3.4 5.6.7.8 1 2\r\nhi", missing},
	{"PROXY\tTCP4 1.2.3.4 5.6.7.8 1 2\r\nhi", missing},
	{"PROXY UNKNOWNX\r\nhi", malformed1},
	{"proxy TCP4 1.2.3.4 5.6.7.8 1000 2000\r\nhi", missing},
	{"\r\nhi", ""}, {"\r\n\r\nhi", ""}, {"GET", ""}, {"GET /", ""},
	{"GET / HTTP/1.1\r\n\r\n", missing},

	{pp() + "hi", restored2},
	{v2(0x21, 0x12, ipv4) + "hi", restored2}, // UDP
	{v2(0x21, 0x21, ipv6) + "hi", `v2.found [2001:db8::1]:1000 [2001:db8::2]:2000 "hi"`},
	{v2(0x20, 0) + "hi", `v2.found "hi"`},
	{v2(0x20, 0x11, ipv4) + "hi", `v2.found "hi"`},
	{v2(0x20, 0, "abcdef") + "hi", `v2.found "hi"`},
	{v2(0x20, 0x77) + "hi", `v2.found "hi"`},
	{v2(0x21, 0) + "hi", malformed2},
	{v2(0x21, 0x31, strings.Repeat("\x00", 216)) + "hi", malformed2}, // Unix
	{v2(0x21, 0x51, ipv4) + "hi", malformed2},
	{v2(0x21, 0x10, ipv4) + "hi", malformed2},
	{v2(0x23, 0x11, ipv4) + "hi", malformed2},
	{v2(0x31, 0x11, ipv4) + "hi", malformed2},
	{v2(0x21, 0x11, ipv4[:6]) + "hi", malformed2},
	{v2(0x21, 0x11, "\xe0"+ipv4[1:]) + "hi", malformed2},
	{v2(0x21, 0x11, "\xff\xff\xff\xff"+ipv4[4:]) + "hi", malformed2},
	{v2(0x21, 0x11, "\x00\x00\x00\x00"+ipv4[4:]) + "hi", malformed2},
	{pp("\x02") + "hi", malformed2}, {pp("\x02\x00") + "hi", malformed2},
	{pp("\x02\x00\x00") + "hi", restored2}, {pp("\x02\x00\x05abc") + "hi", malformed2},
	{pp(tlv(9, strings.Repeat("y", 65535-15))) + "hi", restored2},
	{pp()[:16], ""}, {signature2, ""},
}

func TestRecorded(t *testing.T) {
	for _, tc := range recorded {
		r := newRig(t, "")
		r.Receive([]byte(tc.data))
		if got := r.String(); got != tc.want || r.Closed != strings.Contains(tc.want, "error") {
			t.Errorf("%.60q:\n got %s\nwant %s", tc.data, got, tc.want)
		}
	}
}

// TestSplit: good headers may come in any pieces.
func TestSplit(t *testing.T) {
	for _, tc := range recorded {
		if !strings.Contains(tc.want, "found ") || len(tc.data) > 1000 {
			continue
		}
		for at := range tc.data {
			r := newRig(t, "")
			r.Receive([]byte(tc.data[:at]))
			r.Receive([]byte(tc.data[at:]))
			if got := r.String(); got != tc.want {
				t.Errorf("%.60q, split at %d:\n got %s\nwant %s", tc.data, at, got, tc.want)
			}
		}
		r := newRig(t, "")
		for _, b := range []byte(tc.data) {
			r.Receive([]byte{b})
		}
		if got := r.String(); got != tc.want {
			t.Errorf("%.60q, byte for byte:\n got %s\nwant %s", tc.data, got, tc.want)
		}
	}
}

func TestOptions(t *testing.T) {
	const allow = "allow_requests_without_proxy_protocol: true "
	for _, tc := range []struct{ config, data, want string }{
		{allow, "GET", `not_found_allowed "GET"`},
		{allow, "\r\nhi", `not_found_allowed "\r\nhi"`},
		{allow, "PROXY", ""},
		{allow, signature2, ""},
		{allow, pp() + "hi", restored2},
		{allow, v2(0x23, 0x11, ipv4), malformed2},
		{`stat_prefix: "pre"`, pp() + "hi", strings.Replace(restored2, "v2", "pre.versions.v2", 1)},
		{"disallowed_versions: V2", pp(), "v2.disallowed v2.found"},
		{"disallowed_versions: V2", "PROXY UNKNOWN\r\n", `v1.found ""`},
		{"disallowed_versions: V1", "PROXY UNKNOWN\r\n", "v1.disallowed v1.found"},
		{"disallowed_versions: V2 " + allow, pp(), fmt.Sprintf("not_found_allowed %q", pp())},
	} {
		r := newRig(t, tc.config)
		r.Receive([]byte(tc.data))
		if got := r.String(); got != tc.want {
			t.Errorf("%s %.60q:\n got %s\nwant %s", tc.config, tc.data, got, tc.want)
		}
	}
}

func TestExtensions(t *testing.T) {
	const rules = `rules {tlv_type: 2 on_tlv_present {key: "auth"}} rules {tlv_type: 4}
		rules {tlv_type: 3 on_tlv_present {key: "b64" metadata_namespace: "x" value_string_encoding: BASE64}} `
	for _, tc := range []struct{ config, tlvs, metadata, state, kept string }{
		{rules, tlv(2, "foo\xff\xfe\xc3\xa9bar") + tlv(3, "\x00\x01") + tlv(9, "x"),
			`envoy.filters.listener.proxy_protocol auth=foo!!ébar|x b64=AAE=`, "", ""},
		{rules, tlv(2, "\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82"), "envoy.filters.listener.proxy_protocol auth=!!!!!!!!!", "", ""},
		{rules, tlv(2, "a") + tlv(2, "b"), "envoy.filters.listener.proxy_protocol auth=a", "", ""},
		{rules, tlv(4, "z"), "envoy.filters.listener.proxy_protocol =z", "", ""},
		{rules, "", "", "", ""},
		{rules + "tlv_location: FILTER_STATE", tlv(2, "a") + tlv(2, "b") + tlv(3, "\x00\x01"), "", `{"auth":"b","b64":"AAE="}`, ""},
		{"pass_through_tlvs {match_type: INCLUDE tlv_type: 2}", tlv(1, "x") + tlv(2, "a") + tlv(2, "b"), "", "", "2=a 2=b"},
		{"pass_through_tlvs {}", tlv(1, "x") + tlv(2, "a"), "", "", "1=x 2=a"},
	} {
		r := newRig(t, tc.config)
		r.Receive([]byte(pp(tc.tlvs)))
		var metadata, kept []string
		for name, s := range r.Streaminfo.Metadata {
			for k, v := range s.Fields {
				metadata = append(metadata, name+" "+k+"="+v.GetStringValue())
			}
		}
		slices.Sort(metadata)
		for _, x := range r.Connection.ProxyProtocol.TLVs {
			kept = append(kept, fmt.Sprintf("%d=%s", x.Type, x.Value))
		}
		state := ""
		if s, ok := r.Connection.FilterState["envoy.network.proxy_protocol.tlv"].(tlvState); ok {
			state = s.String()
			if s.Field("auth") != "b" || s.Field("none") != nil {
				t.Errorf("fields of %s", s)
			}
		}
		if got := strings.Join(metadata, "|"); got != tc.metadata || state != tc.state || strings.Join(kept, " ") != tc.kept {
			t.Errorf("%q: %s, %s, %s", tc.tlvs, got, state, kept)
		}
	}
}

// TestKept: the header is there for those that send one upstream.
func TestKept(t *testing.T) {
	for data, want := range map[string]string{
		pp():                                 "2 1.2.3.4:1000 5.6.7.8:2000",
		v2(0x20, 0):                          "2 127.0.0.1:1000 127.0.0.1:80",
		"PROXY UNKNOWN\r\n":                  "1 127.0.0.1:1000 127.0.0.1:80",
		"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n": "1 1.2.3.4:1 5.6.7.8:2",
	} {
		r := newRig(t, "")
		r.Receive([]byte(data))
		p := r.Connection.ProxyProtocol
		if got := fmt.Sprintf("%d %s %s", p.Version, p.Source, p.Destination); got != want {
			t.Errorf("%q: %s", data, got)
		}
	}
}

func TestConfig(t *testing.T) {
	var errs conf.Errors
	msg := &proxyprotocolv3.ProxyProtocol{
		Rules:              []*proxyprotocolv3.ProxyProtocol_Rule{{TlvType: 256, OnTlvPresent: &proxyprotocolv3.ProxyProtocol_KeyValuePair{}}},
		PassThroughTlvs:    &corev3.ProxyProtocolPassThroughTLVs{TlvType: []uint32{256}},
		DisallowedVersions: []corev3.ProxyProtocolConfig_Version{corev3.ProxyProtocolConfig_V1, corev3.ProxyProtocolConfig_V2},
	}
	if (Factory{}).BuildListenerFilter(msg, extension.NetworkContext{}, conf.Path{}, &errs) != nil {
		t.Error("built")
	}
	want := "rules[0].on_tlv_present.key: must not be empty\n" +
		"rules[0].tlv_type: must be less than 256, is 256\n" +
		"pass_through_tlvs.tlv_type[0]: must be less than 256, is 256\n" +
		"disallowed_versions: all versions are disallowed"
	if got := errs.Error(); got != want {
		t.Error(got)
	}
	if _, missing, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil || missing != nil {
		t.Error(missing, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		v, end, r := version(data)
		var h header
		switch v {
		case 0:
			if r == complete {
				t.Fatal("no version, but complete")
			}
			return
		case 1:
			h, r = readLine(data[:end])
		case 2:
			h, r = readBinary(data)
		}
		if r != complete {
			return
		}
		if h.size > len(data) || h.source.IsValid() != h.destination.IsValid() || !wellFormed(h.tlvs) {
			t.Fatalf("%+v", h)
		}
		// The header alone is the same header.
		if again, _, _ := version(data[:h.size]); again != v {
			t.Fatalf("version %d, then %d", v, again)
		}
		if v == 2 {
			again, r := readBinary(data[:h.size])
			if r != complete || again.source != h.source || !bytes.Equal(again.tlvs, h.tlvs) {
				t.Fatalf("%+v, then %+v", h, again)
			}
		}
	})
}
