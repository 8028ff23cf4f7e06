// Package tlssocket is the transport socket of TLS: crypto/tls, driven by a worker.
//
// crypto/tls reads and writes a net.Conn that blocks. During the handshake it gets one:
// the handshake runs on a goroutine of its own, and what arrives and leaves passes from
// and to the worker. Afterwards there is no goroutine: the worker calls Read and Write,
// on a net.Conn that returns EAGAIN, a temporary error, as long as nothing has
// arrived; crypto/tls keeps what it has of a record, and goes on with the next call.
package tlssocket
