package oplog

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// fileLevels has the levels of fine-grain logging: those of source files, whatever
// component an event belongs to. A file is known from its first event on.
type fileLevels struct {
	mu       sync.RWMutex
	fallback Level        // of files that no change names
	changes  []fileChange // of the latest request; the first that names a file counts
	byName   map[string]*fileLevel
}

// A fileLevel is the level of one source file.
type fileLevel struct {
	component string // of its first event
	level     Level
}

// A fileChange gives a level to the files that a glob names, or to those of a component.
type fileChange struct {
	glob, component string // one of them is ""
	level           Level
}

func newFileLevels(level Level) *fileLevels {
	return &fileLevels{fallback: level, byName: make(map[string]*fileLevel)}
}

// enabled reports whether an event of that level is logged. The file of a new name is added.
func (f *fileLevels) enabled(name, component string, level Level) bool {
	f.mu.RLock()
	if file := f.byName[name]; file != nil {
		defer f.mu.RUnlock()
		return level >= file.level
	}
	f.mu.RUnlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	file := f.byName[name]
	if file == nil {
		file = &fileLevel{component: component}
		file.level = f.levelOf(name, component)
		f.byName[name] = file
	}
	return level >= file.level
}

// levelOf returns the level that the changes give to a file. Called with mu held.
func (f *fileLevels) levelOf(name, component string) Level {
	for _, c := range f.changes {
		if c.names(name, component) {
			return c.level
		}
	}
	return f.fallback
}

// set gives all files one level, also those that are added later.
func (f *fileLevels) set(level Level) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fallback = level
	f.apply(nil)
}

// change replaces the changes of the request before: a file that these do not name
// returns to the level of all.
func (f *fileLevels) change(changes []fileChange) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.apply(changes)
}

// apply is called with mu held.
func (f *fileLevels) apply(changes []fileChange) {
	f.changes = changes
	for name, file := range f.byName {
		file.level = f.levelOf(name, file.component)
	}
}

// list writes the files and their levels, by name.
func (f *fileLevels) list(b *strings.Builder) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(f.byName)) {
		b.WriteString("  " + name + ": " + f.byName[name].level.String() + "\n")
	}
}

// names reports whether the change is for that file. A glob with a slash is one of
// the whole name; another one is of the file's own name without its extension.
func (c *fileChange) names(file, component string) bool {
	if c.component != "" {
		return c.component == component
	}
	if !strings.Contains(c.glob, "/") {
		file, _, _ = strings.Cut(file[strings.LastIndexByte(file, '/')+1:], ".")
	}
	return matchGlob(c.glob, file)
}

// matchGlob knows * for any bytes, slashes too, and ? for any one. After a mismatch
// it needs to try again at the latest star only, so that no glob takes long.
func matchGlob(glob, s string) bool {
	star, resume := -1, 0
	for g, i := 0, 0; ; {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, resume = g, i
			g++
		case i == len(s) && g == len(glob):
			return true
		case g < len(glob) && i < len(s) && (glob[g] == '?' || glob[g] == s[i]):
			g, i = g+1, i+1
		case star >= 0 && resume < len(s):
			resume++
			g, i = star+1, resume
		default:
			return false
		}
	}
}
