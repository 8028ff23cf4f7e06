package xff

import (
	"net/netip"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	xffv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/xff/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

func cidrs(list ...string) *xffv3.XffTrustedCidrs {
	out := new(xffv3.XffTrustedCidrs)
	for _, text := range list {
		p := netip.MustParsePrefix(text)
		out.Cidrs = append(out.Cidrs, &corev3.CidrRange{AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))})
	}
	return out
}

// TestDetect has what a real Envoy logs as the client's address, and whether it takes
// the request for internal.
func TestDetect(t *testing.T) {
	hops := func(n uint32) *xffv3.XffConfig { return &xffv3.XffConfig{XffNumTrustedHops: n} }
	ranges := &xffv3.XffConfig{XffTrustedCidrs: cidrs("127.0.0.0/8", "192.168.0.0/16")}
	for _, c := range []struct {
		cfg     *xffv3.XffConfig
		lists   string // fields, separated by "|"
		want    string // "" for none
		trusted bool
	}{
		{hops(0), "10.1.1.1, 10.2.2.2", "10.2.2.2:0", false},
		{hops(0), "10.1.1.1", "10.1.1.1:0", true},
		{hops(0), "junk", "", true},
		{hops(0), "", "", false},
		{hops(1), "10.1.1.1, 10.2.2.2", "10.1.1.1:0", false},
		{hops(1), "10.1.1.1", "", false},
		{ranges, "10.1.1.1, 10.2.2.2, 192.168.1.1", "10.2.2.2:0", false},
		{ranges, "192.168.1.2,192.168.1.1", "192.168.1.2:0", false},
		{ranges, "10.9.9.9", "10.9.9.9:0", true},
		{ranges, "10.9.9.9, junk, 192.168.1.1", "", false},
		{ranges, "10.9.9.9|192.168.1.1", "10.9.9.9:0", false},
		{ranges, "10.9.9.9:80", "", true},
		{&xffv3.XffConfig{XffTrustedCidrs: cidrs("192.168.0.0/16")}, "10.9.9.9", "", false}, // the peer is not trusted
	} {
		var errs conf.Errors
		d := Factory{}.BuildOriginalIPDetection(c.cfg, extension.Context{}, conf.Path{}, &errs)
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		h := new(httpmsg.Headers)
		if c.lists != "" {
			for list := range strings.SplitSeq(c.lists, "|") {
				h.Add("x-forwarded-for", list)
			}
		}
		got := d.DetectIP(h, address.FromAddrPort(netip.MustParseAddrPort("127.0.0.1:5000")))
		text := ""
		if got.Address.IsValid() {
			text = got.Address.String()
		}
		if text != c.want || got.Trusted != c.trusted || got.Reject != 0 || got.AppendXFF {
			t.Errorf("%v, %q: got %s %+v", c.cfg, c.lists, text, got)
		}
	}
}

// TestLongListIsLinear has a list that would take minutes if each step began anew.
func TestLongListIsLinear(t *testing.T) {
	d := &detector{byRange: true, trusted: address.Ranges{netip.MustParsePrefix("10.0.0.0/8")}}
	h := new(httpmsg.Headers)
	h.Add("x-forwarded-for", "1.1.1.1"+strings.Repeat(",10.0.0.1", 500_000))
	if got := d.DetectIP(h, address.FromAddrPort(netip.MustParseAddrPort("10.0.0.2:1"))); got.Address.String() != "1.1.1.1:0" {
		t.Errorf("got %+v", got)
	}
}

func TestAppendAndErrors(t *testing.T) {
	var errs conf.Errors
	build := func(cfg *xffv3.XffConfig) *detector {
		d, _ := Factory{}.BuildOriginalIPDetection(cfg, extension.Context{}, conf.Path{}, &errs).(*detector)
		return d
	}
	if !build(&xffv3.XffConfig{SkipXffAppend: wrapperspb.Bool(false)}).appendXFF || build(&xffv3.XffConfig{SkipXffAppend: wrapperspb.Bool(true)}).appendXFF {
		t.Error("x-forwarded-for is appended where it should not, or the other way round")
	}
	if build(&xffv3.XffConfig{XffNumTrustedHops: 1, XffTrustedCidrs: cidrs("10.0.0.0/8")}) != nil || len(errs) != 1 ||
		errs[0].Message != "Cannot set both xff_num_trusted_hops and xff_trusted_cidrs" {
		t.Errorf("errors: %v", errs)
	}
	for _, f := range (Factory{}).Fields() {
		if _, _, err := f.Split((&xffv3.XffConfig{}).ProtoReflect().Descriptor()); err != nil {
			t.Error(err)
		}
	}
}
