package extension

import (
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// RedirectPredicates is the category of predicates of internal redirects.
const RedirectPredicates = "envoy.internal_redirect_predicates"

// A RedirectPredicateFactory makes the predicates of internal_redirect_policy. Main
// goroutine.
type RedirectPredicateFactory interface {
	Factory
	// BuildRedirectPredicate checks the configuration. Errors go to errs with the path of
	// the field; the result is nil then.
	BuildRedirectPredicate(msg proto.Message, path conf.Path, errs *conf.Errors) route.RedirectPredicate
}
