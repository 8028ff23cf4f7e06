package connpool

import (
	"encoding/binary"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/internal/l7/codec/h2"
)

// newHTTP2Stats makes metrics that are named HTTP2.<field>.
func newHTTP2Stats(m *metrics) *h2.Stats {
	s := &h2.Stats{}
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		name := "HTTP2." + v.Type().Field(i).Name
		switch v.Field(i).Interface().(type) {
		case *stats.Counter:
			m.counters[name] = stats.NewCounter(cells())
			v.Field(i).Set(reflect.ValueOf(m.counters[name]))
		case *stats.Gauge:
			m.gauges[name] = stats.NewGauge(cells())
			v.Field(i).Set(reflect.ValueOf(m.gauges[name]))
		}
	}
	return s
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// The frame types that the peer knows.
const (
	data = iota
	headers
	priority
	rst
	settings
	push
	ping
	goAway
	windowUpdate
)

// http2Peer is the other side of a connection that speaks HTTP/2: the test makes it
// send, and what it receives is logged.
type http2Peer struct {
	c       *fakeConn
	got     string
	greeted bool     // sent its SETTINGS
	open    []uint32 // streams that have no response
	bodies  []uint32 // of them, those whose request is not complete
}

func frame(typ, flags byte, stream uint32, payload string) string {
	b := append([]byte{0, 0, byte(len(payload)), typ, flags}, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[5:], stream)
	return string(b) + payload
}

func word(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

// receive takes the frames apart that the pool has sent.
func (p *http2Peer) receive(text string) {
	p.got += text
	for len(p.got) >= 9 {
		n := int(p.got[0])<<16 | int(p.got[1])<<8 | int(p.got[2])
		if len(p.got) < 9+n {
			return
		}
		p.frame(p.got[3], p.got[4], binary.BigEndian.Uint32([]byte(p.got[5:9])), p.got[9:9+n])
		p.got = p.got[9+n:]
	}
}

func (p *http2Peer) frame(typ, flags byte, id uint32, payload string) {
	h, c := p.c.h, p.c.id
	end := flags&1 != 0
	switch typ {
	case headers:
		h.log("c%d < headers %d end=%v", c, id, end)
		p.open = append(p.open, id)
		if !end {
			p.bodies = append(p.bodies, id)
		}
	case data:
		h.log("c%d < data %d end=%v", c, id, end)
		if end {
			p.bodies = without(p.bodies, id)
		}
	case rst:
		h.log("c%d < rst %d %d", c, id, payload[3])
		p.over(id)
	case ping:
		h.log("c%d < ping", c)
	case goAway:
		h.log("c%d < goaway %d", c, payload[7])
	}
}

func without(list []uint32, id uint32) []uint32 {
	return slices.DeleteFunc(list, func(x uint32) bool { return x == id })
}

func (p *http2Peer) over(id uint32) { p.open, p.bodies = without(p.open, id), without(p.bodies, id) }

// deliver sends frames, behind the peer's SETTINGS.
func (p *http2Peer) deliver(frames string) {
	if !p.greeted {
		p.greeted = true
		frames = frame(settings, 0, 0, "") + frames
	}
	p.c.deliver(frames)
}

// reply sends a response to a stream.
func (p *http2Peer) reply(stream string) {
	id, _ := strconv.ParseUint(stream, 10, 32)
	p.open = without(p.open, uint32(id))
	p.deliver(frame(headers, 4, uint32(id), "\x88") + frame(data, 1, uint32(id), "ok"))
}

// send sends the frame that the words of a transcript say.
func (p *http2Peer) send(t *testing.T, words []string) {
	number := func(i int) uint32 {
		n, err := strconv.ParseUint(words[i], 10, 32)
		if err != nil {
			t.Fatal(words, err)
		}
		return uint32(n)
	}
	id := number(0)
	switch words[1] {
	case "SETTINGS":
		p.deliver(frame(settings, 0, 0, "\x00\x03"+word(number(2))))
	case "GOAWAY":
		p.deliver(frame(goAway, 0, 0, word(number(2))+word(0)))
	case "RST":
		p.over(id)
		p.deliver(frame(rst, 0, id, word(number(2))))
	case "HEADERS":
		p.deliver(frame(headers, 4, id, "\x88"))
	case "END":
		p.over(id)
		p.deliver(frame(data, 1, id, ""))
	case "PONG":
		p.deliver(frame(ping, 1, 0, "12345678"))
	case "JUNK":
		p.deliver(frame(push, 4, id, "junk"))
	default:
		t.Fatal("no frame", words)
	}
}
