package customheader

import (
	"net/netip"
	"testing"

	headerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/original_ip_detection/custom_header/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

func TestDetect(t *testing.T) {
	status := func(code typev3.StatusCode) *headerv3.CustomHeaderConfig {
		return &headerv3.CustomHeaderConfig{HeaderName: "X-Real", RejectWithStatus: &typev3.HttpStatus{Code: code}}
	}
	for _, c := range []struct {
		cfg    *headerv3.CustomHeaderConfig
		values []string
		want   string
		got    httpfilter.Detection // but for the address
	}{
		{&headerv3.CustomHeaderConfig{HeaderName: "X-Real"}, []string{"10.1.1.1"}, "10.1.1.1:0", httpfilter.Detection{}},
		{&headerv3.CustomHeaderConfig{HeaderName: "x-real", AllowExtensionToSetAddressAsTrusted: true}, []string{"::1"}, "[::1]:0", httpfilter.Detection{Trusted: true}},
		{&headerv3.CustomHeaderConfig{HeaderName: "x-real"}, []string{"10.3.1.1", "10.4.1.1"}, "10.3.1.1:0", httpfilter.Detection{}},
		{&headerv3.CustomHeaderConfig{HeaderName: "x-real"}, []string{"10.1.1.1:80"}, "", httpfilter.Detection{}},
		{&headerv3.CustomHeaderConfig{HeaderName: "x-real"}, nil, "", httpfilter.Detection{}},
		{status(typev3.StatusCode_TooManyRequests), []string{"x"}, "", httpfilter.Detection{Reject: 429}},
		{status(typev3.StatusCode_Found), nil, "", httpfilter.Detection{Reject: 403}},
		{status(typev3.StatusCode_Found), []string{"1.1.1.1"}, "1.1.1.1:0", httpfilter.Detection{}},
	} {
		var errs conf.Errors
		d := Factory{}.BuildOriginalIPDetection(c.cfg, extension.Context{}, conf.Path{}, &errs)
		if errs.Err() != nil {
			t.Fatal(errs)
		}
		h := new(httpmsg.Headers)
		for _, v := range c.values {
			h.Add("x-real", v)
		}
		got := d.DetectIP(h, address.Address{})
		want := c.got
		if c.want != "" {
			want.Address = address.FromAddrPort(netip.MustParseAddrPort(c.want))
		}
		if got != want {
			t.Errorf("%v, %q: got %+v", c.cfg, c.values, got)
		}
	}
}

func TestErrors(t *testing.T) {
	var errs conf.Errors
	if (Factory{}).BuildOriginalIPDetection(&headerv3.CustomHeaderConfig{}, extension.Context{}, conf.Path{}, &errs) != nil || len(errs) != 1 {
		t.Errorf("errors: %v", errs)
	}
	if _, _, err := fields().Split((&headerv3.CustomHeaderConfig{}).ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}
