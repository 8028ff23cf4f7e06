package extension

import "github.com/nuncio-proxy/nuncio/api/event"

// ACME answers the HTTP-01 challenges of the authority that the server has its
// certificates from.
type ACME interface {
	// KeyAuthorization looks for the answer to the challenge with a token, and calls done
	// with it on d, later: "" if there is no such challenge. Any goroutine.
	KeyAuthorization(token string, d event.Dispatcher, done func(answer string))
}
