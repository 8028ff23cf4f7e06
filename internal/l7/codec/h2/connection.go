package h2

import (
	"encoding/binary"
	"slices"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2/hpack"
)

// A side is what the two sides of a connection do differently.
type side interface {
	// beginHeaders is called for a HEADERS frame of a stream that is not open. It returns
	// the new stream, or nil if its header block is only decoded.
	beginHeaders(id uint32) (*stream, *codec.Error)
	// onHeaders is called for a complete header section that is no trailers.
	onHeaders(s *stream, f *section, endStream bool) *codec.Error
	// isIdle reports whether no stream with that id was ever opened.
	isIdle(id uint32) bool
	// lastStream is the stream that a GOAWAY names.
	lastStream() uint32
	onGoAway(last uint32, code ErrorCode)
	onSettings()
	onPingAck(data uint64)
	// allowsReset is called for each RST_STREAM. It reports false if there are too many.
	allowsReset() bool
	// onEnd is called when a stream has ended.
	onEnd(s *stream)
	// end ends all streams.
	end(reason httpmsg.ResetReason)
	// onFault tells the stream at fault, which may be nil, that the connection fails.
	onFault(s *stream, detail string)
}

// A connection is what both sides have in common.
type connection struct {
	side     side
	server   bool
	flow     Flow
	settings *Settings
	stats    *Stats
	shard    int
	spares   *Streams

	reader  reader
	hpack   hpack.Decoder
	section section
	emit    func(*hpack.Field) error // section.add, made once
	writer  writer
	inbound inbound

	streams []*stream // those that are open and have an id, in its order
	retired []*stream // those that ended since the last Dispatch
	closed  closedStreams
	queue   sendQueue

	receive    receiveWindow
	sendWindow int64
	peer       peerSettings

	dispatching bool
	woken       bool // Redispatch was called
	resumed     bool // a stream is
	high        bool // the network connection takes no more output now
	goAwaySent  bool // the final one
	dead        bool // an error or the end of the network connection: nothing is done any more
	silent      bool // the peer is not told of the error
	flooded     *codec.Error
	// early are streams of a server that have sent their response in this Dispatch, and
	// may still get the end of the request.
	early []*stream
}

// peerSettings are what the peer announced.
type peerSettings struct {
	initialWindow int64
	maxStreams    uint32
	connect       bool
}

func (c *connection) init(side side, flow Flow, settings *Settings, stats *Stats, shard int, spares *Streams, out *buffer.Buffer) {
	*c = connection{
		side: side, flow: flow, settings: settings, stats: stats, shard: shard, spares: spares,
		receive:    newReceiveWindow(max(settings.InitialConnectionWindow, defaultWindow)),
		sendWindow: defaultWindow,
		peer:       peerSettings{initialWindow: defaultWindow, maxStreams: maxStreamID},
	}
	c.section.init(settings)
	c.emit = c.section.add
	c.hpack.Init(settings.HeaderTableSize)
	c.writer.out = out
	c.writer.hpack.Init()
	c.writer.hpack.SetHuffman(settings.Huffman)
	c.writer.pending.init(flow, settings, out)
	c.inbound.init(settings)
}

// Dispatch implements codec.Connection. It takes all bytes. An error is a
// *codec.Error: the output may end with a GOAWAY frame then. On a server the stream at
// fault, if there is one, got OnProtocolError, and the owner ends the others, or calls
// OnClose. On a client all streams are gone (ResetProtocolError).
func (c *connection) Dispatch(data *buffer.Buffer) error {
	c.woken = false
	if c.dead {
		data.Drain(data.Len())
		return nil
	}
	c.dispatching = true
	err := c.flooded
	if err == nil {
		err = c.read(data)
	}
	if err == nil {
		err = c.flooded
	}
	if err == nil {
		c.deliverResumed()
		c.pump()
		c.endEarly()
		err = c.writer.pending.check(c.stats, c.shard)
	}
	c.dispatching = false
	c.recycle()
	if err != nil {
		data.Drain(data.Len())
		if c.silent || err.Flood && !c.writer.pending.flooded {
			c.writer.out.Drain(c.writer.out.Len())
		}
		c.die()
		return err
	}
	return nil
}

// Fail makes the Dispatch that is under way return err, or the one that is asked for.
func (c *connection) Fail(err *codec.Error) {
	c.flooded = err
	if !c.dispatching {
		c.wake()
	}
}

// die ends all use of the connection after an error; a client's streams go with it.
func (c *connection) die() {
	c.dead = true
	if !c.server {
		c.side.end(httpmsg.ResetProtocolError)
	}
}

// checkOutbound is called after frames were put out.
func (c *connection) checkOutbound() {
	if c.dispatching || c.dead || c.flooded != nil {
		return
	}
	if c.flooded = c.writer.pending.check(c.stats, c.shard); c.flooded != nil {
		c.wake()
	}
}

// wake asks for another Dispatch.
func (c *connection) wake() {
	if !c.woken && !c.dead {
		c.woken = true
		c.flow.Redispatch()
	}
}

func (c *connection) deliverResumed() {
	if !c.resumed {
		return
	}
	c.resumed = false
	for s := c.after(0); s != nil; s = c.after(s.id) {
		if s.resumed {
			s.deliverHeld(&c.reader.body)
		}
	}
}

// Version implements codec.Connection.
func (c *connection) Version() httpmsg.Version { return httpmsg.HTTP2 }

