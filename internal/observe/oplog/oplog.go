// Package oplog is the operational log: what the process says about itself, as
// opposed to the access log. It has Envoy's components, levels and line
// formats, so that the tools which read Envoy's log read this one.
//
// The server builds one [Log] and hands a [Logger] per component to its rooms.
// Everything may be called from any goroutine.
package oplog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultFormat is the line format used when none is configured.
const DefaultFormat = "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v"

// FineGrainFormat is the line format of fine-grain logging when none is configured:
// %n would tell the file again.
const FineGrainFormat = "[%Y-%m-%d %T.%e][%t][%l] [%g:%#] %v"

// maxKeptLine bounds the line buffer kept between two lines; one long line
// (a configuration dump, a stack) must not hold its memory for ever.
const maxKeptLine = 64 << 10

// Config says how a Log starts out. The zero Config logs everything to standard error
// in the default format; the command line's default level is LevelInfo.
type Config struct {
	// Level is the level of every component that ComponentLevels does not name.
	Level Level
	// ComponentLevels has the form of --component-log-level: "upstream:debug,config:trace".
	ComponentLevels string
	// FineGrain gives levels to source files instead of components, for
	// --enable-fine-grain-logging. ComponentLevels must be empty then.
	FineGrain bool
	// Pattern lays out a line; nil means DefaultFormat.
	Pattern *Pattern
	// Escaped writes control characters, quotes and all bytes outside ASCII as
	// C escapes, so that one event is one line whatever it says.
	Escaped bool
	// Path is the file to append to; "" means Output.
	Path string
	// Output receives the lines when Path is empty; nil means standard error.
	// It gets one Write call for each line, never two at a time.
	Output io.Writer
	// StacktraceSingleEntry makes Backtrace one event instead of one for each line.
	StacktraceSingleEntry bool
	// Clock gives the time of an event, in the zone it is printed in; nil means time.Now.
	Clock func() time.Time
}

// A Log is the root of the operational log: the output, the line format and the
// registry of components. Create it with New.
type Log struct {
	// Set in New, read-only after.
	clock       func() time.Time
	path        string
	escaped     bool
	singleEntry bool
	files       *fileLevels // of fine-grain logging, nil without: components log everything and these decide

	// Atomic.
	pattern atomic.Pointer[Pattern]

	mu     sync.Mutex // held while a line is laid out and written
	out    io.Writer
	file   *os.File // out, when there is a path
	closed bool
	line   []byte // scratch
	last   time.Time

	registry sync.RWMutex // not held together with mu
	level    Level        // of components registered later
	loggers  []*Logger    // in the order of /logging
	byName   map[string]*Logger
}

// New opens the log. It fails when the file cannot be opened or ComponentLevels is malformed.
func New(c Config) (*Log, error) {
	levels, err := ParseComponentLevels(c.ComponentLevels)
	if err != nil {
		return nil, err
	}
	if c.FineGrain && len(levels) > 0 {
		return nil, errors.New("fine-grain logging has no levels of components")
	}
	l := &Log{
		clock:       c.Clock,
		path:        c.Path,
		escaped:     c.Escaped,
		singleEntry: c.StacktraceSingleEntry,
		out:         c.Output,
		level:       c.Level,
		byName:      make(map[string]*Logger),
	}
	if c.FineGrain {
		l.files, l.level = newFileLevels(c.Level), LevelTrace
	}
	if l.clock == nil {
		l.clock = time.Now
	}
	if l.out == nil {
		l.out = os.Stderr
	}
	l.last = l.clock()
	l.SetPattern(c.Pattern)
	for _, name := range Components() {
		l.Logger(name)
	}
	for _, cl := range levels {
		l.Logger(cl.Component).SetLevel(cl.Level)
	}
	if l.path != "" {
		if err := l.Reopen(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Logger returns the logger of a component. A name that is not one of Components
// is an extension's own: it is added, with the level in force, and /logging lists it last.
func (l *Log) Logger(component string) *Logger {
	if g := l.registered(component); g != nil {
		return g
	}
	l.registry.Lock()
	defer l.registry.Unlock()
	if g := l.byName[component]; g != nil {
		return g
	}
	g := &Logger{log: l, name: component}
	g.SetLevel(l.level)
	l.loggers = append(l.loggers, g)
	l.byName[component] = g
	return g
}

// registered returns a component's logger, or nil if there is none.
func (l *Log) registered(component string) *Logger {
	l.registry.RLock()
	defer l.registry.RUnlock()
	return l.byName[component]
}

// SetLevel sets the level of every component, also of those registered later;
// in fine-grain logging that of every file.
func (l *Log) SetLevel(level Level) {
	if l.files != nil {
		l.files.set(level)
		return
	}
	l.registry.Lock()
	defer l.registry.Unlock()
	l.level = level
	for _, g := range l.loggers {
		g.SetLevel(level)
	}
}

// SetPattern changes the layout of the lines from now on; nil means DefaultFormat.
// The server calls it when the bootstrap has an application_log_config.
func (l *Log) SetPattern(p *Pattern) {
	if p == nil {
		p = CompilePattern(DefaultFormat)
	}
	l.pattern.Store(p)
}

// Reopen closes the log file and opens its path again, so that a rotated file is
// let go (SIGUSR1). On an error the old file stays in use.
// Without a path, or after Close, it changes nothing.
func (l *Log) Reopen() error {
	if l.path == "" {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("cannot open the log file: %w", err)
	}
	l.mu.Lock()
	old := l.file
	if l.closed {
		old = f
	} else {
		l.file, l.out = f, f
	}
	l.mu.Unlock()
	if old != nil {
		return old.Close()
	}
	return nil
}

// Close closes the log file, if there is one; later events are discarded.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file, l.out = nil, io.Discard
	return f.Close()
}

// Backtrace logs a goroutine's stack, as debug.Stack gives it, to the component
// "backtrace" at LevelCritical: a line an event, or all of it as one
// (Config.StacktraceSingleEntry). Whoever contains a panic calls it.
func (l *Log) Backtrace(stack []byte) {
	g := l.Logger("backtrace")
	stack = bytes.TrimRight(stack, "\n")
	if l.singleEntry {
		g.Criticalf("%s", stack)
		return
	}
	for line := range bytes.SplitSeq(stack, []byte("\n")) {
		g.Criticalf("%s", line)
	}
}

// write lays out and writes one event.
func (l *Log) write(e event) {
	p := l.pattern.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	e.thread = threadID()
	e.time = l.clock()
	e.elapsed = max(0, e.time.Sub(l.last))
	l.last = e.time
	line := p.appendLine(l.line[:0], &e)
	if l.escaped {
		line = appendCEscaped(nil, line)
	}
	line = append(line, '\n')
	// A log that cannot be written has nowhere to complain to.
	_, _ = l.out.Write(line)
	if cap(line) <= maxKeptLine {
		l.line = line
	}
}
