package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// soakLog tells for every request which upstream connection it had, and when.
const soakLog = "rq %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_HOST% %UPSTREAM_LOCAL_ADDRESS% %START_TIME(%s%3f)% %DURATION% %RESPONSE_CODE_DETAILS%"

const (
	soakClients   = 16
	soakUpstreams = 3
)

// A soak is the load of TestSoak and what it knows of the harm it did.
type soak struct {
	t    *testing.T
	p    *proxy
	http []*chaos
	tcp  *chaos
	ids  atomic.Int64
	stop chan struct{}

	mu      sync.Mutex        // guards what follows
	cut     map[string]bool   // requests that their client cut
	failed  map[string]string // what clients saw that was not a good response
	good    int
	partial int // connections cut within the headers of a request
}

// TestSoak puts load on the proxy while clients cut connections, read slowly and
// stop in the middle, and upstreams reset connections and restart. In the end nothing
// is left, and every request that failed has a cause that the test knows.
func TestSoak(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := &soak{t: t, stop: make(chan struct{}), cut: map[string]bool{}, failed: map[string]string{}}
	up := cluster{name: "up"}
	for range soakUpstreams {
		c := newChaos(t, soakAnswer)
		s.http, up.hosts = append(s.http, c), append(up.hosts, c.upstream)
	}
	s.tcp = newChaos(t, func(c *upstreamConn) { _, _ = io.Copy(c, c.r) })
	s.p = run(t, setup{
		listeners: []listener{
			{name: "front", filters: []string{hcm{routes: toCluster("up", ""), logged: soakLog}.yaml()}, fields: "per_connection_buffer_limit_bytes: 65536"},
			{name: "tcp", filters: []string{tcpProxy("cluster: tcp")}},
		},
		clusters: []cluster{up, {name: "tcp", hosts: []*upstream{s.tcp.upstream}}},
	})
	var clients, harm sync.WaitGroup
	for i := range soakClients {
		clients.Go(func() { s.client(rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	for i, c := range append(s.http, s.tcp) {
		harm.Go(func() { c.run(rand.New(rand.NewPCG(seed, uint64(1000+i))), s.stop) })
	}
	time.Sleep(*soakFlag)
	close(s.stop)
	clients.Wait()
	harm.Wait()
	s.check()
	if *proxyFlag == "" && !t.Failed() {
		s.wantFewGoroutines()
	}
}

// soakAnswer echoes bodies, and sends large ones for /big.
func soakAnswer(c *upstreamConn) {
	for {
		m, err := readRequest(c.r)
		if err != nil {
			return
		}
		switch kind, _, _ := strings.Cut(m.path()[1:], "/"); kind {
		case "big":
			c.send(ok(soakBody(2 << 20)))
		case "chunks":
			c.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(m.body+"1", "2", "3"))
		default:
			c.send(ok(m.body))
		}
	}
}

var soakText = noise(2 << 20)

func soakBody(n int) string { return soakText[:n] }

// A chaos is an upstream that is restarted and whose connections are cut.
type chaos struct {
	*upstream
	t *testing.T

	harmMu sync.Mutex      // guards what follows
	broken map[string]bool // remote addresses of connections that were cut
	down   [][2]time.Time  // when nobody listened
}

func newChaos(t *testing.T, script func(*upstreamConn)) *chaos {
	c := &chaos{t: t, broken: map[string]bool{}}
	c.upstream = newUpstream(t, script)
	c.onStop = c.breaks
	return c
}

func (c *chaos) run(r *rand.Rand, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(20+r.IntN(300)) * time.Millisecond):
		}
		if r.IntN(4) == 0 {
			c.restartAfter(time.Duration(r.IntN(100)) * time.Millisecond)
		} else {
			c.cutOne(r.IntN(2) == 0)
		}
	}
}

func (c *chaos) cutOne(hard bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open { // the order of a map is random enough
		c.breaks(conn)
		if hard {
			reset(conn)
		} else {
			conn.Close()
		}
		return
	}
}

func (c *chaos) breaks(conn net.Conn) {
	c.harmMu.Lock()
	defer c.harmMu.Unlock()
	c.broken[conn.RemoteAddr().String()] = true
}

func (c *chaos) restartAfter(pause time.Duration) {
	begin := time.Now()
	c.stop()
	time.Sleep(pause)
	if err := c.restart(); err != nil {
		c.t.Errorf("restart of an upstream: %v", err)
	}
	c.harmMu.Lock()
	defer c.harmMu.Unlock()
	c.down = append(c.down, [2]time.Time{begin, time.Now()})
}

// client makes requests until the soak ends.
func (s *soak) client(r *rand.Rand) {
	for {
		select {
		case <-s.stop:
			return
		default:
		}
		if r.IntN(8) == 0 {
			s.talkTCP(r)
		} else {
			s.talkHTTP(r)
		}
	}
}

