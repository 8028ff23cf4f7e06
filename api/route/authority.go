package route

import (
	"strings"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// SetAuthority changes the host of a request. keepOriginal puts the old one in
// x-envoy-original-host; forwarded appends it to x-forwarded-host, unless it is
// the last one there.
func SetAuthority(h *httpmsg.Headers, host string, keepOriginal, forwarded bool) {
	old := h.Get(httpmsg.Authority)
	if keepOriginal {
		h.Set(httpmsg.XEnvoyOriginalHost, old)
	}
	if forwarded && old != "" {
		list, ok := h.Joined(httpmsg.XForwardedHost.String())
		switch {
		case !ok || list == "":
			h.Set(httpmsg.XForwardedHost, old)
		case last(list) != old:
			h.Set(httpmsg.XForwardedHost, list+","+old)
		}
	}
	h.Set(httpmsg.Authority, host)
}

// last returns the last element of a comma-separated list that is not empty.
func last(list string) string {
	list = strings.TrimRight(list, ",")
	return list[strings.LastIndexByte(list, ',')+1:]
}
