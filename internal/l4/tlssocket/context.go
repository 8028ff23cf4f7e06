package tlssocket

import (
	"crypto/tls"
	"errors"
	"net"

	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/transport"
)

// A Context is what the sockets of a filter chain or cluster have in common.
type Context interface {
	// Describe completes what access logs show of a session: session is what Config got.
	// It is called once for each that was agreed on, by the goroutine of the handshake. An
	// error ends the connection.
	Describe(session *streaminfo.TLS, state *tls.ConnectionState) error
	// Done counts the end of a handshake, on the socket's worker, which has that shard.
	// state is nil if it failed, and err why: what crypto/tls returned, or an error of the
	// system or io.EOF when the connection ended before.
	Done(state *tls.ConnectionState, err error, shard int)
	// Failed counts an error of a session after its handshake, as Done.
	Failed(err error, shard int)
}

// A Server is the Context of a filter chain.
type Server interface {
	Context
	// Config returns the configuration of the connection that info describes, nil as long
	// as a secret is missing. Its callbacks write to session, an empty one, what
	// crypto/tls does not tell: the own certificate, how the peer's was validated. Any
	// worker; the result is for this connection only. It has DynamicRecordSizingDisabled
	// set, and its callbacks may block: they run on the goroutine of the handshake.
	Config(info *streaminfo.Connection, session *streaminfo.TLS) *tls.Config
}

// A Client is the Context of a cluster.
type Client interface {
	Context
	// Config is as Server's, for a connection to host with options o, which may be nil.
	// Its Renegotiation is RenegotiateNever: a socket cannot wait for a second handshake.
	Config(info *streaminfo.Connection, session *streaminfo.TLS, o *transport.Options, host transport.Host) *tls.Config
}

// ErrNotReady is what a callback of a Server's configuration returns if, by what the
// client asks for, a secret is missing.
var ErrNotReady = errors.New("a secret is missing")

// Pause lets other handshakes compute while wait waits. A callback of a configuration
// calls it on the goroutine of the handshake, with the Conn of its ClientHelloInfo; wait
// returns soon after aborted is closed. An error means that the handshake is over.
func Pause(conn net.Conn, wait func(aborted <-chan struct{})) error {
	s, ok := conn.(*shim)
	if !ok || s.handshake == nil {
		wait(nil)
		return nil
	}
	return s.handshake.pause(func() { wait(s.handshake.aborted) })
}

// A VerifyError is what the callbacks of a configuration return, wrapped or not, if the
// peer's certificate is not accepted.
type VerifyError struct {
	// Detail says why in Envoy's words, as "verify cert failed: SAN matcher"; it is shown
	// with the transport failure reason.
	Detail string
}

// Error implements error.
func (e *VerifyError) Error() string { return "CERTIFICATE_VERIFY_FAILED:" + e.Detail }
