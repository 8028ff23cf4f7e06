package router

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	filtertest "github.com/nuncio-proxy/nuncio/testkit/httpfilter"
)

// TestRandomOrder lets client, upstream, mirror and clock act in any order, with all
// that a route may ask for: nothing is left in the end, and nothing panics.
func TestRandomOrder(t *testing.T) {
	for seed := range uint64(1000) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := &randomRun{rand: rand.New(rand.NewPCG(seed, 1)), responded: map[*filtertest.Attempt]bool{}, asked: map[*filtertest.Attempt]bool{}}
			r.b, r.mirror = mirrored(t, r.configure)
			r.request()
			for range 30 {
				r.step()
			}
			r.b.loop.Advance(time.Minute)
			r.b.stream.Leave()
			// Shadows go on without a client, and perhaps without a timeout.
			for _, a := range r.mirror.Attempts {
				switch {
				case a.Open():
					a.Break(httpmsg.ResetRemoteReset, "")
				case !r.mirror.Immediate && !r.asked[a] && !a.Cancelled:
					a.Fail(upstream.ConnectTimeout, "")
				}
			}
		})
	}
}

// randomRun is one run: it remembers what the upstream did, so that it breaks no rules.
type randomRun struct {
	b                *bench
	mirror           *filtertest.Cluster
	rand             *rand.Rand
	ended            bool                         // the request
	closed           bool                         // the server's half of the connection
	high             int                          // of the client
	asked, responded map[*filtertest.Attempt]bool // has a stream or none to get; has headers
}

func (r *randomRun) one(in int) bool { return r.rand.IntN(in) == 0 }

func (r *randomRun) configure(b *bench, _ *route.Mirror) {
	f := b.route.Forward
	b.cluster.Immediate, b.ctx.Clusters.(filtertest.Clusters)["s"].Immediate = r.one(2), r.one(2)
	b.stream.DecodeLimit = 1 + r.rand.IntN(20)
	f.Timeout = time.Duration(r.rand.IntN(3)) * time.Second
	f.HedgeOnPerTryTimeout = r.one(2)
	if r.one(2) {
		f.Mirrors = nil
	}
	if r.one(3) {
		f.Upgrades = []route.Upgrade{{Type: "connect", Enabled: true, Connect: &route.Connect{AllowPost: true}}}
	}
	if r.one(2) {
		f.Redirect = &route.InternalRedirect{MaxRedirects: 1, Codes: []int{302}}
	}
	f.Retry = &route.RetryPolicy{
		On: route.Retry5xx, NumRetries: r.rand.IntN(4), PerTryTimeout: time.Duration(r.rand.IntN(2)) * 300 * time.Millisecond,
		PerTryIdleTimeout: time.Duration(r.rand.IntN(2)) * 400 * time.Millisecond,
	}
}

func (r *randomRun) request() {
	fields := []string{":method", "POST", ":path", "/", ":authority", "h", ":scheme", "http"}
	switch r.rand.IntN(6) {
	case 0:
		fields[1] = "CONNECT"
	case 1:
		fields = append(fields, "connection", "upgrade", "upgrade", "websocket")
	case 2:
		fields = append(fields, "content-type", "application/grpc")
	}
	r.ended = fields[1] == "POST" && r.one(4)
	r.b.stream.Request(r.ended, fields...)
}

func (r *randomRun) step() {
	switch r.rand.IntN(8) {
	case 0:
		r.b.loop.Advance(time.Duration(r.rand.IntN(500)) * time.Millisecond)
	case 1:
		if !r.ended && !r.b.stream.Destroyed {
			if r.ended = r.one(3); r.ended && r.one(3) {
				r.b.stream.Trailers("t", "1")
				return
			}
			r.b.stream.Body("some", r.ended)
		}
	case 2:
		if r.high > 0 {
			r.high--
			r.b.stream.Low()
		} else if !r.b.stream.Destroyed {
			r.high++
			r.b.stream.High()
		}
	case 3:
		r.connection()
	case 4:
		r.attempt(r.mirror)
	default:
		r.attempt(r.b.cluster)
	}
}

// attempt lets the upstream do something about one of the attempts.
func (r *randomRun) attempt(c *filtertest.Cluster) {
	if len(c.Attempts) == 0 {
		return
	}
	a := c.Attempts[r.rand.IntN(len(c.Attempts))]
	switch {
	case a.Cancelled:
	case !a.Open() && !c.Immediate && !r.asked[a]:
		r.asked[a] = true
		if r.one(4) {
			a.Fail([]upstream.PoolFailure{upstream.Overflow, upstream.RemoteConnectionFailure}[r.rand.IntN(2)], "why")
		} else {
			a.Ready()
		}
	case !a.Open():
	case r.one(6):
		a.Break([]httpmsg.ResetReason{httpmsg.ResetRemoteReset, httpmsg.ResetConnectionTermination}[r.rand.IntN(2)], "")
	case r.one(6):
		a.High()
	case !r.responded[a] && r.one(6):
		a.Interim(":status", "103")
	case !r.responded[a]:
		r.responded[a] = true
		a.Respond(r.one(3), ":status", []string{"200", "500", "302", "101"}[r.rand.IntN(4)], "location", "http://h/")
	case r.one(4):
		a.SendTrailers("grpc-status", "0")
	default:
		a.Send("answer", r.one(3))
	}
}

func (r *randomRun) connection() {
	all := r.b.cluster.Connections
	if len(all) == 0 {
		return
	}
	c := all[len(all)-1]
	switch {
	case c.Cancelled || c.State() == network.Closed || r.closed:
	case !c.Given && r.one(4):
		c.Fail(upstream.RemoteConnectionFailure, "why")
		c.Cancelled = true
	case !c.Given:
		c.Ready()
		r.closed = false
	case r.one(5):
		c.Raise(network.RemoteClose)
	default:
		r.closed = r.one(3)
		c.Receive("bytes", r.closed)
	}
}
