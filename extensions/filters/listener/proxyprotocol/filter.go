package proxyprotocol

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A filter is one socket's.
type filter struct {
	config *config
	cb     network.ListenerFilterCallbacks
	limit  int // bytes to look at, for now
}

// OnAccept implements network.ListenerFilter.
func (f *filter) OnAccept(cb network.ListenerFilterCallbacks) network.FilterStatus {
	f.cb = cb
	return network.StopIteration
}

// MaxReadBytes implements network.ListenerFilter.
func (f *filter) MaxReadBytes() int { return f.limit }

// OnClose implements network.ListenerFilter.
func (f *filter) OnClose() {}

// OnData implements network.ListenerFilter.
func (f *filter) OnData(peeked []byte) network.FilterStatus {
	c, shard := f.config, f.cb.Dispatcher().Shard()
	if c.allowWithout && !c.mayMatch(peeked) {
		c.stats.notFoundAllowed.Inc(shard)
		return network.Continue
	}
	v, end, r := version(peeked)
	if v == 0 {
		if r == invalid {
			c.stats.notFoundDisallowed.Inc(shard)
			c.stats.anyError.Inc(shard)
			f.cb.Continue(false)
		}
		return network.StopIteration
	}
	s := &c.stats.versions[v]
	if !c.allowed[v] {
		s.found.Inc(shard)
		s.disallowed.Inc(shard)
		f.cb.Continue(false)
		return network.StopIteration
	}
	var h header
	if v == 1 {
		h, r = readLine(peeked[:end])
	} else {
		h, r = readBinary(peeked)
	}
	switch r {
	case incomplete:
		f.limit = max(f.limit, h.size)
		return network.StopIteration
	case invalid:
		s.error.Inc(shard)
		c.stats.anyError.Inc(shard)
		f.cb.Continue(false)
		return network.StopIteration
	}
	s.found.Inc(shard)
	f.apply(&h, v)
	f.cb.Drain(h.size)
	return network.Continue
}

// mayMatch reports whether data can be the beginning of a header that is allowed.
func (c *config) mayMatch(data []byte) bool {
	begins := func(signature string) bool {
		n := min(len(data), len(signature))
		return string(data[:n]) == signature[:n]
	}
	return c.allowed[1] && begins(signature1) || c.allowed[2] && begins(signature2)
}

// apply does what the header says.
func (f *filter) apply(h *header, version int) {
	info := f.cb.Info()
	said := &streaminfo.ProxyProtocol{Version: version, Source: info.Remote, Destination: info.Local}
	if h.source.IsValid() {
		said.Source, said.Destination = address.FromAddrPort(h.source), address.FromAddrPort(h.destination)
		info.Remote, info.Local = said.Source, said.Destination
	}
	for rest := h.tlvs; len(rest) > 0; {
		var kind byte
		var value []byte
		kind, value, rest, _ = next(rest)
		if r := f.config.rules[kind]; r != nil {
			f.store(r, value)
		}
		if f.config.keep[kind] {
			said.TLVs = append(said.TLVs, streaminfo.TLV{Type: kind, Value: bytes.Clone(value)})
		}
	}
	if info.ProxyProtocol == nil { // the header in front counts, if there are two filters
		info.ProxyProtocol = said
	}
}

// store keeps the value of an extension under the name that a rule has for it. As in
// Envoy the last one of a name stays in filter state, and the first one in metadata.
func (f *filter) store(r *rule, value []byte) {
	text := ""
	if r.base64 {
		text = base64.StdEncoding.EncodeToString(value)
	} else {
		text = sanitize(value)
	}
	if f.config.toFilterState {
		info := f.cb.Info()
		all, ok := info.FilterState[tlvKey].(tlvState)
		if !ok {
			all = tlvState{}
			if info.FilterState == nil {
				info.FilterState = map[string]any{}
			}
			info.FilterState[tlvKey] = all
		}
		all[r.key] = text
		return
	}
	s := f.cb.Stream()
	if _, ok := s.Metadata[r.namespace].GetFields()[r.key]; !ok {
		s.SetMetadata(r.namespace, &structpb.Struct{Fields: map[string]*structpb.Value{r.key: structpb.NewStringValue(text)}})
	}
}

// sanitize replaces each byte that is not part of UTF-8 with an exclamation mark.
func sanitize(value []byte) string {
	if utf8.Valid(value) {
		return string(value)
	}
	var b strings.Builder
	for len(value) > 0 {
		r, n := utf8.DecodeRune(value)
		if r == utf8.RuneError && n == 1 {
			r = '!'
		}
		b.WriteRune(r)
		value = value[n:]
	}
	return b.String()
}

// tlvKey is the name of the filter state.
const tlvKey = "envoy.network.proxy_protocol.tlv"

// A tlvState holds extensions by the keys of their rules.
type tlvState map[string]string

var _ streaminfo.Fields = tlvState(nil)

// Field implements streaminfo.Fields.
func (s tlvState) Field(name string) any {
	if v, ok := s[name]; ok {
		return v
	}
	return nil
}

// MarshalJSON makes an object of it; access logs show that.
func (s tlvState) MarshalJSON() ([]byte, error) { return json.Marshal(map[string]string(s)) }

// String returns the same.
func (s tlvState) String() string {
	b, _ := s.MarshalJSON() // a map of strings has no errors
	return string(b)
}
