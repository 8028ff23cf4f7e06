// Package transport is the contract of transport sockets: what stands between a
// connection and its socket, and changes the bytes on their way, as TLS does.
//
// A Socket belongs to one connection and lives on its worker; everything it is
// called for, and all that it calls, happens there. It may have helpers elsewhere
// (a TLS handshake takes long) that post their results back.
package transport

import (
	"errors"
	"syscall"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/event"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// ErrAgain is returned, bare, by Read and Write when they can do nothing now. The
// connection calls again when the system's socket is ready, or after
// Callbacks.Readable or Writable.
var ErrAgain error = syscall.EAGAIN

// ErrFailed is returned, bare, by Read and Write when the transport is broken, and
// Failure says why. The connection is closed.
var ErrFailed = errors.New("transport failure")

// A Raw is the system's socket below a transport socket.
type Raw interface {
	// ReadRaw fills the slices with what has arrived. The error is ErrAgain, io.EOF or
	// the system's.
	ReadRaw(into [][]byte) (n int, err error)
	// WriteRaw sends what fits now. The error is ErrAgain or the system's.
	WriteRaw(from [][]byte) (n int, err error)
	// CloseWriteRaw ends the sending half.
	CloseWriteRaw() error
}

// Callbacks is the connection, as its transport socket uses it.
type Callbacks interface {
	Raw
	Dispatcher() event.Dispatcher
	// Info may be written to until Connected is called.
	Info() *streaminfo.Connection
	// Connected says that the transport is up: what it knows of the peer is in Info. For
	// an outgoing connection this is when it counts as connected; all filters' callbacks
	// get network.Connected. It is called once, by a socket whose Start returned false.
	Connected()
	// Readable and Writable make the connection call Read or Write again though the
	// system's socket has nothing new to say.
	Readable()
	Writable()
}

// A Socket is one connection's transport.
type Socket interface {
	// Start is called once, when the system's socket is connected. It reports whether
	// the transport is up already; if not, Callbacks.Connected follows. Before that Read
	// and Write may be called, and return ErrAgain as long as they cannot do anything.
	Start(cb Callbacks) (up bool)
	// Read appends what the peer sent, as its protocol meant it, to into; not much more
	// than atMost bytes. With bytes the error may be nil or say that nothing more comes
	// now: ErrAgain, io.EOF, ErrFailed or the system's error.
	Read(into *buffer.Buffer, atMost int) (n int, err error)
	// Write takes bytes out of from and sends them. n is what it took. It returns nil
	// only when from is empty and everything was handed to the system. With endStream,
	// and from empty, the sending half is ended behind the last byte.
	Write(from *buffer.Buffer, endStream bool) (n int, err error)
	// Unsent is the number of bytes that Write took and the system did not: they are
	// sent by further calls of Write.
	Unsent() int
	// Close is called once at the connection's end, whoever closed it, before the
	// system's socket is closed. orderly says that the peer may be told (TLS sends its
	// close_notify if that fits now).
	Close(orderly bool)
	// Failure says why the transport failed, in the words that access logs show as
	// transport failure reason; "" if it did not.
	Failure() string
}

// A Movable socket can go to another worker between two calls, when nothing is
// buffered in it.
type Movable interface {
	Socket
	// Detach reports whether the socket holds nothing, and forgets its worker then.
	Detach() bool
	// Attach gives it the callbacks on the new worker.
	Attach(cb Callbacks)
}

// A StartTLS socket can be told to secure the connection later.
type StartTLS interface {
	Socket
	// StartSecureTransport changes to the secure transport behind what was written so
	// far. It reports whether that is possible.
	StartSecureTransport() bool
}

// A ServerFactory makes the transport sockets of a filter chain. Any goroutine.
type ServerFactory interface {
	// New returns the socket of a connection that was accepted, on its worker. It never
	// returns nil: without what it needs (a secret that has not come), the socket fails.
	New() Socket
	// Secure reports whether the peers are authenticated or the bytes encrypted.
	Secure() bool
}

// A ClientFactory makes the transport sockets of a cluster. Any goroutine.
type ClientFactory interface {
	// New returns the socket of a connection to host, on its worker. o may be nil; it is
	// not changed and outlives the connection.
	New(o *Options, host Host) Socket
	Secure() bool
	// SupportsALPN reports whether Info().ALPN will say what the peer chose.
	SupportsALPN() bool
	// Key identifies what of o the socket depends on: connections made with the same key
	// are exchangeable. "" for nothing.
	Key(o *Options) string
}

// A Proxied is a ClientFactory whose connections go somewhere else than to their host.
type Proxied interface {
	ClientFactory
	// Via returns where connections with options o, which may be nil, are made to; the zero
	// Address for the host itself.
	Via(o *Options) address.Address
}

// A Passer is a ClientFactory that sends more than bytes along with connections to
// internal listeners.
type Passer interface {
	ClientFactory
	// Pass returns what goes along with a connection with options o, which may be nil, to
	// host. It is called on the worker of d.
	Pass(d event.Dispatcher, o *Options, host Host) Passed
}

// Passed goes into the stream info of the accepted end of an internal connection. It is
// immutable.
type Passed struct {
	Metadata    map[string]*structpb.Struct // by name space
	FilterState map[string]streaminfo.Shared
}

// A Host is what a transport socket wants to know of an upstream host.
type Host interface {
	Address() address.Address
	Hostname() string
}

// Options are what one request or connection asks of its upstream connection's
// transport. They are immutable.
type Options struct {
	// ServerName replaces the configured SNI, unless it is "".
	ServerName string
	// VerifyNames, unless nil, replace the configured matchers of subject alternative
	// names: one of them has to be in the peer's certificate, as DNS name or IP address.
	VerifyNames []string
	// VerifyMatch is the same with matchers.
	VerifyMatch []match.String
	// ALPN replaces the configured protocols; ALPNFallback is offered when nothing else
	// is configured.
	ALPN, ALPNFallback []string
	// ProxyProtocol is what a PROXY protocol header says; nil for the addresses of the
	// downstream connection, if there is one.
	ProxyProtocol *streaminfo.ProxyProtocol
	// HTTP11Proxy is the proxy that is to be asked by CONNECT for HTTP11Target; the zero
	// Address for none.
	HTTP11Proxy  address.Address
	HTTP11Target string
	// Source, unless nil, is where the connection is made from.
	Source *streaminfo.Source
	// FilterState are the objects of the downstream that are shared with the upstream
	// connection.
	FilterState map[string]streaminfo.Shared
}