// talkHTTP makes some requests on one connection, of which it may cut the last one
// at any point.
func (s *soak) talkHTTP(r *rand.Rand) {
	conn, err := net.DialTimeout("tcp", s.p.addr("front"), patience)
	if err != nil {
		s.t.Errorf("the proxy does not accept: %v", err)
		return
	}
	defer conn.Close()
	reader := bufio.NewReaderSize(conn, 4<<10)
	for range 1 + r.IntN(20) {
		_ = conn.SetDeadline(time.Now().Add(patience))
		kind := []string{"small", "small", "small", "echo", "echo", "chunks", "big"}[r.IntN(7)]
		path := "/" + kind + "/" + strconv.FormatInt(s.ids.Add(1), 10)
		body := ""
		if kind == "echo" || kind == "chunks" {
			body = soakBody(r.IntN(256 << 10))
		}
		head := "POST " + path + " HTTP/1.1\r\nhost: soak\r\n"
		request := head + "content-length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
		if kind == "chunks" {
			request = head + "transfer-encoding: chunked\r\n\r\n" + chunked(body[:len(body)/2]+"x", "y"+body[len(body)/2:])
			body = body[:len(body)/2] + "xy" + body[len(body)/2:] + "123"
		}
		if kind == "big" {
			body = soakBody(2 << 20)
		}
		if r.IntN(10) == 0 {
			s.cutRequest(r, conn, reader, path, request)
			return
		}
		if !s.exchange(conn, reader, path, request, body) {
			return
		}
	}
}

// exchange makes one request and reports whether the connection is good for more.
func (s *soak) exchange(conn net.Conn, reader *bufio.Reader, path, request, body string) bool {
	sent := make(chan error, 1)
	go func() { // a response may come before the request is sent
		_, err := io.WriteString(conn, request)
		sent <- err
	}()
	m, err := readResponse(reader, "POST")
	switch {
	case err != nil:
		s.note(path, fmt.Sprintf("%q with %d bytes, then %v", m.start, len(m.body), err))
		conn.Close()
	case m.status() != 200:
		s.note(path, m.start)
		if m.get("connection") == "close" {
			conn.Close()
		}
	case m.body != body:
		s.t.Errorf("%s: a complete response with %d bytes, want %d; they differ", path, len(m.body), len(body))
	default:
		s.mu.Lock()
		s.good++
		s.mu.Unlock()
	}
	return <-sent == nil && err == nil && m.get("connection") != "close"
}

func (s *soak) note(path, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed[path] = what
}

// cutRequest sends a part of a request, or reads a part of its response, and ends
// the connection.
func (s *soak) cutRequest(r *rand.Rand, conn net.Conn, reader *bufio.Reader, path, request string) {
	n := len(request)
	if r.IntN(3) > 0 {
		n = 1 + r.IntN(n)
	}
	if r.IntN(3) == 0 {
		n = min(n, 1+r.IntN(60))
	}
	s.mu.Lock()
	s.cut[path] = true
	if n < strings.Index(request, "\r\n\r\n")+4 {
		s.partial++
	}
	s.mu.Unlock()
	_, _ = io.WriteString(conn, request[:n])
	if n == len(request) {
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		for range r.IntN(20) { // slowly
			if _, err := io.CopyN(io.Discard, reader, int64(r.IntN(64<<10))); err != nil {
				break
			}
			time.Sleep(time.Duration(r.IntN(5)) * time.Millisecond)
		}
	}
	if r.IntN(2) == 0 {
		reset(conn)
	}
}

