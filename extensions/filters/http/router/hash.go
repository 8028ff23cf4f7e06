package router

import (
	"strconv"

	"github.com/nuncio-proxy/nuncio/api/route"
)

// hash computes the hash of the request if the load balancer picks by it. Cookies
// that are made for that go into the response.
func (f *filter) hash() {
	if f.policies.Hash == nil || !f.cluster.Info().PicksByHash {
		return
	}
	f.pick.Hash, f.pick.HasHash = f.policies.Hash.HashRequest(f.headers, f.info, func(c route.Cookie) {
		f.cookies = append(f.cookies, setCookie(&c))
	})
}

// setCookie returns the value of set-cookie.
func setCookie(c *route.Cookie) string {
	v := c.Name + `="` + c.Value + `"`
	if c.MaxAge > 0 {
		v += "; Max-Age=" + strconv.FormatInt(int64(c.MaxAge.Seconds()), 10)
	}
	if c.Path != "" {
		v += "; Path=" + c.Path
	}
	for _, a := range c.Attributes {
		v += "; " + a.Name
		if a.Value != "" {
			v += "=" + a.Value
		}
	}
	return v + "; HttpOnly"
}