// WantsRead reports whether Dispatch would take bytes, which it always does: a stream
// that is read-disabled stops its peer by its window.
func (c *connection) WantsRead() bool { return true }

// Active is the number of streams that are open, with those whose last bytes wait for
// the peer's window and that the owner has nothing to do with any longer.
func (c *connection) Active() int { return len(c.streams) }

// GoAway implements codec.Connection: it sends the final GOAWAY, which names the last
// stream that is served.
func (c *connection) GoAway() {
	if !c.dead && !c.goAwaySent {
		c.goAwaySent = true
		c.stats.GoAwaySent.Inc(c.shard)
		c.writer.goAway(c.side.lastStream(), NoError, "")
	}
}

// Ping sends a PING frame. Its answer is OnPingAck.
func (c *connection) Ping(data uint64) {
	if !c.dead {
		var p [8]byte
		binary.BigEndian.PutUint64(p[:], data)
		c.writer.ping(p[:], false)
	}
}

// OnClose tells the codec that the network connection is gone. Streams that are not
// complete get OnReset.
func (c *connection) OnClose(reason httpmsg.ResetReason) {
	c.dead = true
	for n := len(c.streams); n > 0; n = len(c.streams) {
		c.abort(c.streams[n-1], reason)
	}
}

// endEarly ends the streams that have sent their response in this Dispatch.
func (c *connection) endEarly() {
	for i, s := range c.early {
		c.early[i] = nil
		s.endStream()
	}
	c.early = c.early[:0]
}

// newStream returns a stream that nobody uses.
func (c *connection) newStream() *stream {
	s := c.spares.take()
	s.c = c
	return s
}

// open puts a stream with an id above all others into the list.
func (c *connection) open(s *stream, id uint32) {
	s.id, s.open = id, true
	s.sendWindow = c.peer.initialWindow
	s.receive = newReceiveWindow(max(c.settings.InitialStreamWindow, defaultWindow))
	s.length = -1
	c.streams = append(c.streams, s)
	c.stats.StreamsActive.Inc(c.shard)
}

// search returns the place of the first open stream whose id is not below id. Most often
// that is the oldest one, or none.
func (c *connection) search(id uint32) int {
	low, high := 0, len(c.streams)
	if high == 0 || c.streams[high-1].id < id {
		return high
	}
	for probe := 0; low < high; probe = (low + high) / 2 {
		if c.streams[probe].id < id {
			low = probe + 1
		} else {
			high = probe
		}
	}
	return low
}

// find returns the open stream with that id, nil if there is none.
func (c *connection) find(id uint32) *stream {
	if i := c.search(id); i < len(c.streams) && c.streams[i].id == id {
		return c.streams[i]
	}
	return nil
}

// after returns the first stream with a larger id: so loops stand it when their calls
// end streams.
func (c *connection) after(id uint32) *stream {
	if i := c.search(id + 1); i < len(c.streams) {
		return c.streams[i]
	}
	return nil
}

// close ends a stream that is complete.
func (c *connection) close(s *stream) {
	c.remove(s)
	c.side.onEnd(s)
}

// abort ends a stream that is not.
func (c *connection) abort(s *stream, reason httpmsg.ResetReason) {
	decoder := s.decoder
	if !c.server && s.delivered {
		decoder = nil // the response is complete
	}
	c.remove(s)
	if decoder != nil {
		decoder.OnReset(reason)
	}
	c.side.onEnd(s)
}

// resetStream ends a stream by RST_STREAM. Its decoder, if there is one, gets to know
// the reason.
func (c *connection) resetStream(s *stream, code ErrorCode, reason httpmsg.ResetReason, details string) {
	s.countReset()
	if s.id != 0 {
		c.writer.rstStream(s.id, code)
		c.stats.TxReset.Inc(c.shard)
		c.checkOutbound()
	}
	s.details = details
	c.abort(s, reason)
}

// remove takes a stream out of all lists. It may be used until the end of Dispatch.
func (c *connection) remove(s *stream) {
	if i := c.search(s.id); i < len(c.streams) && c.streams[i] == s {
		c.streams = slices.Delete(c.streams, i, i+1)
		c.stats.StreamsActive.Dec(c.shard)
	}
	s.open = false
	if s.remoteEnd {
		c.closed.add(s.id)
	}
	c.queue.remove(s)
	c.stats.PendingSendBytes.Add(c.shard, -int64(s.send.Len()))
	s.send.Drain(s.send.Len())
	s.dropHeld()
	c.reader.forget(s)
	c.inbound.streamClosed(len(c.streams))
	if len(c.retired) < maxSpares {
		c.retired = append(c.retired, s)
	}
}

// recycle makes the streams that ended usable again: not before the end of Dispatch,
// since calls that are under way may look at them.
func (c *connection) recycle() {
	for i, s := range c.retired {
		c.retired[i] = nil
		c.spares.put(s)
	}
	c.retired = c.retired[:0]
}

// closedStreams remembers the last streams that the peer has ended, for which it must
// send nothing any more. What comes for others is on its way since before our reset.
type closedStreams struct {
	ids [16]uint32
	at  uint8
}

func (c *closedStreams) add(id uint32) {
	c.ids[c.at%16] = id
	c.at++
}

func (c *closedStreams) has(id uint32) bool { return slices.Contains(c.ids[:], id) }
