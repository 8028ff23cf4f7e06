// Package accesslog is the contract of access loggers.
package accesslog

import "github.com/nuncio-proxy/nuncio/api/format"

// A Logger writes one line, or what stands for it, per event. Log is called on the
// worker of the stream; it must not block and keeps nothing of the entry.
type Logger interface {
	Log(e *format.Entry)
}

// A Filter reports whether an entry is logged. It is called on the worker of the
// stream; it must not block and keeps nothing of the entry.
type Filter func(e *format.Entry) bool

// Files opens the files that loggers write to; those with one name share it. Main
// goroutine.
type Files interface {
	// Open returns the file with that name, "/dev/stdout" and "/dev/stderr" included.
	// It is created if it is missing.
	Open(name string) (File, error)
}

// A File collects writes and hands them to the system in the background.
type File interface {
	// Write queues a copy of p, which is written in one piece, behind what the same
	// shard wrote before. It is called on any worker with that worker's shard, or with
	// stats.Any elsewhere. It never blocks: when the disk is too slow, p is dropped and
	// counted.
	Write(shard int, p []byte)
}
