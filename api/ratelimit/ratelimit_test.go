package ratelimit

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// formats compiles a text to itself, and a text like %name% to a request header.
type formats struct{}

type header struct{ text string }

func (f header) Append(dst []byte, e *format.Entry) []byte {
	if !strings.HasPrefix(f.text, "%") {
		return append(dst, f.text...)
	}
	value, _ := e.Request.Find(strings.Trim(f.text, "%"))
	return append(dst, value...)
}

func (header) Literal() (string, bool) { return "", false }

func (formats) Compile(text string) (format.Format, error) {
	if strings.Trim(text, "%") == "NOPE" {
		return nil, errors.New("no operator NOPE")
	}
	return header{text}, nil
}

// With returns f: it knows no formatters.
func (f formats) With([]*corev3.TypedExtensionConfig, conf.Path, *conf.Errors) format.Compiler {
	return f
}

func (f formats) FromProto(msg *corev3.SubstitutionFormatString, path conf.Path, errs *conf.Errors) format.Format {
	out, err := f.Compile(msg.GetTextFormatSource().GetInlineString())
	if err != nil {
		errs.Add(path.Field("text_format_source"), "%v", err)
	}
	if !msg.GetOmitEmptyValues() {
		errs.Add(path, "empty values are printed")
	}
	return out
}

type extra struct{}

func (extra) Describe(r *Request) (Entry, bool) {
	return Entry{"extra", r.Request.Get(httpmsg.Method)}, true
}

func parse(t *testing.T, json string, fields conf.Fields, formatted bool) (*Policy, conf.Errors) {
	t.Helper()
	cfg := &routev3.RateLimit{}
	if err := protojson.Unmarshal([]byte(json), cfg); err != nil {
		t.Fatalf("%s: %v", json, err)
	}
	var errs conf.Errors
	p := NewPolicy([]*routev3.RateLimit{cfg}, fields, Context{ServiceCluster: "me", Formats: formats{}, FormatValues: formatted,
		Extension: func(*corev3.TypedExtensionConfig, conf.Path, *conf.Errors) Action { return extra{} },
	}, conf.Path{}.Field("rate_limits"), &errs)
	return p, errs
}

func request(remote string) *Request {
	h := &httpmsg.Headers{}
	for _, f := range [][2]string{{":method", "GET"}, {":path", "/p?a=1&b=%41%zz%4&a=2&%63=x&d"}, {":authority", "host"}, {"one", "first"}, {"one", "second"}, {"empty", ""}} {
		h.Add(f[0], f[1])
	}
	value, err := structpb.NewStruct(map[string]any{"x": map[string]any{"y": "deep"}, "n": 3,
		"limit": map[string]any{"requests_per_unit": 42, "unit": "HOUR"}, "bad": map[string]any{"requests_per_unit": -1, "unit": "HOUR"}})
	if err != nil {
		panic(err)
	}
	s := &streaminfo.Stream{Downstream: &streaminfo.Connection{}, Metadata: map[string]*structpb.Struct{"ns": value},
		RouteMetadata: map[string]*structpb.Struct{"route": value}}
	if strings.HasPrefix(remote, "/") {
		s.Downstream.Remote = address.Unix(remote)
	} else if remote != "" {
		s.Downstream.Remote = address.FromAddrPort(netip.MustParseAddrPort(remote))
	}
	return &Request{Entry: &format.Entry{Request: h, Stream: s}, Cluster: "backend", HasCluster: true}
}

// describe prints the descriptors of a request.
func describe(p *Policy, r *Request) string {
	var all []string
	for stage := range uint32(MaxStage + 1) {
		for _, u := range p.Stage(stage) {
			for _, d := range u.Append(nil, r) {
				text := fmt.Sprint(d.Entries)
				if d.HasHits {
					text += fmt.Sprint(" hits ", d.Hits, d.Refund)
				}
				if d.HasOverride {
					text += fmt.Sprint(" limit ", d.Override.RequestsPerUnit, d.Override.Unit)
				}
				if d.Headers != Inherit {
					text += fmt.Sprint(" headers ", d.Headers)
				}
				all = append(all, text)
			}
		}
	}
	return strings.Join(all, "; ")
}

