// Package linelog is what the access loggers that write lines to a file share.
package linelog

import (
	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

// maxKept bounds the buffer that is kept for the next line.
const maxKept = 64 << 10

// logger writes one line an entry. It implements accesslog.Logger.
type logger struct {
	file   accesslog.File
	format format.Format
	lines  []line // one per shard, used by its worker only
}

// line is room for a line; it fills a cache line.
type line struct {
	buf []byte
	_   [40]byte
}

// New returns a logger that writes to the file with that name, "/dev/stdout" and
// "/dev/stderr" included. The file is opened now; that it cannot be goes to errs at
// path, and the logger is nil then.
func New(f format.Format, name string, ctx extension.Context, path conf.Path, errs *conf.Errors) accesslog.Logger {
	file, err := ctx.Files.Open(name)
	if err != nil {
		errs.Add(path, "%v", err)
		return nil
	}
	return &logger{file: file, format: f, lines: make([]line, ctx.Server.Shards())}
}

// Log implements accesslog.Logger.
func (l *logger) Log(e *format.Entry) {
	if e.Shard < 0 { // not on a worker
		l.file.Write(e.Shard, l.format.Append(nil, e))
		return
	}
	line := &l.lines[e.Shard]
	line.buf = l.format.Append(line.buf[:0], e)
	l.file.Write(e.Shard, line.buf)
	if cap(line.buf) > maxKept {
		line.buf = nil
	}
}
