package h2

import (
	"slices"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
)

// outbound knows which of the frames put out the socket has not taken, so that a
// peer that makes us send and does not read is found out.
type outbound struct {
	flow Flow
	out  *buffer.Buffer

	put  uint64   // bytes put out ever
	ends []uint64 // for each frame: where it ends in put, doubled, and 1 if it is a control frame
	// What ends holds may have left since; this is how long it may get before it is
	// looked at.
	look     int
	controls int  // control frames in ends
	flooded  bool // too many frames wait

	maxFrames, maxControls int
}

// lookAt is how many frames may be remembered, at the least, before outbound finds
// out which have left.
const lookAt = 64

func (o *outbound) init(flow Flow, s *Settings, out *buffer.Buffer) {
	*o = outbound{flow: flow, out: out, look: lookAt, maxFrames: s.MaxOutboundFrames, maxControls: s.MaxOutboundControlFrames}
}

// add takes note of a frame of n bytes.
func (o *outbound) add(n int, control bool) {
	o.put += uint64(n)
	end := o.put << 1
	if control {
		end |= 1
		o.controls++
	}
	o.ends = append(o.ends, end)
	if len(o.ends) >= o.look {
		o.trim()
		o.look = max(lookAt, 2*len(o.ends))
	}
}

// trim forgets the frames that have left.
func (o *outbound) trim() {
	waiting := uint64(max(o.flow.Unsent(), 0) + o.out.Len())
	sent := o.put - min(waiting, o.put)
	left := 0
	for left < len(o.ends) && o.ends[left]>>1 <= sent {
		o.controls -= int(o.ends[left] & 1)
		left++
	}
	if o.ends = slices.Delete(o.ends, 0, left); len(o.ends) == 0 && cap(o.ends) > 4*lookAt {
		o.ends = nil
	}
}

// check finds out whether too many frames wait.
func (o *outbound) check(stats *Stats, shard int) *codec.Error {
	if len(o.ends) <= o.maxFrames && o.controls <= o.maxControls {
		return nil
	}
	o.trim()
	o.flooded = len(o.ends) > o.maxFrames || o.controls > o.maxControls
	switch {
	case len(o.ends) > o.maxFrames:
		stats.OutboundFlood.Inc(shard)
		return flood("Too many frames in the outbound queue.")
	case o.controls > o.maxControls:
		stats.OutboundControlFlood.Inc(shard)
		return flood("Too many control frames in the outbound queue.")
	}
	return nil
}

// inbound counts the frames of the peer that cost more than they are worth. Each
// stream and each DATA frame sent gives credit for some; so that a peer cannot save it
// up, no more is kept than the open streams explain.
type inbound struct {
	empty                              int // frames without payload in a row
	priorities, windowUpdates, settled int // credit left

	maxEmpty, perStream, perData int
}

const (
	// firstWindowUpdates and updatesPerStream are Envoy's.
	firstWindowUpdates = 5
	updatesPerStream   = 2
	// maxDataCredit is how many DATA frames the peer may acknowledge later.
	maxDataCredit = 4096
	// maxSettings is how many SETTINGS frames more than streams a peer may send. Envoy has
	// no such bound.
	maxSettings = 1000
)

func (i *inbound) init(s *Settings) {
	*i = inbound{
		maxEmpty: s.MaxConsecutiveEmptyInboundFrames, perStream: s.MaxInboundPriorityFramesPerStream,
		perData:    s.MaxInboundWindowUpdateFramesPerDataFrameSent,
		priorities: s.MaxInboundPriorityFramesPerStream, windowUpdates: firstWindowUpdates, settled: maxSettings,
	}
}

func (i *inbound) streamOpened() {
	i.priorities += i.perStream
	i.windowUpdates += updatesPerStream
	i.settled = min(i.settled+1, maxSettings)
}

func (i *inbound) dataSent() { i.windowUpdates += updatesPerStream * i.perData }

// streamClosed takes back the credit that active streams do not explain.
func (i *inbound) streamClosed(active int) {
	i.priorities = min(i.priorities, i.perStream*(2+active))
	i.windowUpdates = min(i.windowUpdates, firstWindowUpdates+updatesPerStream*(active+1+i.perData*maxDataCredit))
}

// payload takes note of a HEADERS, CONTINUATION or DATA frame.
func (i *inbound) payload(n int, endStream bool, stats *Stats, shard int) *codec.Error {
	if n > 0 || endStream {
		i.empty = 0
		return nil
	}
	if i.empty++; i.empty > i.maxEmpty {
		stats.InboundEmptyFramesFlood.Inc(shard)
		return flood("Too many consecutive frames with an empty payload")
	}
	return nil
}

func (i *inbound) priority(stats *Stats, shard int) *codec.Error {
	if i.priorities--; i.priorities < 0 {
		stats.InboundPriorityFramesFlood.Inc(shard)
		return flood("Too many PRIORITY frames")
	}
	return nil
}

func (i *inbound) windowUpdate(stats *Stats, shard int) *codec.Error {
	if i.windowUpdates--; i.windowUpdates < 0 {
		stats.InboundWindowUpdateFramesFlood.Inc(shard)
		return flood("Too many WINDOW_UPDATE frames")
	}
	return nil
}

func (i *inbound) settings() *codec.Error {
	if i.settled--; i.settled < 0 {
		return flood("Too many SETTINGS frames")
	}
	return nil
}