// TestActions has actions and the descriptor of a request; "" for none. A real Envoy
// gave the same descriptors.
func TestActions(t *testing.T) {
	const path = `{"key": "ns", "path": [{"key": "x"}, {"key": "y"}]}`
	const missing = `{"key": "ns", "path": [{"key": "n"}]}`
	for _, tc := range []struct{ actions, remote, want string }{
		{`{"source_cluster": {}}, {"destination_cluster": {}}`, "", "[{source_cluster me} {destination_cluster backend}]"},
		{`{"request_headers": {"header_name": "One", "descriptor_key": "k"}}`, "", "[{k first}]"},
		{`{"request_headers": {"header_name": "host", "descriptor_key": "k"}}`, "", "[{k host}]"},
		{`{"request_headers": {"header_name": "empty", "descriptor_key": "k"}}`, "", "[{k }]"},
		{`{"request_headers": {"header_name": "none", "descriptor_key": "k"}}`, "", ""},
		{`{"request_headers": {"header_name": "none", "descriptor_key": "k", "skip_if_absent": true}}, {"source_cluster": {}}`, "", "[{source_cluster me}]"},
		{`{"query_parameters": {"query_parameter_name": "a", "descriptor_key": "k"}}`, "", "[{k 1}]"},
		{`{"query_parameters": {"query_parameter_name": "b", "descriptor_key": "k"}}`, "", "[{k A%zz%4}]"},
		{`{"query_parameters": {"query_parameter_name": "c", "descriptor_key": "k"}}`, "", "[{k x}]"},
		{`{"query_parameters": {"query_parameter_name": "d", "descriptor_key": "k"}}`, "", "[{k }]"},
		{`{"query_parameters": {"query_parameter_name": "e", "descriptor_key": "k"}}`, "", ""},
		{`{"query_parameters": {"query_parameter_name": "e", "descriptor_key": "k", "skip_if_absent": true}}`, "", "[]"},
		{`{"remote_address": {}}, {"masked_remote_address": {}}`, "10.1.2.3:80", "[{remote_address 10.1.2.3} {masked_remote_address 10.1.2.3/32}]"},
		{`{"remote_address": {}}, {"masked_remote_address": {"v4_prefix_mask_len": 24, "v6_prefix_mask_len": 64}}`, "[2001:db8::1:2:3:4]:80",
			"[{remote_address 2001:db8::1:2:3:4} {masked_remote_address 2001:db8::/64}]"},
		{`{"masked_remote_address": {"v4_prefix_mask_len": 0}}`, "10.1.2.3:80", "[{masked_remote_address 0.0.0.0/0}]"},
		{`{"remote_address": {}}`, "/tmp/socket", ""},
		{`{"masked_remote_address": {}}`, "/tmp/socket", ""},
		{`{"generic_key": {"descriptor_value": "v"}}, {"generic_key": {"descriptor_key": "k", "descriptor_value": "%one%"}}`, "", "[{generic_key v} {k %one%}]"},
		{`{"header_value_match": {"descriptor_value": "v", "headers": [{"name": "one"}, {"name": "none", "invert_match": true}]}}`, "", "[{header_match v}]"},
		{`{"header_value_match": {"descriptor_value": "v", "descriptor_key": "k", "expect_match": false, "headers": [{"name": "none"}]}}`, "", "[{k v}]"},
		{`{"header_value_match": {"descriptor_value": "v", "headers": [{"name": "none"}]}}`, "", ""},
		{`{"query_parameter_value_match": {"descriptor_value": "v", "query_parameters": [{"name": "c", "string_match": {"exact": "x"}}]}}`, "", "[{query_match v}]"},
		{`{"query_parameter_value_match": {"descriptor_value": "v", "expect_match": false, "query_parameters": [{"name": "c"}]}}`, "", ""},
		{`{"remote_address_match": {"descriptor_value": "v", "address_matcher": {"ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}}}`, "10.9.9.9:1", "[{remote_address_match v}]"},
		{`{"remote_address_match": {"descriptor_value": "%one%", "address_matcher": {"ranges": [{"address_prefix": "11.0.0.0", "prefix_len": 8}], "invert_match": true}}}`, "10.9.9.9:1", "[{remote_address_match first}]"},
		{`{"remote_address_match": {"descriptor_value": "%none%", "default_value": "d", "address_matcher": {"ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}}}`, "10.9.9.9:1", "[{remote_address_match d}]"},
		{`{"remote_address_match": {"descriptor_value": "%none%", "address_matcher": {"ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}}}`, "10.9.9.9:1", ""},
		{`{"remote_address_match": {"descriptor_value": "v", "address_matcher": {"ranges": [], "invert_match": true}}}`, "/tmp/socket", ""},
		{`{"metadata": {"descriptor_key": "k", "metadata_key": ` + path + `}}`, "", "[{k deep}]"},
		{`{"dynamic_metadata": {"descriptor_key": "k", "metadata_key": ` + path + `}}`, "", "[{k deep}]"},
		{`{"metadata": {"descriptor_key": "k", "source": "ROUTE_ENTRY", "metadata_key": {"key": "route", "path": [{"key": "x"}, {"key": "y"}]}}}`, "", "[{k deep}]"},
		{`{"metadata": {"descriptor_key": "k", "source": "ROUTE_ENTRY", "metadata_key": ` + path + `}}`, "", ""},
		{`{"metadata": {"descriptor_key": "k", "metadata_key": ` + missing + `}}`, "", ""},
		{`{"metadata": {"descriptor_key": "k", "skip_if_absent": true, "metadata_key": ` + missing + `}}, {"source_cluster": {}}`, "", "[{source_cluster me}]"},
		{`{"dynamic_metadata": {"descriptor_key": "k", "default_value": "d", "metadata_key": ` + missing + `}}`, "", "[{k d}]"},
		{`{"extension": {"name": "x"}}`, "", "[{extra GET}]"},
	} {
		p, errs := parse(t, `{"actions": [`+tc.actions+`]}`, RouteFields(), false)
		if errs.Err() != nil {
			t.Fatalf("%s: %v", tc.actions, errs)
		}
		if got := describe(p, request(tc.remote)); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.actions, got, tc.want)
		}
	}
}

