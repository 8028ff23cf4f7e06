package hcm

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/format"
	"github.com/nuncio-proxy/nuncio/api/httpfilter"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/route"
)

// detected is an IPDetector that always finds the same.
type detected httpfilter.Detection

func (d detected) DetectIP(*httpmsg.Headers, address.Address) httpfilter.Detection {
	return httpfilter.Detection(d)
}

func addr(text string) address.Address {
	return address.FromAddrPort(netip.MustParseAddrPort(text))
}

// addHeader is a mutation that adds a header.
type addHeader string

func (a addHeader) MutateHeaders(h *httpmsg.Headers, _ *format.Entry) { h.Add(string(a), "1") }

// TestRequestExtensions shows what extensions make of a request: the upstream's
// headers, and the client's address in logs.
func TestRequestExtensions(t *testing.T) {
	detect := func(d ...detected) func(*config) {
		return func(c *config) {
			for _, one := range d {
				c.detectors = append(c.detectors, one)
			}
			c.internal = address.Ranges{netip.MustParsePrefix("10.0.0.0/8")}
		}
	}
	const peer = "192.0.2.1:4000"
	tests := []struct {
		name, in string
		change   func(*config)
		want     string // without those that are always there
		remote   string
	}{
		{"found", "", detect(detected{Address: addr("10.0.0.1:0")}), "", "10.0.0.1:0"},
		{"found and trusted", "", detect(detected{Address: addr("10.0.0.1:0"), Trusted: true}), "x-envoy-internal=true|", "10.0.0.1:0"},
		{"trusted, not internal", "", detect(detected{Address: addr("11.0.0.1:0"), Trusted: true}), "", "11.0.0.1:0"},
		{"the first that knows", "", detect(detected{}, detected{Address: addr("1.1.1.1:0")}, detected{Address: addr("2.2.2.2:0")}), "", "1.1.1.1:0"},
		{"none knows", "x-forwarded-for: 10.0.0.9\r\n", detect(detected{}), "x-forwarded-for=10.0.0.9|", peer},
		{"appended", "x-forwarded-for: 10.0.0.9\r\n", detect(detected{AppendXFF: true}), "x-forwarded-for=10.0.0.9,192.0.2.1|", peer},
		{"early", "", func(c *config) { c.early = []route.HeaderMutation{addHeader("x-e"), addHeader("x-f")} }, "x-e=1|x-f=1|", peer},
		{"early before the rest", "", func(c *config) {
			c.early = []route.HeaderMutation{addHeader("x-request-id")}
			c.useRemoteAddress = true
		},
			"x-forwarded-for=192.0.2.1|x-envoy-external-address=192.0.2.1|", peer},
		{"user agent", "", func(c *config) { c.addUserAgent, c.userAgent, c.node = true, "cl", "n" },
			"x-envoy-downstream-service-cluster=cl|user-agent=cl|x-envoy-downstream-service-node=n|", peer},
		{"user agent of the client", "user-agent: u\r\n", func(c *config) { c.addUserAgent, c.userAgent = true, "cl" }, "user-agent=u|x-envoy-downstream-service-cluster=cl|", peer},
		{"internal only", "x-internal-only: 1\r\n", func(c *config) { c.routes = fixedTable{&route.Route{}, []string{"x-internal-only"}} }, "", peer},
		{"with a port", "x-forwarded-for: 10.0.0.9:80\r\n", nil, "x-forwarded-for=10.0.0.9:80|", peer},
	}
	always := strings.NewReplacer(":authority=a|:path=/|:method=GET|", "", "x-forwarded-proto=http|", "", ":scheme=http|", "", "x-request-id=ID|", "")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			var remote string
			h := newHarness(t, test.change, func(cb httpfilter.Callbacks) httpfilter.Filter {
				return &scripted{cb: cb, name: "a", log: new([]string), decode: map[string]func(*scripted) int{"headers": func(f *scripted) int {
					remote = f.cb.Stream().Downstream.Remote.String()
					return 0
				}}}
			}, newBackend(false, &got))
			h.conn.receive("GET / HTTP/1.1\r\nHost: a\r\n" + test.in + "\r\n")
			if len(got) != 1 || always.Replace(got[0]) != test.want || remote != test.remote {
				t.Errorf("got  %s from %s\nwant %s from %s", got, remote, test.want, test.remote)
			}
		})
	}
}

