package listener

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// A predicate is a condition on an accepted socket, as the listener filters before
// have left it.
type predicate func(*streaminfo.Connection) bool

// predicate reads a condition. Errors are reported; the result is not to be used then.
func (b *builder) predicate(msg *listenerv3.ListenerFilterChainMatchPredicate, path conf.Path) predicate {
	switch rule := msg.GetRule().(type) {
	case *listenerv3.ListenerFilterChainMatchPredicate_AnyMatch:
		return func(*streaminfo.Connection) bool { return true }
	case *listenerv3.ListenerFilterChainMatchPredicate_NotMatch:
		not := b.predicate(rule.NotMatch, path.Field("not_match"))
		return func(c *streaminfo.Connection) bool { return !not(c) }
	case *listenerv3.ListenerFilterChainMatchPredicate_OrMatch:
		return b.predicates(rule.OrMatch, path.Field("or_match"), true)
	case *listenerv3.ListenerFilterChainMatchPredicate_AndMatch:
		return b.predicates(rule.AndMatch, path.Field("and_match"), false)
	case *listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange:
		start, end := rule.DestinationPortRange.GetStart(), rule.DestinationPortRange.GetEnd()
		return func(c *streaminfo.Connection) bool {
			port := int32(c.Local.Port())
			return c.Local.IP().IsValid() && start <= port && port < end
		}
	}
	b.errs.Add(path.Field("rule"), "must be set")
	return nil
}

// predicates reads a list of conditions: the result is decisive if one of them is, and
// its opposite if none is.
func (b *builder) predicates(set *listenerv3.ListenerFilterChainMatchPredicate_MatchSet, path conf.Path, decisive bool) predicate {
	var all []predicate
	for i, rule := range set.GetRules() {
		all = append(all, b.predicate(rule, path.Field("rules").Index(i)))
	}
	return func(c *streaminfo.Connection) bool {
		for _, p := range all {
			if p(c) == decisive {
				return decisive
			}
		}
		return !decisive
	}
}
