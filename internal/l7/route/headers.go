package route

import (
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/headeroption"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// mutations are the mutations of several levels, in the order in which they are
// made.
type mutations []*headeroption.List

// MutateHeaders implements route.HeaderMutation.
func (m mutations) MutateHeaders(h *httpmsg.Headers, e *format.Entry) {
	for _, one := range m {
		one.MutateHeaders(h, e)
	}
}

// newMutations leaves out the levels that change nothing.
func newMutations(levels ...*headeroption.List) (m mutations) {
	for _, one := range levels {
		if one != nil {
			m = append(m, one)
		}
	}
	return m
}

// responseMutation returns nil, and not an empty list, if nothing changes.
func responseMutation(m mutations) route.HeaderMutation {
	if len(m) == 0 {
		return nil
	}
	return m
}
