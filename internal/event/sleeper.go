package event

import "time"

// A sleeper is the poller of a portable loop: it finds no events itself, since
// goroutines post them, and only sleeps.
type sleeper struct {
	woken chan struct{}
	alarm *time.Timer
}

func newSleeper() *sleeper {
	s := &sleeper{woken: make(chan struct{}, 1), alarm: time.NewTimer(time.Hour)}
	s.alarm.Stop()
	return s
}

func (s *sleeper) poll() bool { return false }
func (s *sleeper) step() bool { return false }

func (s *sleeper) sleep(d time.Duration) {
	if d >= 0 {
		s.alarm.Reset(d)
		defer s.alarm.Stop()
	}
	select {
	case <-s.woken:
	case <-s.alarm.C:
	}
}

func (s *sleeper) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

func (s *sleeper) close() { s.alarm.Stop() }
