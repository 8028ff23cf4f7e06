package oplog

import (
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync/atomic"
)

// modulePath is cut off the source names of our own code, as Envoy's name only
// what is below its repository.
const modulePath = "github.com/nuncio-proxy/nuncio/"

// A Logger writes the events of one component. A call whose level is off costs
// one atomic load and does not look at its arguments, though the caller still
// builds them: on a hot path ask Enabled first.
type Logger struct {
	log   *Log
	name  string
	level atomic.Int32
}

// Name returns the component's name.
func (g *Logger) Name() string { return g.name }

// Level returns the least level that is logged.
func (g *Logger) Level() Level { return Level(g.level.Load()) }

// SetLevel sets the least level that is logged.
func (g *Logger) SetLevel(level Level) { g.level.Store(int32(level)) }

// Enabled reports whether an event of that level is logged; in fine-grain logging,
// whether it may be, for that depends on the file it comes from.
func (g *Logger) Enabled(level Level) bool { return level >= g.Level() && level < LevelOff }

// Tracef logs at LevelTrace.
func (g *Logger) Tracef(format string, args ...any) { g.logf(LevelTrace, format, args...) }

// Debugf logs at LevelDebug.
func (g *Logger) Debugf(format string, args ...any) { g.logf(LevelDebug, format, args...) }

// Infof logs at LevelInfo.
func (g *Logger) Infof(format string, args ...any) { g.logf(LevelInfo, format, args...) }

// Warnf logs at LevelWarning.
func (g *Logger) Warnf(format string, args ...any) { g.logf(LevelWarning, format, args...) }

// Errorf logs at LevelError.
func (g *Logger) Errorf(format string, args ...any) { g.logf(LevelError, format, args...) }

// Criticalf logs at LevelCritical.
func (g *Logger) Criticalf(format string, args ...any) { g.logf(LevelCritical, format, args...) }

// logf must be called by the exported methods directly: the place it logs is
// that of their caller. Variadic, so that go vet knows them for printf-like.
func (g *Logger) logf(level Level, format string, args ...any) {
	if !g.Enabled(level) {
		return
	}
	var place source
	if g.log.files != nil || g.log.pattern.Load().needsSource {
		place = callerSource(4) // of runtime.Callers, callerSource, logf, Infof
	}
	name := g.name
	if files := g.log.files; files != nil {
		if !files.enabled(place.file, g.name, level) {
			return
		}
		name = place.file + ":" + name
	}
	// Formatted before the lock is taken, for an argument's String may log too.
	g.log.write(event{level: level, component: name, message: fmt.Sprintf(format, args...), source: place})
}

// A source is a place in the code; line 0 means unknown.
type source struct {
	file     string // internal/server/server.go, or with its module if it is not ours
	function string // (*Server).Run
	line     int
}

// callerSource names the code's place by its import path, for the file names
// in a binary tell where it was built.
func callerSource(skip int) source {
	var pcs [1]uintptr
	if runtime.Callers(skip, pcs[:]) == 0 {
		return source{}
	}
	frame, _ := runtime.CallersFrames(pcs[:]).Next()
	slash := strings.LastIndexByte(frame.Function, '/') + 1
	dot := strings.IndexByte(frame.Function[slash:], '.')
	if dot < 0 {
		return source{}
	}
	dot += slash
	dir := strings.TrimPrefix(frame.Function[:dot], modulePath)
	return source{
		file:     dir + "/" + path.Base(frame.File),
		function: frame.Function[dot+1:],
		line:     frame.Line,
	}
}
