package route

import (
	"slices"
	"strings"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
)

// hostIndex finds the virtual host of a domain. Keys are lower case.
type hostIndex struct {
	exact, suffixes, prefixes map[string]domain
	suffixLengths             []int // longest first
	prefixLengths             []int
	fallback                  domain // *
	ignorePort                bool
	header                    string // that has the domain; "" for :authority
}

// A domain is one of the domains of a virtual host. The zero domain is none.
type domain struct {
	pattern string // as it is configured
	host    *virtualHost
}

// find returns the virtual host: of the exact domain, else of the longest suffix,
// the longest prefix, or *.
func (x *hostIndex) find(h *httpmsg.Headers) domain {
	if len(x.exact)+len(x.suffixes)+len(x.prefixes) == 0 {
		return x.fallback
	}
	host, ok := x.name(h)
	if !ok {
		return domain{}
	}
	if d := x.exact[host]; d.host != nil {
		return d
	}
	for _, n := range x.suffixLengths {
		if n < len(host) {
			if d := x.suffixes[host[len(host)-n:]]; d.host != nil {
				return d
			}
		}
	}
	for _, n := range x.prefixLengths {
		if n < len(host) {
			if d := x.prefixes[host[:n]]; d.host != nil {
				return d
			}
		}
	}
	return x.fallback
}

// name returns the domain that a request asks for.
func (x *hostIndex) name(h *httpmsg.Headers) (host string, ok bool) {
	if x.header == "" {
		host, ok = h.Get(httpmsg.Authority), h.Has(httpmsg.Authority)
	} else {
		host, ok = h.Find(x.header)
	}
	if x.ignorePort {
		host = withoutPort(host)
	}
	return match.Lower(host), ok
}

// withoutPort cuts what follows the last colon, if that is not in an IPv6 address.
func withoutPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.LastIndexByte(host, ']') < i {
		return host[:i]
	}
	return host
}

// add gives a domain to a virtual host, and reports whether it was free.
func (x *hostIndex) add(pattern string, v *virtualHost) bool {
	d := domain{pattern, v}
	key := match.Lower(pattern)
	switch {
	case key == "*":
		if x.fallback.host != nil {
			return false
		}
		x.fallback = d
		return true
	case strings.HasPrefix(key, "*"):
		return put(&x.suffixes, key[1:], d)
	case strings.HasSuffix(key, "*"):
		return put(&x.prefixes, key[:len(key)-1], d)
	default:
		return put(&x.exact, key, d)
	}
}

func put(m *map[string]domain, key string, d domain) bool {
	if *m == nil {
		*m = map[string]domain{}
	}
	if (*m)[key].host != nil {
		return false
	}
	(*m)[key] = d
	return true
}

// sort ends the adding.
func (x *hostIndex) sort() {
	x.suffixLengths, x.prefixLengths = lengths(x.suffixes), lengths(x.prefixes)
}

// lengths returns the lengths of the keys, the longest first.
func lengths(m map[string]domain) (out []int) {
	for key := range m {
		if n := len(key); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return out
}
