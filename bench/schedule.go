//go:build linux && (amd64 || arm64)

package main

import "time"

// A schedule says when requests are due. With rate 0 one is due whenever a
// connection is free (closed loop), else every 1/rate seconds from start. None
// is due at end or later. The zero schedule has none at all. Times are
// nanoseconds of one clock.
type schedule struct {
	start, end int64
	rate       float64 // per second
	next       int64   // number of the next request of an open loop
	taken      int64   // when the request last taken was due
}

// due returns when the next request of an open loop is due.
func (s *schedule) due() int64 {
	if s.rate == 0 {
		return s.start
	}
	return s.start + int64(float64(s.next)*float64(time.Second)/s.rate)
}

// take takes the next request if it is due.
func (s *schedule) take(now int64) bool {
	if s.rate == 0 {
		s.taken = now
		return now < s.end
	}
	due := s.due()
	if due > now || due >= s.end {
		return false
	}
	s.taken = due
	s.next++
	return true
}