func TestNoCluster(t *testing.T) {
	p, _ := parse(t, `{"actions": [{"destination_cluster": {}}]}`, RouteFields(), false)
	r := request("")
	r.HasCluster = false
	if got := describe(p, r); got != "" {
		t.Error(got)
	}
}

// TestFormattedValues has the runtime flag set.
func TestFormattedValues(t *testing.T) {
	for _, tc := range []struct{ value, want string }{
		{`"descriptor_value": "%one%"`, "[{generic_key first}]"},
		{`"descriptor_value": "%none%"`, ""},
		{`"descriptor_value": "%none%", "default_value": "d"`, "[{generic_key d}]"},
	} {
		p, errs := parse(t, `{"actions": [{"generic_key": {`+tc.value+`}}]}`, RouteFields(), true)
		if got := describe(p, request("")); errs.Err() != nil || got != tc.want {
			t.Errorf("%s: got %q, want %q (%v)", tc.value, got, tc.want, errs)
		}
	}
}

func TestRules(t *testing.T) {
	const action = `"actions": [{"source_cluster": {}}]`
	for _, tc := range []struct{ rule, want string }{
		{`{"stage": 3, ` + action + `}`, "[{source_cluster me}]"},
		{`{"hits_addend": {"number": "5", "is_negative_hits": true}, ` + action + `}`, "[{source_cluster me}] hits 5 true"},
		{`{"hits_addend": {"format": "%one%"}, ` + action + `}`, ""},
		{`{"hits_addend": {"format": "%none%"}, ` + action + `}`, ""},
		{`{"x_ratelimit_option": "OFF", ` + action + `}`, "[{source_cluster me}] headers 1"},
		{`{"x_ratelimit_option": "DRAFT_VERSION_03", ` + action + `}`, "[{source_cluster me}] headers 2"},
		{`{"limit": {"rate_limit": {"requests_per_unit": 3, "unit": "DAY"}}, ` + action + `}`, "[{source_cluster me}] limit 3 DAY"},
		{`{"limit": {"dynamic_metadata": {"metadata_key": {"key": "ns", "path": [{"key": "limit"}]}}}, ` + action + `}`, "[{source_cluster me}] limit 42 HOUR"},
		{`{"limit": {"dynamic_metadata": {"metadata_key": {"key": "ns", "path": [{"key": "bad"}]}}}, ` + action + `}`, "[{source_cluster me}]"},
		{`{"limit": {"dynamic_metadata": {"metadata_key": {"key": "ns", "path": [{"key": "none"}]}}}, ` + action + `}`, "[{source_cluster me}]"},
	} {
		fields := RouteFields()
		fields.Names = append(fields.Names, "hits_addend")
		p, errs := parse(t, tc.rule, fields, false)
		if got := describe(p, request("")); errs.Err() != nil || got != tc.want {
			t.Errorf("%s: got %q, want %q (%v)", tc.rule, got, tc.want, errs)
		}
	}
	for text, want := range map[string]string{"0": "hits 0", "1.9": "hits 1", "1000000000": "hits 1000000000", "1000000001": "", "-1": "", "x": "", "": "", "NaN": ""} {
		p, _ := parse(t, `{"hits_addend": {"format": "%n%"}, `+action+`}`, FilterFields(), false)
		r := request("")
		r.Request.Add("n", text)
		if got := describe(p, r); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("format gives %q: got %q, want %q", text, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	const action = `"actions": [{"source_cluster": {}}]`
	for _, tc := range []struct {
		rule   string
		fields conf.Fields
		want   string
	}{
		{`{"stage": 11, ` + action + `}`, RouteFields(), "rate_limits[0].stage: must be at most 10"},
		{`{"stage": 1, "disable_key": "x", "limit": {}, ` + action + `}`, FilterFields(),
			"rate_limits[0].stage: field stage is not implemented\nrate_limits[0].disable_key: field disable_key is not implemented\nrate_limits[0].limit: field limit is not implemented"},
		{`{"hits_addend": {"number": "1"}, ` + action + `}`, RouteFields(), "rate_limits[0].hits_addend: field hits_addend is not implemented"},
		{`{"hits_addend": {"number": "1", "format": "%x%"}, ` + action + `}`, FilterFields(), "rate_limits[0].hits_addend: must have either a format or a number"},
		{`{"hits_addend": {}, ` + action + `}`, FilterFields(), "rate_limits[0].hits_addend: must have either a format or a number"},
		{`{"hits_addend": {"format": "%x%%y%"}, ` + action + `}`, FilterFields(), "rate_limits[0].hits_addend.format: must be exactly one operator"},
		{`{"hits_addend": {"format": "12"}, ` + action + `}`, FilterFields(), "rate_limits[0].hits_addend.format: must be exactly one operator"},
		{`{"hits_addend": {"format": "%NOPE%"}, ` + action + `}`, FilterFields(), "rate_limits[0].hits_addend.format: no operator NOPE"},
		{`{"actions": [{}]}`, FilterFields(), "rate_limits[0].actions[0]: one of the actions is required"},
		{`{"actions": [{"dynamic_metadata": {"descriptor_key": "k", "metadata_key": {"key": "k", "path": [{"key": "x"}]}}}]}`, FilterFields(),
			"rate_limits[0].actions[0].dynamic_metadata: field dynamic_metadata is not implemented"},
		{`{"actions": [{"metadata": {"descriptor_key": "k", "metadata_key": {"key": "k", "path": [{"key": "x"}, {"key": ""}]}}}]}`, FilterFields(),
			"rate_limits[0].actions[0].metadata.metadata_key.path[1].key: must not be empty"},
		{`{"actions": [{"remote_address_match": {"descriptor_value": "v", "address_matcher": {"ranges": [{"address_prefix": "x"}]}}}]}`, FilterFields(),
			"rate_limits[0].actions[0].remote_address_match.address_matcher.ranges[0].address_prefix: malformed IP address: x"},
	} {
		if _, errs := parse(t, tc.rule, tc.fields, false); errs.Error() != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.rule, errs.Error(), tc.want)
		}
	}
	for _, f := range []conf.Fields{RouteFields(), FilterFields()} {
		if _, _, err := f.Split((&routev3.RateLimit{}).ProtoReflect().Descriptor()); err != nil {
			t.Error(err)
		}
	}
}

