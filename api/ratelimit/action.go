package ratelimit

import (
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/match"
)

// fixed is an entry that is always the same: source_cluster, generic_key.
type fixed Entry

func (a fixed) Describe(*Request) (Entry, bool) { return Entry(a), true }

type destinationCluster struct{}

func (destinationCluster) Describe(r *Request) (Entry, bool) {
	return Entry{"destination_cluster", r.Cluster}, r.HasCluster
}

type requestHeader struct {
	name, key    string
	skipIfAbsent bool
}

func (a *requestHeader) Describe(r *Request) (Entry, bool) {
	value, ok := r.Request.Find(a.name)
	return found(a.key, value, ok, a.skipIfAbsent)
}

// queryParameter looks at the first value of a parameter, decoded.
type queryParameter struct {
	name, key    string
	skipIfAbsent bool
}

func (a *queryParameter) Describe(r *Request) (Entry, bool) {
	value, ok := match.DecodedQueryValue(path(r), a.name)
	return found(a.key, value, ok, a.skipIfAbsent)
}

// found returns the entry for a value that may be missing: then there is none, and no
// descriptor unless the action allows it.
func found(key, value string, ok, skipIfAbsent bool) (Entry, bool) {
	if !ok {
		return Entry{}, skipIfAbsent
	}
	return Entry{key, value}, true
}

type remoteAddress struct{}

func (remoteAddress) Describe(r *Request) (Entry, bool) {
	a := remote(r)
	return Entry{"remote_address", a.WithoutPort()}, a.IP().IsValid()
}

func remote(r *Request) address.Address {
	if r.Stream.Downstream == nil {
		return address.Address{}
	}
	return r.Stream.Downstream.Remote
}

type maskedRemoteAddress struct{ v4, v6 int } // bits

func (a maskedRemoteAddress) Describe(r *Request) (Entry, bool) {
	ip := remote(r).IP().WithZone("")
	bits := a.v4
	if ip.Is6() {
		bits = a.v6
	}
	prefix, err := ip.Prefix(bits)
	if err != nil || !ip.IsValid() {
		return Entry{}, false
	}
	var scratch [64]byte
	return Entry{"masked_remote_address", r.Request.String(prefix.AppendTo(scratch[:0]))}, true
}

type headerValueMatch struct {
	entry   value
	expect  bool
	headers []*match.Header
}

func (a *headerValueMatch) Describe(r *Request) (Entry, bool) {
	matched := true
	for _, h := range a.headers {
		matched = matched && h.MatchHeaders(r.Request)
	}
	return a.entry.describe(r, matched == a.expect)
}

type queryParameterValueMatch struct {
	entry      value
	expect     bool
	parameters []*match.QueryParameter
}

func (a *queryParameterValueMatch) Describe(r *Request) (Entry, bool) {
	matched := true
	for _, q := range a.parameters {
		matched = matched && q.MatchDecoded(path(r))
	}
	return a.entry.describe(r, matched == a.expect)
}

type remoteAddressMatch struct {
	entry  value
	ranges address.Ranges
	invert bool
}

func (a *remoteAddressMatch) Describe(r *Request) (Entry, bool) {
	ip := remote(r).IP()
	return a.entry.describe(r, ip.IsValid() && a.ranges.Contains(ip) != a.invert)
}

// A value is an entry whose value may be a format. If that makes nothing, the
// fallback is taken.
type value struct {
	key, text, fallback string
	format              format.Format // nil: text is the value
}

// Describe implements Action for generic_key.
func (v *value) Describe(r *Request) (Entry, bool) { return v.describe(r, true) }

func (v *value) describe(r *Request, matched bool) (Entry, bool) {
	if !matched || v.format == nil {
		return Entry{v.key, v.text}, matched
	}
	var scratch [128]byte
	text := r.Request.String(v.format.Append(scratch[:0], r.Entry))
	if text == "" {
		text = v.fallback
	}
	return Entry{v.key, text}, text != ""
}

// metadata looks for a string in the metadata of the stream, or of its route.
type metadata struct {
	key, fallback         string
	path                  match.MetadataPath
	ofRoute, skipIfAbsent bool
}

func (a *metadata) Describe(r *Request) (Entry, bool) {
	from := r.Stream.Metadata
	if a.ofRoute {
		from = r.Stream.RouteMetadata
	}
	text := a.path.Find(from).GetStringValue()
	if text == "" {
		text = a.fallback
	}
	return found(a.key, text, text != "", a.skipIfAbsent)
}

func path(r *Request) string { return r.Request.Get(httpmsg.Path) }
