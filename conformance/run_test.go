package conformance

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Waiting is for events; only that nothing more happens can be learned by time alone.
const (
	// grace is how long nothing may happen after all that is expected has. It is longer
	// than the delayed close of base.yaml.
	grace = 200 * time.Millisecond
	// quiet is the same where it is not known what to expect.
	quiet = 1500 * time.Millisecond
)

// processes bounds how many programs run at a time.
var processes = make(chan struct{}, 6)

// A run is one case with one program.
type run struct {
	c        *testCase
	config   config
	want     outcome // nil if nothing is known
	names    *names
	board    *board
	listener string // address
	clients  []*wire
	ups      map[string]*upstream
	sessions tls.ClientSessionCache
	close    []func() error // of what is open until the program ends
	process  *process
	got      outcome
	failed   error // of the harness
}

// runTopic runs the cases of a topic with one program.
func runTopic(t *testing.T, program string, topic *topic, want expectation) map[string]*run {
	groups := map[string][]*run{}
	for i, c := range topic.Cases {
		r := &run{c: c, config: c.over(topic.Defaults), want: want(c), got: outcome{}}
		key, err := json.Marshal(r.config.Bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		if c.Alone || r.want["start"] != nil {
			key = []byte(c.Name)
		}
		r.names = &names{id: fmt.Sprintf("case%03d", i)}
		groups[string(key)] = append(groups[string(key)], r)
	}
	var all sync.WaitGroup
	for _, runs := range groups {
		all.Go(func() { runGroup(t, program, runs) })
	}
	all.Wait()
	byName := map[string]*run{}
	for _, runs := range groups {
		for _, r := range runs {
			byName[r.c.Name] = r
		}
	}
	return byName
}

// runGroup runs cases that share a process. If the program refuses the configuration of
// them all, they are tried in halves, until it is clear which one it refuses.
func runGroup(t *testing.T, program string, runs []*run) {
	err := runShared(t.TempDir(), program, runs)
	var refused errRefused
	switch {
	case err == nil:
	case errors.As(err, &refused) && len(runs) == 1:
		runs[0].got = outcome{"start": {"<refused>"}}
		if runs[0].want["start"] == nil { // not expected: say why
			t.Logf("%s: %v", runs[0].c.Name, err)
		}
	case errors.As(err, &refused):
		runGroup(t, program, runs[:len(runs)/2])
		runGroup(t, program, runs[len(runs)/2:])
	default:
		for _, r := range runs {
			r.failed = errors.Join(r.failed, err)
		}
	}
}

func runShared(dir string, program string, runs []*run) error {
	processes <- struct{}{}
	defer func() { <-processes }()
	for _, r := range runs {
		if err := r.open(dir); err != nil {
			return err
		}
		defer r.release()
	}
	x, err := start(program, dir, bootstrap(runs))
	if err != nil {
		return err
	}
	defer x.kill()
	addresses, err := x.listeners()
	if err != nil {
		return err
	}
	before, err := x.stats()
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for _, r := range runs {
		r.process, r.listener = x, addresses[r.names.id+"_listener"]
		r.board.update(func() { r.names.seen[r.listener] = "listener" })
		all.Go(r.drive)
	}
	all.Wait()
	if err := settleStats(x, runs, before); err != nil {
		return err
	}
	if err := x.stop(); err != nil {
		return err
	}
	for _, r := range runs {
		text, err := os.ReadFile(r.names.log)
		if err == nil && len(text) > 0 {
			r.got["log"] = r.names.lines(r.dropWireBytes(text))
		}
	}
	return nil
}

// open starts the upstreams of the case.
func (r *run) open(dir string) error {
	r.board = newBoard()
	r.names.log = filepath.Join(dir, r.names.id+".log")
	if err := r.openFiles(dir); err != nil {
		return err
	}
	r.sessions = tls.NewLRUClientSessionCache(8)
	r.names.ports, r.names.seen = map[string]string{}, map[string]string{}
	r.ups, r.close, r.clients = map[string]*upstream{}, nil, nil
	for _, name := range slices.Sorted(maps.Keys(r.c.Upstreams)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		r.close = append(r.close, l.Close)
		at, script := l.Addr(), r.c.Upstreams[name]
		if script.refuse {
			c, err := refusing(l)
			if err != nil {
				return err
			}
			r.close = append(r.close, c.Close)
			at = c.LocalAddr()
		} else {
			r.ups[name] = &upstream{listener: l}
			if options, has := r.c.TLS[name]; has {
				if r.ups[name].tls, err = tlsOptions(options, nil); err != nil {
					return err
				}
			}
			go r.serve(name, r.ups[name], script)
		}
		_, r.names.ports[name], _ = net.SplitHostPort(at.String())
		r.names.seen[at.String()] = name
	}
	return nil
}

// openFiles writes the files of the case.
func (r *run) openFiles(dir string) error {
	if r.names.dir = filepath.Join(dir, r.names.id); r.c.Files == nil {
		return nil
	}
	if err := os.MkdirAll(r.names.dir, 0o755); err != nil {
		return err
	}
	for name, text := range r.c.Files {
		if err := writeFile(filepath.Join(r.names.dir, name), r.names.expand(text)); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) release() {
	for _, f := range r.close {
		_ = f()
	}
	r.board.update(func() {
		for _, w := range r.wires() {
			_ = w.conn.Close()
		}
	})
}

// wires are all connections. The board is locked.
func (r *run) wires() []*wire {
	var all []*wire
	for _, w := range r.clients {
		if w != nil {
			all = append(all, w)
		}
	}
	for _, u := range r.ups {
		all = append(all, u.wires...)
	}
	return all
}

// drive follows the script of the client, waits until everything has come to rest, and
// closes the connections of the client.
func (r *run) drive() {
	for i, s := range r.c.Client {
		if done := r.step(s); !done {
			r.got["script"] = []string{fmt.Sprintf("step %d (%s) did not come to pass", i+1, s.do)}
			break
		}
		if r.failed != nil {
			return
		}
	}
	maps.Copy(r.got, r.settle())
	r.hangUp()
}

// hangUp closes the connections of the client, one after another: what is logged of
// them is to come in this order.
func (r *run) hangUp() {
	for i, w := range r.clients {
		if i > 0 {
			time.Sleep(30 * time.Millisecond)
		}
		if w != nil {
			_ = w.rw.Close()
		}
	}
}

// step does a step of the client; false means that what it waits for does not happen.
func (r *run) step(s step) bool {
	text := r.bytes(s.text)
	switch s.do {
	case "upstream":
		return r.board.await(patience, func() bool {
			return slices.ContainsFunc(r.wires(), func(w *wire) bool { return !slices.Contains(r.clients, w) && bytes.Contains(w.got, text) })
		})
	case "admin":
		return r.askAdmin(s.text, string(text))
	case "stat":
		return r.awaitStat(string(text))
	case "replace":
		name, file, _ := strings.Cut(r.names.expand(s.text), "\n")
		r.failed = writeFile(filepath.Join(r.names.dir, name), file)
		return r.failed == nil
	}
	var options *string
	if s.do == "tls" {
		options = &s.text
	}
	w, err := r.client(s.conn, options)
	if err != nil {
		r.failed = err
		return false
	}
	switch s.do {
	case "end":
		return r.board.await(patience, func() bool { return w.end != "" })
	case "h2":
		r.sendH2(w, s.text)
		return r.failed == nil
	}
	return w.act(s.do, text)
}

// awaitStat waits until a statistic ("name value") has at least this value.
func (r *run) awaitStat(text string) bool {
	name, value, _ := strings.Cut(text, " ")
	least, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		r.failed = err
		return false
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var now map[string]int64
		if now, r.failed = r.process.stats(); r.failed != nil {
			return false
		}
		if n, has := now[name]; has && n >= least {
			return true
		}
	}
	return false
}

// askAdmin makes a request ("GET /ready") to admin and keeps the answer under its title.
func (r *run) askAdmin(title, request string) bool {
	method, path, _ := strings.Cut(request, " ")
	status, body, err := r.process.ask(method, path)
	r.failed = err
	r.board.update(func() {
		r.got["admin "+title] = append([]string{strconv.Itoa(status)}, r.names.lines([]byte(canonical(body)))...)
	})
	return err == nil
}

// client is a connection of the client, which is opened when it is first needed; with
// TLS if there are options for it.
func (r *run) client(i int, options *string) (*wire, error) {
	for len(r.clients) <= i {
		r.board.update(func() { r.clients = append(r.clients, nil) })
	}
	if r.clients[i] != nil {
		return r.clients[i], nil
	}
	c, err := net.Dial("tcp", r.listener)
	if err != nil {
		return nil, err
	}
	w := newWire(c.(*net.TCPConn), r.board, false)
	r.board.update(func() {
		r.clients[i] = w
		r.names.seen[c.LocalAddr().String()] = "client"
	})
	if options != nil {
		config, err := tlsOptions(*options, r.sessions)
		if err != nil {
			return nil, err
		}
		if !w.secure(config) {
			return w, nil
		}
	}
	go w.record()
	return w, nil
}

// bytes are what a text of the case is on the wire.
func (r *run) bytes(text string) []byte {
	b, err := wireBytes(r.names.expand(text))
	if err != nil {
		r.board.update(func() { r.failed = err })
	}
	return b
}

// settle waits until all has happened that is expected, and then that nothing more does.
// What leaves no trace, as PINGs that are answered, does not count.
func (r *run) settle() outcome {
	var last outcome
	var since time.Time
	for {
		r.board.mu.Lock()
		got, changed := r.traffic(), r.board.changed
		r.board.mu.Unlock()
		if last == nil || !maps.EqualFunc(last, got, slices.Equal) {
			last, since = got, time.Now()
		}
		wait := patience
		switch {
		case r.want == nil && r.c.Quiet > 0:
			wait = time.Duration(r.c.Quiet)
		case r.want == nil:
			wait = quiet
		case r.asExpected(got):
			wait = grace
		}
		timer := time.NewTimer(time.Until(since.Add(wait)))
		select {
		case <-changed:
			timer.Stop()
			time.Sleep(5 * time.Millisecond) // what comes in many pieces is looked at once
			if time.Since(since) >= wait {
				return got
			}
		case <-timer.C:
			return got
		}
	}
}

// traffic is what came over all connections. The board is locked.
func (r *run) traffic() outcome {
	o := outcome{}
	for i, w := range r.clients {
		if w != nil {
			o[fmt.Sprintf("client %d", i+1)] = w.lines(r.names)
		}
	}
	for name, u := range r.ups {
		for i, w := range u.wires {
			o[fmt.Sprintf("upstream %s %d", name, i+1)] = w.lines(r.names)
		}
	}
	return o
}

// asExpected tells whether these sections, and all of their kind, are as expected.
func (r *run) asExpected(got outcome) bool {
	for name := range r.want {
		if kind, _, _ := strings.Cut(name, " "); kind != "client" && kind != "upstream" {
			continue
		}
		if _, has := got[name]; !has {
			return false
		}
	}
	for name, lines := range got {
		if !slices.Equal(lines, r.want[name]) {
			return false
		}
	}
	return true
}
