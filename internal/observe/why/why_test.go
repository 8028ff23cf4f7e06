package why

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/adminhook"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/route"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/why"
)

var epoch = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// table explains with the path that it is asked for; nothing else is asked of it.
type table struct{ route.Table }

func (table) Explain(h *httpmsg.Headers, _ *streaminfo.Stream, random uint64) *route.Explanation {
	return &route.Explanation{VirtualHost: "v", Domain: "*", Steps: []route.Step{
		{Index: 0, Name: "api", Failed: fmt.Sprintf("path prefix %q against %q", "/api", h.Get(httpmsg.Path))},
		{Index: 1}}, Cluster: fmt.Sprint(random)}
}

func parse(text string) address.Address { return address.FromAddrPort(netip.MustParseAddrPort(text)) }

// answer is one with everything; id tells it from others.
func answer(t *testing.T, id string, end time.Time) *why.Answer {
	t.Helper()
	var h httpmsg.Headers
	h.AddID(httpmsg.Method, "GET")
	h.AddID(httpmsg.Authority, "rewritten")
	h.AddID(httpmsg.Path, "/rewritten")
	h.AddID(httpmsg.XEnvoyOriginalPath, "/x?y")
	h.AddID(httpmsg.XEnvoyOriginalHost, "a.com")
	return &why.Answer{
		Request: &h,
		Stream: &streaminfo.Stream{
			Start: end.Add(-3 * time.Millisecond), End: end, RequestID: id, ResponseCode: 503, ResponseDetails: "no_healthy_upstream",
			Flags:      streaminfo.NoHealthyUpstream,
			Downstream: &streaminfo.Connection{Listener: &streaminfo.Listener{Name: "l"}, FilterChainName: "c", Remote: parse("1.2.3.4:5")},
			Upstream:   streaminfo.Upstream{ClusterRaw: "up", FailureReason: "delayed connect error: Connection refused"},
			Failed: []streaminfo.Attempt{
				{Host: parse("10.0.0.1:80"), Hostname: "h", ConnectionID: 7, Reused: true, Start: end.Add(-2 * time.Millisecond), End: end,
					Outcome: "response", Status: 500, Next: "retried after 25ms"},
				{Start: end, End: end, Outcome: "no healthy host", TransportFailure: "refused", Next: "no retries left"},
			},
		},
		Routes: table{}, Random: 9, Body: "no healthy\nupstream", Connection: "kept open",
	}
}

func newLog(lines *[]string) *Log {
	return New(Config{Shards: 2, LogEnabled: func() bool { return lines != nil }, LogLine: func(l string) { *lines = append(*lines, l) }})
}

func (l *Log) get(query string) (status int, body string) {
	w := httptest.NewRecorder()
	l.Endpoint().Serve(w, httptest.NewRequest("GET", "/why?"+query, nil), adminhook.ParseQuery(query))
	return w.Code, w.Body.String()
}

func TestText(t *testing.T) {
	var lines []string
	l := newLog(&lines)
	l.Record(1, answer(t, "id-1", epoch))
	const want = `2026-11-23T10:00:00.000Z GET a.com/x?y got 503: no_healthy_upstream (UH)
  client      1.2.3.4:5 on listener l, filter chain c
  request id  id-1
  routing     virtual host v by domain "*"
              route 0 api: path prefix "/api" against "/x?y"
              route 1 matched
              weighted cluster 9
  cluster     up
  attempts    10.0.0.1:80 (h): response 500, after 2ms on a reused connection; retried after 25ms
              no host: no healthy host, refused, after 0s; no retries left
  upstream    delayed connect error: Connection refused
  answer      no healthy\nupstream
  connection  kept open

`
	if status, got := l.get(""); status != 200 || got != want {
		t.Errorf("%d\n%s\nwant\n%s", status, got, want)
	}
	const line = `why: GET a.com/x?y got 503: no_healthy_upstream (UH); client: 1.2.3.4:5 on listener l, filter chain c; request id: id-1; ` +
		`routing: virtual host v by domain "*", then route 0 api: path prefix "/api" against "/x?y", then route 1 matched, then weighted cluster 9; ` +
		`cluster: up; attempts: 10.0.0.1:80 (h): response 500, after 2ms on a reused connection; retried after 25ms, ` +
		`then no host: no healthy host, refused, after 0s; no retries left; upstream: delayed connect error: Connection refused; ` +
		`answer: no healthy\nupstream; connection: kept open`
	if len(lines) != 1 || lines[0] != line {
		t.Errorf("%q", lines)
	}
}

