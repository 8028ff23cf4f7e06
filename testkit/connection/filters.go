package connection

import (
	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/network"
)

type readFilter struct {
	conn   *Fake
	filter network.ReadFilter
	at     int
	told   bool
}

// AddReadFilter adds f behind the read filters there are.
func (c *Fake) AddReadFilter(f network.ReadFilter) {
	r := &readFilter{conn: c, filter: f, at: len(c.reads)}
	c.reads = append(c.reads, r)
	f.InitializeRead(r)
}

// AddWriteFilter adds f, which is called before the write filters there are.
func (c *Fake) AddWriteFilter(f network.WriteFilter) {
	w := &writeFilter{conn: c, filter: f, at: len(c.writes)}
	c.writes = append(c.writes, w)
	f.InitializeWrite(w)
}

// AddFilter adds f as both.
func (c *Fake) AddFilter(f network.Filter) {
	c.AddReadFilter(f)
	c.AddWriteFilter(f)
}

// run passes data to the read filters from one on.
func (c *Fake) run(from int, data *buffer.Buffer, endStream bool) {
	for i := from; i < len(c.reads) && c.state == network.Open; i++ {
		r := c.reads[i]
		if !r.told {
			r.told = true
			if r.filter.OnNewConnection() == network.StopIteration || c.state != network.Open {
				return
			}
		}
		if data.Len() > 0 || endStream {
			if r.filter.OnData(data, endStream) == network.StopIteration {
				return
			}
		}
	}
}

func (r *readFilter) Connection() network.Connection { return r.conn }
func (r *readFilter) ContinueReading()               { r.conn.run(r.at+1, &r.conn.in, r.conn.ended) }
func (r *readFilter) Upstream() *network.UpstreamChoice {
	return &r.conn.choice
}
func (r *readFilter) InjectRead(data *buffer.Buffer, endStream bool) {
	r.conn.run(r.at+1, data, endStream)
}

type writeFilter struct {
	conn   *Fake
	filter network.WriteFilter
	at     int
}

func (w *writeFilter) Connection() network.Connection { return w.conn }
func (w *writeFilter) InjectWrite(data *buffer.Buffer, endStream bool) {
	w.conn.write(w.at-1, data, endStream)
}
