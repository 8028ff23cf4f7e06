package secret

import (
	"os"
	"slices"
	"time"

	"github.com/nuncio-proxy/nuncio/api/event"
)

// lookEvery is how often files are looked at.
const lookEvery = 250 * time.Millisecond

// A watch notices when files are replaced or written. Main goroutine.
type watch struct {
	dispatcher event.Dispatcher
	timer      event.Timer // nil until start
	groups     []*group
}

// A group is some files that belong together.
type group struct {
	paths    []string
	changed  func()
	interval time.Duration // to call changed in any case, 0 for never
	next     time.Time     // when that is due
	// taken is how the files were when they were last taken, resting how they were a
	// moment ago if that is not the same.
	taken, resting []os.FileInfo
	stopped        bool
}

// follow calls changed when one of the files is not what it was, a moment later: as
// soon as they rest, so that a file is not read while it is written. What the files are
// now counts as known.
func (w *watch) follow(paths []string, interval time.Duration, changed func()) (stop func()) {
	g := &group{paths: paths, changed: changed, interval: interval, taken: look(paths)}
	w.groups = append(w.groups, g)
	return func() {
		g.stopped = true
		w.groups = slices.DeleteFunc(slices.Clone(w.groups), func(other *group) bool { return other == g })
	}
}

func (w *watch) start() {
	w.timer = w.dispatcher.NewTimer(w.turn)
	w.timer.Enable(lookEvery)
}

func (w *watch) stop() {
	if w.timer != nil {
		w.timer.Disable()
	}
	w.groups = nil
}

func (w *watch) turn() {
	now := w.dispatcher.Now()
	every := lookEvery
	for _, g := range w.groups {
		if !g.stopped { // by what another one led to
			g.turn(now)
		}
		if g.interval > 0 {
			every = min(every, g.interval)
		}
	}
	w.timer.Enable(every)
}

func (g *group) turn(now time.Time) {
	if g.interval > 0 {
		due := !g.next.IsZero() && !now.Before(g.next)
		if due || g.next.IsZero() {
			g.next = now.Add(g.interval)
		}
		if due {
			g.changed()
		}
		return
	}
	switch seen := look(g.paths); {
	case slices.EqualFunc(seen, g.taken, same):
		g.resting = nil
	case g.resting != nil && slices.EqualFunc(seen, g.resting, same):
		g.taken, g.resting = seen, nil
		g.changed()
	default:
		g.resting = seen
	}
}

// look returns what the files are, through symbolic links; nil for one that is not
// there.
func look(paths []string) []os.FileInfo {
	found := make([]os.FileInfo, len(paths))
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			found[i] = info
		}
	}
	return found
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