// TestNoRequest: bytes that were no request, and no answer.
func TestNoRequest(t *testing.T) {
	l := newLog(nil)
	a := answer(t, "", epoch)
	a.Request, a.Routes, a.Body, a.Connection = nil, nil, "", ""
	*a.Stream = streaminfo.Stream{Start: epoch, End: epoch, ResponseDetails: "http1.codec_error", Flags: streaminfo.DownstreamProtocolError,
		Downstream: a.Stream.Downstream}
	l.Record(0, a)
	const want = `2026-11-23T10:00:00.000Z a request that was not understood got no response: http1.codec_error (DPE)
  client      1.2.3.4:5 on listener l, filter chain c

`
	if _, got := l.get(""); got != want {
		t.Errorf("%s", got)
	}
}

func TestJSON(t *testing.T) {
	l := newLog(nil)
	if _, got := l.get("format=json"); got != "{\n \"answers\": []\n}\n" {
		t.Errorf("%q", got)
	}
	l.Record(0, answer(t, "id", epoch))
	_, body := l.get("format=json")
	var got struct {
		Answers []struct {
			Path    string
			Status  int
			Routing struct {
				Steps []struct{ Failed string }
			}
			Attempts []struct{ Host, Next string }
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if a := got.Answers[0]; a.Path != "/x?y" || a.Status != 503 || len(a.Routing.Steps) != 2 || a.Attempts[0].Host != "10.0.0.1:80" {
		t.Errorf("%+v\n%s", a, body)
	}
}

func TestSelection(t *testing.T) {
	l := newLog(nil)
	for i := range perShard + 10 { // the first ten are forgotten
		l.Record(0, answer(t, fmt.Sprint("a", i), epoch.Add(time.Duration(2*i)*time.Second)))
		l.Record(1, answer(t, fmt.Sprint("b", i), epoch.Add(time.Duration(2*i+1)*time.Second)))
	}
	for _, tc := range []struct {
		query string
		code  int
		first string // part of the first line with an id
		count int
	}{
		{"", 200, "b137", 20},
		{"last=3", 200, "b137", 3},
		{"last=100000", 200, "b137", 2 * perShard},
		{"id=a10", 200, "a10", 1},
		{"id=a9", 200, "no such answer", 0},
		{"status=503&last=1", 200, "b137", 1},
		{"status=0", 200, "no such answer", 0},
		{"flag=UH&last=1", 200, "b137", 1},
		{"flag=U", 200, "no such answer", 0},
		{"last=0", 400, "last must be a number", 0},
		{"status=x", 400, "status must be a number", 0},
		{"format=xml", 400, "format must be", 0},
	} {
		code, body := l.get(tc.query)
		if code != tc.code || strings.Count(body, "request id") != tc.count || !strings.Contains(body, tc.first) {
			t.Errorf("%q: %d, %d answers\n%.300s", tc.query, code, strings.Count(body, "request id"), body)
		}
	}
}

// TestConcurrent has workers write while admin reads: the race detector judges.
func TestConcurrent(t *testing.T) {
	l := newLog(nil)
	var wg sync.WaitGroup
	for shard := range 2 {
		wg.Go(func() {
			a := answer(t, "id", epoch)
			for range 1000 {
				l.Record(shard, a)
				a.Request.Set(httpmsg.Path, "/other")
				a.Stream.Flags = 0
			}
		})
	}
	for range 50 {
		l.get("last=1000")
	}
	wg.Wait()
}

func TestRecordAllocatesNothing(t *testing.T) {
	l := newLog(nil)
	a := answer(t, "id", epoch)
	for range perShard {
		l.Record(0, a)
	}
	if n := testing.AllocsPerRun(100, func() { l.Record(0, a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
