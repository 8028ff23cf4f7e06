package network

import "github.com/nuncio-proxy/nuncio/api/buffer"

// A FilterStatus is what a filter answers to data.
type FilterStatus uint8

const (
	// Continue hands the data to the next filter.
	Continue FilterStatus = iota
	// StopIteration keeps the data with the connection; no later filter sees it. A
	// read filter resumes with ReadCallbacks.ContinueReading, or when more data
	// arrives; a write filter with WriteCallbacks.InjectWrite.
	StopIteration
)

// A ReadFilter sees what the peer sends. Read filters are called in the order of
// the configuration (first in, first out); the last one is terminal and takes the
// data out of the buffer.
type ReadFilter interface {
	// InitializeRead is called once, before anything else. It must not write to the
	// connection nor close it.
	InitializeRead(cb ReadCallbacks)
	// OnNewConnection is called once, when the connection is up. After StopIteration
	// later filters are not told until ContinueReading.
	OnNewConnection() FilterStatus
	// OnData is called with all data that the filters before let pass and nobody took
	// yet. endStream says that nothing follows (only with half-close enabled).
	OnData(data *buffer.Buffer, endStream bool) FilterStatus
}

// A WriteFilter sees what is sent to the peer, in the reverse order of the
// configuration (last in, first out).
type WriteFilter interface {
	// InitializeWrite is called once, before anything else.
	InitializeWrite(cb WriteCallbacks)
	// OnWrite may change data. After StopIteration what is left in data is dropped
	// from this write; a filter that wants it takes it and injects it later.
	OnWrite(data *buffer.Buffer, endStream bool) FilterStatus
}

// A Filter is both.
type Filter interface {
	ReadFilter
	WriteFilter
}

// ReadCallbacks is how a read filter acts on its connection. Called on its worker.
type ReadCallbacks interface {
	Connection() Connection
	// ContinueReading resumes after StopIteration, with the next filter. It may be
	// called from inside a callback of the filter or later.
	ContinueReading()
	// InjectRead passes data to the filters behind this one.
	InjectRead(data *buffer.Buffer, endStream bool)
	// Upstream returns what the filters of this connection agreed on.
	Upstream() *UpstreamChoice
}

// WriteCallbacks is how a write filter acts on its connection.
type WriteCallbacks interface {
	Connection() Connection
	// InjectWrite passes data to the filters before this one in the configuration,
	// and so to the peer.
	InjectWrite(data *buffer.Buffer, endStream bool)
}

// UpstreamChoice holds what earlier filters decide for the terminal one.
type UpstreamChoice struct {
	// Cluster overrides the configured cluster when it is not "".
	Cluster string
}

// FilterManager takes the filters of a new connection, in the order of the
// configuration.
type FilterManager interface {
	AddReadFilter(f ReadFilter)
	AddWriteFilter(f WriteFilter)
	AddFilter(f Filter)
}

// A FilterBuilder adds a connection's own filter. It is immutable and called on
// the worker of each new connection.
type FilterBuilder func(c Connection, m FilterManager)

// An IdleCloser is a ReadFilter that knows when its connection serves nobody.
type IdleCloser interface {
	// CloseIfIdle closes the connection if nothing is on its way on it. It is called, on
	// the worker of the connection, while the server stops.
	CloseIfIdle()
}

// A DrainDecision says whether a connection should end when it can. Any goroutine.
type DrainDecision interface {
	// DrainClose reports true for a share of the calls that grows while the listener
	// drains; random is a fresh random value.
	DrainClose(random uint64) bool
}