func TestEmpty(t *testing.T) {
	var none *Policy
	p, _ := parse(t, `{"stage": 3, "actions": [{"source_cluster": {}}]}`, RouteFields(), false)
	if !none.Empty() || p.Empty() || none.Stage(0) != nil || len(p.Stage(0)) != 0 || len(p.Stage(3)) != 1 {
		t.Error("empty")
	}
	if NewPolicy(nil, RouteFields(), Context{}, conf.Path{}, nil) != nil {
		t.Error("a policy without rules")
	}
}

// TestAppendUsesMemoryAgain also checks that nothing of an earlier descriptor is left.
func TestAppendUsesMemoryAgain(t *testing.T) {
	full, _ := parse(t, `{"hits_addend": {"number": "5"}, "x_ratelimit_option": "OFF", "actions": [{"source_cluster": {}}, {"destination_cluster": {}}, {"remote_address": {}}]}`, FilterFields(), false)
	plain, _ := parse(t, `{"actions": [{"generic_key": {"descriptor_value": "v"}}]}`, FilterFields(), false)
	r := request("10.0.0.1:1")
	list := full.Stage(0)[0].Append(nil, r)
	list = plain.Stage(0)[0].Append(list[:0], r)
	if len(list) != 1 || len(list[0].Entries) != 1 || list[0].HasHits || list[0].Headers != Inherit {
		t.Errorf("%+v", list)
	}
	if n := testing.AllocsPerRun(100, func() { list = full.Stage(0)[0].Append(list[:0], r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