func TestRejectedByDetection(t *testing.T) {
	h := newHarness(t, func(c *config) {
		c.detectors = []httpfilter.IPDetector{detected{}, detected{Reject: 429}, detected{Address: addr("1.1.1.1:0")}}
	}, newBackend(false, nil))
	h.conn.receive(get)
	if got := strings.Join(h.log, ","); got != "429 - rejecting_because_detection_failed" || h.cfg.stats.rqRejectedByIP.Value() != 1 || h.conn.closed != "" {
		t.Errorf("log %s, closed %q", got, h.conn.closed)
	}
}

// TestForwardedProto: the port that a proxy before this one tells of says what the
// client speaks.
func TestForwardedProto(t *testing.T) {
	for _, c := range []struct {
		local, direct, want string
	}{
		{"192.0.2.9:443", "192.0.2.9:443", "http"}, // nobody told
		{"192.0.2.9:443", "192.0.2.8:80", "https"},
		{"192.0.2.9:80", "192.0.2.8:443", "http"},
		{"192.0.2.9:99", "192.0.2.8:443", "http"},
	} {
		var got []string
		h := newHarness(t, func(c *config) { c.httpsPorts, c.httpPorts = []uint32{443}, []uint32{80} }, newBackend(false, &got))
		h.conn.info.Local, h.conn.info.DirectLocal = addr(c.local), addr(c.direct)
		h.conn.receive(get)
		if !strings.Contains(got[0], "x-forwarded-proto="+c.want+"|:scheme="+c.want+"|") {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// marker is a filter that adds its name to requests and responses.
func marker(name string) httpfilter.Builder {
	return func(cb httpfilter.Callbacks) httpfilter.Filter {
		return &scripted{cb: cb, name: name, log: new([]string),
			decode: map[string]func(*scripted) int{"headers": func(f *scripted) int { f.cb.RequestHeaders().Add("x-m", name); return 0 }},
			encode: map[string]func(*scripted) int{"headers": func(f *scripted) int { f.cb.ResponseHeaders().Add("x-m", name); return 0 }},
		}
	}
}

// switcher is a terminal filter that accepts upgrades.
func switcher(got *[]string) httpfilter.Builder {
	return func(cb httpfilter.Callbacks) httpfilter.Filter {
		response := new(httpmsg.Headers)
		return &scripted{cb: cb, name: "s", log: new([]string), decode: map[string]func(*scripted) int{"headers": func(f *scripted) int {
			name, _ := f.cb.RequestHeaders().Find("x-m")
			*got = append(*got, name)
			response.SetStatusCode(101)
			response.AddID(httpmsg.Connection, "upgrade")
			response.AddID(httpmsg.Upgrade, "websocket")
			f.cb.StartResponse(response, false, "via_upstream")
			return 1
		}}}
	}
}

// typed logs the type of each entry.
type typed struct{ log []string }

func (l *typed) Log(e *format.Entry) { l.log = append(l.log, e.Type.String()) }

func TestUpgrades(t *testing.T) {
	const upgrade = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: WebSocket\r\n\r\n"
	tests := []struct {
		name     string
		upgrades []upgradeConfig
		route    []route.Upgrade
		want     string // the filter that was taken, "" for a refusal
	}{
		{"own filters", []upgradeConfig{{kind: "websocket", enabled: true, filters: []filterConfig{{name: "up", build: marker("up")}}}}, nil, "up"},
		{"filters of all requests", []upgradeConfig{{kind: "websocket", enabled: true}}, nil, "main"},
		{"not configured", nil, nil, ""},
		{"off", []upgradeConfig{{kind: "websocket"}}, nil, ""},
		{"on by the route", []upgradeConfig{{kind: "websocket", filters: []filterConfig{{name: "up", build: marker("up")}}}},
			[]route.Upgrade{{Type: "websocket", Enabled: true}}, "up"},
		{"on by the route alone", nil, []route.Upgrade{{Type: "websocket", Enabled: true}}, "main"},
		{"off by the route", []upgradeConfig{{kind: "websocket", enabled: true}}, []route.Upgrade{{Type: "websocket"}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			l := new(typed)
			h := newHarness(t, func(c *config) {
				for _, u := range test.upgrades {
					if u.filters != nil {
						u.filters = append(u.filters[:1:1], filterConfig{name: "s", build: switcher(&got)})
					}
					c.upgrades = append(c.upgrades, u)
				}
				c.routes = fixedTable{r: &route.Route{Forward: &route.Forward{Upgrades: test.route}}}
				c.accessLogs = []accesslog.Logger{l}
				c.flushLogs = logFlush{interval: time.Second, onRequest: true, onTunnel: true}
			}, marker("main"), switcher(&got))
			h.conn.receive(upgrade)
			h.loop.Advance(1500 * time.Millisecond)
			name, logs := "main", "DownstreamStart DownstreamEnd"
			if test.want != "" {
				name, logs = test.want, "DownstreamStart DownstreamTunnelSuccessfullyEstablished DownstreamPeriodic DownstreamEnd"
			}
			if test.want != "" && (len(got) != 1 || got[0] != test.want) || test.want == "" && len(got) != 0 {
				t.Errorf("served by %s", got)
			}
			if !strings.Contains(h.sent(), "\r\nx-m: "+name+"\r\n") || strings.HasPrefix(h.sent(), "HTTP/1.1 101") != (test.want != "") {
				t.Errorf("sent %q", h.sent())
			}
			if h.conn.state == network.Open {
				h.conn.remoteClose()
			}
			if s := strings.Join(l.log, " "); s != logs {
				t.Errorf("logged %s", s)
			}
			h.checkClean()
		})
	}
}

// TestKeepAfterBadRequest: with stream_error_on_invalid_http_message a request that
// could be read to its end does not end the connection.
func TestKeepAfterBadRequest(t *testing.T) {
	for in, open := range map[string]bool{
		"GET / HTTP/1.1\r\n\r\n":                                 true,
		"GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n":                   true,
		"QUERY / HTTP/1.1\r\nhost: a\r\n\r\n":                    true,
		"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc":        false,
		"GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n":          false,
		"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n": false,
	} {
		h := newHarness(t, func(c *config) { c.keepAfterBadRequest = true }, newBackend(false, nil))
		h.conn.receive(in)
		if (h.conn.closed == "") != open {
			t.Errorf("%q: closed %q", in, h.conn.closed)
		}
	}
}

// TestSafeMaxDuration: the request after the deadline is the last one.
func TestSafeMaxDuration(t *testing.T) {
	h := newHarness(t, func(c *config) {
		c.maxConnectionDuration, c.http1SafeMaxDuration, c.drainTimeout = time.Minute, true, time.Second
	}, newBackend(false, nil))
	h.conn.receive(get)
	h.loop.Advance(2 * time.Minute)
	if h.conn.closed != "" || h.cfg.stats.cxSoftDrain.Value() != 1 {
		t.Fatalf("closed %q, %d in soft drain", h.conn.closed, h.cfg.stats.cxSoftDrain.Value())
	}
	h.conn.receive(get)
	if !strings.HasSuffix(h.sent(), "server: envoy\r\nconnection: close\r\n\r\nok") || h.conn.closed == "" {
		t.Errorf("sent %q, closed %q", h.sent(), h.conn.closed)
	}
	if h.cfg.stats.cxSoftDrain.Value() != 0 || h.cfg.stats.cxMaxDurationReached.Value() != 1 {
		t.Error("the statistics say otherwise")
	}
}

// TestJitter: a random part is added to the duration.
func TestJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 20 {
		h := newHarness(t, func(c *config) { c.maxConnectionDuration, c.maxConnectionJitter = time.Minute, time.Minute }, newBackend(false, nil))
		for range len(seen) { // another place of the same random sequence
			h.loop.Random()
		}
		h.connect()
		start := h.loop.Now()
		for h.conn.closed == "" && h.loop.Now().Sub(start) < 3*time.Minute {
			h.loop.Advance(time.Second)
		}
		d := h.loop.Now().Sub(start)
		if d < time.Minute || d > 2*time.Minute+time.Second {
			t.Fatalf("closed after %v", d)
		}
		seen[d] = true
	}
	if len(seen) < 2 {
		t.Error("nothing is random")
	}
}

func TestCloseIfIdle(t *testing.T) {
	h := newHarness(t, nil, newBackend(true, nil))
	closer := h.conn.reader.(network.IdleCloser)
	h.conn.receive("GET / HT")
	closer.CloseIfIdle()
	if h.conn.closed != "" {
		t.Fatalf("closed %q with half a request", h.conn.closed)
	}
	h.conn.receive("TP/1.1\r\nhost: a\r\n\r\n")
	closer.CloseIfIdle()
	if h.conn.closed != "" {
		t.Fatalf("closed %q with a request that waits", h.conn.closed)
	}
	h.conn.remoteClose()
	h.connect()
	h.conn.reader.(network.IdleCloser).CloseIfIdle()
	if h.conn.closed != "1 drained_idle_connection" {
		t.Errorf("closed %q", h.conn.closed)
	}
}
