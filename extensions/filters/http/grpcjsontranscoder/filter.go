package grpcjsontranscoder

import (
	"strings"

	transcoderv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_json_transcoder/v3"

	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/extensions/common/grpc"
)

// A filter is the filter of one stream.
type filter struct {
	cfg   *settings
	cb    httpfilter.Callbacks
	stats bufferStats

	// call is nil for a request that passes.
	call *call
}

// A call is what the filter knows of a request that it transcodes.
type call struct {
	*rule
	cfg     *settings // of the route
	values  []value   // for the first message
	failed  bool      // the response passes
	request requestState
	responseState
}

var (
	_ httpfilter.DecoderFilter = (*filter)(nil)
	_ httpfilter.EncoderFilter = (*filter)(nil)
	_ httpfilter.Resetter      = (*filter)(nil)
)

// DecodeHeaders implements httpfilter.DecoderFilter.
func (f *filter) DecodeHeaders(h *httpmsg.Headers, endStream bool) httpfilter.HeadersStatus {
	cfg := f.settings()
	if cfg.disabled || grpc.IsRequest(h) {
		return httpfilter.Continue
	}
	path, query, _ := strings.Cut(h.Get(httpmsg.Path), "?")
	r, rest := cfg.matcher.find(h.Get(httpmsg.Method), path)
	if r == nil {
		if !cfg.rejectUnknownMethod {
			return httpfilter.Continue
		}
		f.reply(404, "Could not resolve "+path+" to a method.", early+"{NOT_FOUND}")
		return httpfilter.StopIteration
	}
	c := &call{rule: r, cfg: cfg}
	if err := c.bind(cfg.matcher.bindings(r, rest, query)); err != nil {
		if !cfg.rejectUnknownQuery {
			return httpfilter.Continue
		}
		f.reply(400, err.Error(), early+invalid)
		return httpfilter.StopIteration
	}
	f.call = c
	f.raiseLimits(cfg)
	if r.rawRequest && !f.beginRaw(h) {
		return httpfilter.StopIteration
	}
	f.rewrite(h, c)
	if endStream && !f.finishRequest(early) {
		return httpfilter.StopIteration
	}
	return httpfilter.Continue
}

// settings returns those of the route, or else of the filter.
func (f *filter) settings() *settings {
	if r := f.cb.Route(); r != nil {
		if cfg, ok := r.FilterConfig(f.cb.Name()).(*settings); ok {
			return cfg
		}
	}
	return f.cfg
}

// bind finds the fields of bindings.
func (c *call) bind(all []binding) error {
	for _, b := range all {
		path, err := resolve(c.method.Input(), b.field)
		switch {
		case err == nil:
			if !c.rawRequest || !within(path, c.body) {
				c.values = append(c.values, value{path, b.value})
			}
		case c.cfg.captureUnknown:
			if c.request.unknown == nil {
				c.request.unknown = &transcoderv3.UnknownQueryParams{}
			}
			addUnknown(c.request.unknown, b)
		case !c.cfg.ignoreUnknown:
			return err
		}
	}
	return nil
}

// within reports whether path begins with outer.
func within(path, outer fieldPath) bool {
	if len(path) < len(outer) {
		return false
	}
	for i := range outer {
		if path[i] != outer[i] {
			return false
		}
	}
	return true
}

// raiseLimits makes room for the largest bodies that may be transcoded.
func (f *filter) raiseLimits(cfg *settings) {
	if have := f.cb.DecoderBufferLimit(); have > 0 && cfg.maxRequest > have {
		f.cb.SetDecoderBufferLimit(cfg.maxRequest)
	}
	if have := f.cb.EncoderBufferLimit(); have > 0 && cfg.maxResponse > have {
		f.cb.SetEncoderBufferLimit(cfg.maxResponse)
	}
}

// rewrite makes the headers those of the gRPC request.
func (f *filter) rewrite(h *httpmsg.Headers, c *call) {
	h.Remove(httpmsg.ContentLength)
	h.Set(httpmsg.ContentType, grpc.ContentType)
	h.Set(httpmsg.XEnvoyOriginalPath, h.Get(httpmsg.Path))
	h.Add("x-envoy-original-method", h.Get(httpmsg.Method))
	h.Set(httpmsg.Path, c.path)
	h.Set(httpmsg.Method, "POST")
	h.Set(httpmsg.TE, "trailers")
	if !c.cfg.keepRoute {
		f.cb.ClearRoute()
	}
}

// The beginnings of response code details, and the end of those for bad input.
const (
	early   = "early_grpc_json_transcode_failure"
	late    = "grpc_json_transcode_failure"
	invalid = "{INVALID_ARGUMENT}"
)

// reply answers from here.
func (f *filter) reply(status int, body, details string) {
	if f.call != nil {
		f.call.failed = true
	}
	f.cb.SendLocalReply(httpfilter.LocalReply{Status: status, Body: body, Details: details})
}

// OnDestroy implements httpfilter.Filter.
func (f *filter) OnDestroy() {
	if f.call != nil {
		f.holdRequest(0)
		f.holdResponse(0)
	}
}

// Reset implements httpfilter.Resetter.
func (f *filter) Reset() { f.call = nil }