// talkTCP sends bytes through the TCP proxy; what comes back is a beginning of them.
func (s *soak) talkTCP(r *rand.Rand) {
	conn, err := net.DialTimeout("tcp", s.p.addr("tcp"), patience)
	if err != nil {
		if !errors.Is(err, syscall.ECONNRESET) { // the upstream's reset may be as fast
			s.t.Errorf("the proxy does not accept: %v", err)
		}
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	body := soakBody(r.IntN(1 << 20))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := io.WriteString(conn, body); err == nil {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	limit := int64(len(body) + 1)
	if r.IntN(3) == 0 {
		limit = r.Int64N(limit)
	}
	got, err := io.ReadAll(io.LimitReader(conn, limit))
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		s.t.Errorf("a TCP connection hangs with %d of %d bytes", len(got), len(body))
	}
	if !strings.HasPrefix(body, string(got)) {
		s.t.Errorf("%d bytes came back that were not sent so", len(got))
	}
	if r.IntN(2) == 0 {
		reset(conn)
	} else {
		conn.Close()
	}
	<-done
}

// A soakLine is an access log line.
type soakLine struct {
	path, code, flags, host, local, details string
	begin, end                              time.Time
}

// check compares statistics, access log and what the clients saw.
func (s *soak) check() {
	s.t.Helper()
	for _, c := range append(s.http, s.tcp) {
		c.stop()
	}
	s.p.wantQuiet()
	stats := s.p.stats()
	total := stats["http.http.downstream_rq_total"]
	eventually(s.t, "every request is logged", func() bool { return int64(strings.Count(s.p.stdout.String(), "\n")) >= total })
	lines := s.lines()
	if int64(len(lines)) != total {
		s.t.Errorf("%d lines in the access log for %d requests", len(lines), total)
	}
	byPath, byClass, unnamed := map[string]soakLine{}, map[byte]int64{}, 0
	for _, l := range lines {
		byClass[l.code[0]]++
		if l.path == "-" {
			unnamed++
			continue
		}
		if _, twice := byPath[l.path]; twice {
			s.t.Errorf("%s is logged twice", l.path)
		}
		byPath[l.path] = l
		if why := s.unexplained(l); why != "" {
			s.t.Errorf("%s: %+v; its client saw %q", why, l, s.failed[l.path])
		}
	}
	for path, saw := range s.failed {
		if l, known := byPath[path]; !known || l.code == "200" && l.flags == "-" {
			s.t.Errorf("the client of %s saw %s, the access log has %+v", path, saw, l)
		}
	}
	for class := byte('1'); class <= '5'; class++ {
		if got := stats["http.http.downstream_rq_"+string(class)+"xx"]; got != byClass[class] {
			s.t.Errorf("downstream_rq_%cxx is %d, the access log has %d", class, got, byClass[class])
		}
	}
	if s.partial < unnamed {
		s.t.Errorf("%d requests without headers in the access log, %d clients cut theirs", unnamed, s.partial)
	}
	if len(s.failed) > s.good/2 || s.good < 100 {
		s.t.Errorf("%d good responses and %d failures", s.good, len(s.failed))
	}
	memory := residentMemory(s.p.cmd.Process.Pid) >> 20
	if len(buildFlags) == 0 && memory > 200 {
		s.t.Errorf("the proxy has %d MB in the end", memory)
	}
	s.t.Logf("%d requests (%v): %d good, %d failed with a cause, %d cut by their clients, %d MB", total, byClass, s.good, len(s.failed), len(s.cut), memory)
}

func (s *soak) lines() (lines []soakLine) {
	s.t.Helper()
	for line := range strings.Lines(s.p.stdout.String()) {
		w := strings.Fields(line)
		if len(w) != 9 || w[0] != "rq" {
			s.t.Errorf("access log line %q", line)
			continue
		}
		begin, err1 := strconv.ParseInt(w[6], 10, 64)
		took, err2 := strconv.ParseInt(w[7], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			s.t.Errorf("access log line %q: %v", line, err)
		}
		at := time.UnixMilli(begin)
		lines = append(lines, soakLine{path: w[1], code: w[2], flags: w[3], host: w[4], local: w[5], details: w[8],
			begin: at, end: at.Add(time.Duration(took) * time.Millisecond)})
	}
	return lines
}

// unexplained says why a request may not have ended so, "" if it may.
func (s *soak) unexplained(l soakLine) string {
	client := s.cut[l.path]
	var host *chaos
	for _, c := range s.http {
		if c.addr == l.host {
			host = c
		}
	}
	switch {
	case l.flags == "-" && l.code == "200", client && l.flags == "DC":
		return ""
	case host == nil:
		return "no upstream, and a failure"
	case l.flags == "UC" || l.flags == "UPE":
		// A restart cuts what is open and what waits to be accepted. The latter the upstream
		// never saw, but it may have seen an earlier connection from the same port.
		if host.broken[l.local] || host.wasDown(l) {
			return ""
		}
		return "nobody cut the upstream connection"
	case l.flags == "UF" && l.code == "503":
		if host.wasDown(l) {
			return ""
		}
		return "the upstream was up"
	}
	return "no reason to end so"
}

// wasDown reports whether nobody listened at some time of the request. The times of
// the access log are those of the turn of the proxy's loop.
func (c *chaos) wasDown(l soakLine) bool {
	const slack = 50 * time.Millisecond
	for _, d := range c.down {
		if l.begin.Before(d[1].Add(slack)) && d[0].Before(l.end.Add(slack)) {
			return true
		}
	}
	return false
}

// wantFewGoroutines ends the program so that it prints its goroutines: there are as
// many as in a program that has just started.
func (s *soak) wantFewGoroutines() {
	s.p.waited = true
	if err := s.p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		s.t.Fatal(err)
	}
	<-s.p.ended
	if n := strings.Count(s.p.stderr.String(), "\ngoroutine "); n == 0 || n > 40 {
		s.t.Errorf("%d goroutines in the end\n%s", n, clipTail(s.p.stderr.String(), 20000))
	} else {
		s.t.Logf("%d goroutines", n)
	}
}
