package accesslog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/stats"
)

// FilesOptions says how files are written.
type FilesOptions struct {
	// Shards is the number of shards of the workers.
	Shards int
	// Stats is the scope filesystem.
	Stats stats.Scope
	// FlushInterval is how long a line waits at most (--file-flush-interval-msec).
	FlushInterval time.Duration
	// FlushMinSize is the number of bytes that are written sooner
	// (--file-flush-min-size-kb); 0 means 64 KiB.
	FlushMinSize int
	// Stdout and Stderr stand for /dev/stdout and /dev/stderr; nil means the process's.
	// They are not closed.
	Stdout, Stderr io.Writer
}

const defaultMinSize = 64 << 10

// Files implements api/accesslog.Files. Main goroutine.
type Files struct {
	options FilesOptions
	stats   fileStats
	files   map[string]*file
}

type fileStats struct {
	flushedByTimer, reopenFailed, buffered, completed, failed, dropped *stats.Counter
	totalBuffered                                                      *stats.Gauge
}

// NewFiles returns a set of no files.
func NewFiles(o FilesOptions) *Files {
	if o.FlushMinSize <= 0 {
		o.FlushMinSize = defaultMinSize
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	return &Files{
		options: o,
		files:   map[string]*file{},
		stats: fileStats{
			flushedByTimer: o.Stats.Counter("flushed_by_timer"),
			reopenFailed:   o.Stats.Counter("reopen_failed"),
			buffered:       o.Stats.Counter("write_buffered"),
			completed:      o.Stats.Counter("write_completed"),
			failed:         o.Stats.Counter("write_failed"),
			dropped:        o.Stats.Counter("nuncio_write_dropped"),
			totalBuffered:  o.Stats.Gauge("write_total_buffered"),
		},
	}
}

// Open implements api/accesslog.Files. A file stays open until Close.
func (f *Files) Open(name string) (accesslog.File, error) {
	if opened := f.files[name]; opened != nil {
		return opened, nil
	}
	var target target
	switch name {
	case "/dev/stdout": // opening it would fail for a socket, and truncate a file
		target = standard{f.options.Stdout}
	case "/dev/stderr":
		target = standard{f.options.Stderr}
	default:
		opened, err := open(name)
		if err != nil {
			return nil, err
		}
		target = opened
	}
	opened := newFile(name, target, &f.options, &f.stats)
	f.files[name] = opened
	return opened, nil
}

// Reopen writes what is buffered and opens every file by its name again, so that
// rotated files are let go (SIGUSR1). It does not wait for that.
func (f *Files) Reopen() {
	for _, opened := range f.files {
		select {
		case opened.reopening <- struct{}{}:
		default: // it is about to
		}
	}
}

// Close writes what is buffered and closes the files. What is written to them
// afterwards is lost. The workers have ended.
func (f *Files) Close() {
	for _, opened := range f.files {
		close(opened.stop)
	}
	for _, opened := range f.files {
		<-opened.done
	}
	clear(f.files)
}

// target is what a file is written to: an *os.File, or a standard stream.
type target interface {
	io.WriteCloser
}

// standard is a stream that is neither closed nor opened again.
type standard struct{ io.Writer }

func (standard) Close() error { return nil }

func open(name string) (target, error) {
	opened, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return nil, fmt.Errorf("unable to open file '%s': %w", name, err)
	}
	return opened, nil
}
