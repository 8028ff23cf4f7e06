package event

import (
	"math/bits"
	"time"
)

const (
	slotBits   = 6
	slotCount  = 1 << slotBits
	levelCount = 7
	// maxTick is the last tick of the wheel, 139 years from the loop's start.
	maxTick = 1<<(slotBits*levelCount) - 1
	// dueLevel marks the lists outside of the wheel.
	dueLevel = levelCount
)

// A timer is linked into one list of its loop's wheel while it is armed.
type timer struct {
	loop  *Loop
	f     func()
	owner any

	deadline   int64 // tick at which to fire
	filed      int64 // deadline when it was put into list; an upper bound of when list is looked at
	list       *timerList
	next, prev *timer
}

// Enable arms the timer. A later deadline than the one it has leaves it where it
// is: when its list comes up it is filed again.
func (t *timer) Enable(d time.Duration) {
	w := &t.loop.timers
	t.deadline = w.deadline(t.loop.now, d)
	if t.list != nil {
		if t.list.level != dueLevel && t.deadline >= t.filed {
			return
		}
		w.unlink(t)
	}
	w.file(t)
}

// Disable stops the timer.
func (t *timer) Disable() {
	if t.list != nil {
		t.loop.timers.unlink(t)
	}
}

// Enabled reports whether the timer is armed.
func (t *timer) Enabled() bool { return t.list != nil }

type timerList struct {
	head, tail *timer
	level      uint8
	slot       uint8
}

// A wheel is a hierarchical timing wheel with ticks of one millisecond. Level n
// has 64 slots of 64^n ticks. A timer is on the level of the highest digit (base
// 64) in which its deadline differs from the current tick; so all timers of a
// level are due before those of the next, and within a level slots do not wrap.
type wheel struct {
	start    time.Time
	tick     int64 // all slots up to here have been looked at
	occupied [levelCount]uint64
	slots    [levelCount][slotCount]timerList
	due      *timerList // fire in the next turn
	firing   *timerList // fire in this turn
}

func (w *wheel) init(start time.Time) {
	w.start = start
	for level := range w.slots {
		for slot := range w.slots[level] {
			w.slots[level][slot].level, w.slots[level][slot].slot = uint8(level), uint8(slot)
		}
	}
	w.due, w.firing = &timerList{level: dueLevel}, &timerList{level: dueLevel}
}

// deadline returns the first tick that is not before now+d.
func (w *wheel) deadline(now time.Time, d time.Duration) int64 {
	if d <= 0 {
		return w.tick
	}
	since := now.Sub(w.start)
	if d > maxTick*time.Millisecond-since {
		return maxTick
	}
	return int64((since + d + time.Millisecond - 1) / time.Millisecond)
}

func (w *wheel) file(t *timer) {
	t.filed = t.deadline
	if t.deadline <= w.tick {
		w.due.add(t)
		return
	}
	level := (bits.Len64(uint64(t.deadline^w.tick)) - 1) / slotBits
	slot := t.deadline >> (level * slotBits) & (slotCount - 1)
	w.occupied[level] |= 1 << slot
	w.slots[level][slot].add(t)
}

func (l *timerList) add(t *timer) {
	t.list, t.prev, t.next = l, l.tail, nil
	if l.tail == nil {
		l.head = t
	} else {
		l.tail.next = t
	}
	l.tail = t
}

func (w *wheel) unlink(t *timer) {
	l := t.list
	if t.prev == nil {
		l.head = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		l.tail = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.list, t.next, t.prev = nil, nil, nil
	if l.head == nil && l.level != dueLevel {
		w.occupied[l.level] &^= 1 << l.slot
	}
}

// next returns the slot to look at next and its first tick.
func (w *wheel) next() (*timerList, int64) {
	for level := range w.occupied {
		if w.occupied[level] == 0 {
			continue
		}
		slot := bits.TrailingZeros64(w.occupied[level])
		shift := level * slotBits
		block := w.tick >> (shift + slotBits) << (shift + slotBits)
		return &w.slots[level][slot], block | int64(slot)<<shift
	}
	return nil, 0
}

// untilNext returns how long after now the wheel has something to do: 0 at once,
// negative never.
func (w *wheel) untilNext(now time.Time) time.Duration {
	if w.due.head != nil {
		return 0
	}
	list, at := w.next()
	if list == nil {
		return -1
	}
	return max(time.Duration(at)*time.Millisecond-now.Sub(w.start), 0)
}

// advance moves the wheel to now, and reports whether timers fire: pop returns
// them, those with earlier ticks first.
func (w *wheel) advance(now time.Time) bool {
	tick := int64(now.Sub(w.start) / time.Millisecond)
	for {
		list, at := w.next()
		if list == nil || at > tick {
			break
		}
		w.tick = at
		for list.head != nil {
			t := list.head
			w.unlink(t)
			w.file(t)
		}
	}
	w.tick = max(w.tick, tick)
	w.due, w.firing = w.firing, w.due
	return w.firing.head != nil
}

// pop disarms and returns the next timer to fire, nil if there is none.
func (w *wheel) pop() *timer {
	t := w.firing.head
	if t != nil {
		w.unlink(t)
	}
	return t
}
