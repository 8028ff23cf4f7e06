package upstream

import "github.com/nuncio-proxy/nuncio/api/network"

// ConnectionPoolCallbacks receives the answer to NewConnection.
type ConnectionPoolCallbacks interface {
	// OnConnectionReady gives a connection that is up. The receiver adds a read filter
	// to it at once, and closes it when it is done.
	OnConnectionReady(c network.ClientConnection, host Host)
	// OnConnectionFailure says that there is none. reason is the transport's; host is
	// nil when none was picked.
	OnConnectionFailure(f PoolFailure, reason string, host Host)
}
