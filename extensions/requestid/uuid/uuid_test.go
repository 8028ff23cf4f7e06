package uuid

import (
	"regexp"
	"testing"

	uuidv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

// TestSetRequestID has what a real Envoy sends upstream.
func TestSetRequestID(t *testing.T) {
	const traced, plain = "7b674932-635d-9ceb-b907-12674f8c7267", "7b674932-635d-4ceb-b907-12674f8c7267"
	made := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	l := loop.New(1)
	for _, c := range []struct {
		id                 string
		edge, keep, noPack bool
		want               string // "" for a new one
	}{
		{"", false, false, false, ""},
		{"", true, true, false, ""},
		{traced, false, false, false, traced},
		{traced, false, true, false, traced},
		{traced, true, false, false, ""},
		{traced, true, true, false, plain},
		{traced, true, true, true, traced},
		{"abc", true, true, false, "abc"},
	} {
		var errs conf.Errors
		cfg := new(uuidv3.UuidRequestIdConfig)
		if c.noPack {
			cfg.PackTraceReason = wrapperspb.Bool(false)
		}
		ids := Factory{}.BuildRequestID(cfg, extension.Context{}, conf.Path{}, &errs)
		h, response := new(httpmsg.Headers), new(httpmsg.Headers)
		if c.id != "" {
			h.AddID(httpmsg.XRequestID, c.id)
		}
		ids.SetRequestID(h, c.edge, c.keep, l)
		got := h.Get(httpmsg.XRequestID)
		if c.want != "" && got != c.want || c.want == "" && (got == c.id || !made.MatchString(got)) {
			t.Errorf("%+v: got %s", c, got)
		}
		ids.SetInResponse(response, h)
		if response.Get(httpmsg.XRequestID) != got || errs.Err() != nil {
			t.Errorf("%+v: the response has %s; %v", c, response.Get(httpmsg.XRequestID), errs)
		}
	}
}

func TestNoIDForTheResponse(t *testing.T) {
	response := new(httpmsg.Headers)
	(&ids{}).SetInResponse(response, new(httpmsg.Headers))
	if response.Len() != 0 {
		t.Errorf("got %v", response.Fields())
	}
	if _, _, err := fields().Split((&uuidv3.UuidRequestIdConfig{}).ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}

func TestNoAllocationInAnArena(t *testing.T) {
	l, h, x := loop.New(1), new(httpmsg.Headers), &ids{packReason: true}
	arena := make([]byte, 0, 4096)
	x.SetRequestID(h, true, false, l)
	n := testing.AllocsPerRun(50, func() {
		h.SetArena(arena)
		x.SetRequestID(h, true, false, l)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
