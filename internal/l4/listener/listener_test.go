package listener

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

func TestEcho(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	abstract := fmt.Sprintf("@nuncio-test-%d", os.Getpid())
	for name, options := range map[string]string{
		"reuse_port": "", "shared": "enable_reuse_port {value: false}", "exact_balance": "connection_balance_config {exact_balance {}}",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			addresses := r.add(`name: "l" address {ADDRESS} filter_chains {ECHO}
				additional_addresses {address {socket_address {address: "::1" port_value: 0}}}
				additional_addresses {address {pipe {path: "` + path + `" mode: 384}}}
				additional_addresses {address {pipe {path: "` + abstract + `"}}}` + options)
			if len(addresses) != 4 {
				t.Fatal(addresses)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
			for _, a := range addresses {
				kind := "tcp"
				if !strings.Contains(a, ":") {
					kind = "unix"
				}
				c, err := net.Dial(kind, a)
				if err != nil {
					t.Fatal(err)
				}
				r.wantEcho(c, "hello "+a)
				c.Close()
			}
			r.untilStat("listener.127.0.0.1_0.downstream_cx_destroy", 4)
			if n := r.stats.Value("listener.127.0.0.1_0.downstream_cx_total"); n != 4 {
				t.Errorf("downstream_cx_total: %d", n)
			}
		})
	}
}

func TestStatNames(t *testing.T) {
	r := newRig(t)
	r.add(`name: "l" stat_prefix: "mine" address {ADDRESS} filter_chains {ECHO}`)
	want := strings.Fields(`connections_accepted_per_socket_event downstream_cx_active downstream_cx_destroy
		downstream_cx_length_ms downstream_cx_overflow downstream_cx_overload_reject downstream_cx_total
		downstream_cx_transport_socket_connect_timeout downstream_global_cx_overflow downstream_listener_filter_error
		downstream_listener_filter_remote_close downstream_pre_cx_active downstream_pre_cx_timeout
		extension_config_missing network_extension_config_missing no_filter_chain_match nuncio_accept_paused
		worker_0.downstream_cx_active worker_0.downstream_cx_total worker_1.downstream_cx_active
		worker_1.downstream_cx_total`)
	var got []string
	for _, name := range r.stats.Names() {
		if name, ok := strings.CutPrefix(name, "listener.mine."); ok {
			got = append(got, name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestExactBalance(t *testing.T) {
	r := newRig(t)
	a := r.add(`name: "l" address {ADDRESS} filter_chains {ECHO} connection_balance_config {exact_balance {}}`)[0]
	for range 10 {
		r.wantEcho(r.dial(a), "x")
	}
	for _, w := range []string{"worker_0", "worker_1"} {
		if n := r.stats.Value("listener.127.0.0.1_0." + w + ".downstream_cx_active"); n != 5 {
			t.Errorf("%s has %d connections", w, n)
		}
	}
}

func TestLimits(t *testing.T) {
	const prefix = "listener.127.0.0.1_0."
	for _, c := range []struct{ name, key, options, stat string }{
		{"listener", "envoy.resource_limits.listener.l.connection_limit", "", prefix + "downstream_cx_overflow"},
		{"global", "overload.global_downstream_max_connections", "", prefix + "downstream_global_cx_overflow"},
		{"global ignored", "overload.global_downstream_max_connections", "ignore_global_conn_limit: true", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.runtime[c.key] = "2"
			a := r.add(`name: "l" address {ADDRESS} filter_chains {ECHO} ` + c.options)[0]
			first := r.dial(a)
			r.wantEcho(first, "1")
			r.wantEcho(r.dial(a), "2")
			third := r.dial(a)
			if c.stat == "" {
				r.wantEcho(third, "3")
				return
			}
			r.wantClosed(third, false)
			if n := r.stats.Value(c.stat); n != 1 {
				t.Errorf("%s is %d", c.stat, n)
			}
			if n := r.stats.Value(prefix + "downstream_cx_total"); n != 2 {
				t.Errorf("downstream_cx_total is %d", n)
			}
			first.Close()
			r.untilStat(prefix+"downstream_cx_active", 1)
			r.wantEcho(r.dial(a), "again")
		})
	}
}

func TestAcceptsPerEvent(t *testing.T) {
	r := newRig(t)
	a := r.add(`name: "l" address {ADDRESS} filter_chains {ECHO} enable_reuse_port {value: false}
		max_connections_to_accept_per_socket_event {value: 2}`)[0]
	for range 5 {
		r.dial(a)
	}
	r.untilStat("listener.127.0.0.1_0.downstream_cx_total", 5)
	if got := r.stats.Recorded("listener.127.0.0.1_0.connections_accepted_per_socket_event"); !slices.Equal(got, []uint64{2, 2, 1}) {
		t.Errorf("accepted %d", got)
	}
}

// TestExhausted takes the descriptors away: accepting pauses, and goes on when
// there are some again.
func TestExhausted(t *testing.T) {
	r := newRig(t)
	a := r.add(`name: "l" address {ADDRESS} filter_chains {ECHO} enable_reuse_port {value: false}`)[0]
	c := r.dial(a)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		r.turn()
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := r.stats.Value("listener.127.0.0.1_0.nuncio_accept_paused")
	if n == 0 || n > 2 {
		t.Errorf("paused %d times in ten turns of two workers", n)
	}
	if len(r.oplog) == 0 || len(r.oplog) > 2 || !strings.Contains(r.oplog[0], "too many open files") {
		t.Errorf("the log says %q", r.oplog)
	}
	r.now = r.now.Add(101 * time.Millisecond)
	r.wantEcho(c, "at last")
}

func TestFilterChains(t *testing.T) {
	r := newRig(t)
	a := r.add(`name: "l" address {ADDRESS} access_log {name: "log"}
		filter_chains {name: "no filters" filter_chain_match {source_type: EXTERNAL} }
		filter_chains {name: "six" filter_chain_match {prefix_ranges {address_prefix: "::1" prefix_len {value: 128}}} ECHO
			transport_socket {name: "raw" typed_config {[type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer] {}}}}
		additional_addresses {address {socket_address {address: "::1" port_value: 0}}}`)
	r.wantEcho(r.dial(a[1]), "hello")
	r.wantClosed(r.dial(a[0]), false)
	if n := r.stats.Value("listener.127.0.0.1_0.no_filter_chain_match"); n != 1 {
		t.Errorf("no_filter_chain_match is %d", n)
	}
	if got := strings.Join(r.logs, "|"); got != "l NR filter_chain_not_found 0 0" {
		t.Errorf("logged %q", got)
	}
}

func TestNoFilters(t *testing.T) {
	r := newRig(t)
	a := r.add(`name: "l" address {ADDRESS} access_log {name: "log"} default_filter_chain {}`)
	r.wantClosed(r.dial(a[0]), false)
	if n := r.stats.Value("listener.127.0.0.1_0.downstream_cx_total"); n != 1 {
		t.Errorf("downstream_cx_total is %d", n)
	}
}

func TestAccessLog(t *testing.T) {
	r := newRig(t)
	c := r.dial(r.add(`name: "l" address {ADDRESS} access_log {name: "log"} filter_chains {ECHO}`)[0])
	r.wantEcho(c, "hello")
	r.now = r.now.Add(time.Second)
	c.Close()
	r.until("logged", func() bool { return len(r.logs) > 0 })
	if got := strings.Join(r.logs, "|"); got != "l -  5 1000" {
		t.Errorf("logged %q", got)
	}
	if got := r.stats.Recorded("listener.127.0.0.1_0.downstream_cx_length_ms"); !slices.Equal(got, []uint64{1000}) {
		t.Errorf("lengths %d", got)
	}
}

func TestListenerFilters(t *testing.T) {
	const prefix = "listener.127.0.0.1_0."
	start := func(t *testing.T, options string) (*rig, string) {
		r := newRig(t)
		return r, r.add(`name: "l" address {ADDRESS} PING per_connection_buffer_limit_bytes {value: 1}
			filter_chains {filter_chain_match {application_protocols: "ping"} ECHO} default_filter_chain {ECHO} ` + options)[0]
	}
	t.Run("peek", func(t *testing.T) {
		r, a := start(t, "")
		c := r.dial(a)
		for _, b := range "PIN" {
			c.Write([]byte{byte(b)})
			r.turn()
		}
		r.untilStat(prefix+"downstream_pre_cx_active", 1)
		c.Write([]byte("G and more"))
		if got, err := r.receive(c, 13); got != "PING and more" {
			t.Errorf("got %q, %v", got, err)
		}
		r.wantEcho(c, "x")
	})
	t.Run("drain", func(t *testing.T) {
		r, a := start(t, "")
		c := r.dial(a)
		c.Write([]byte("DRAIN"))
		r.untilStat(prefix+"downstream_cx_total", 1)
		r.wantEcho(c, "this")
	})
	t.Run("reject", func(t *testing.T) {
		r, a := start(t, "")
		c := r.dial(a)
		c.Write([]byte("nothing"))
		r.wantClosed(c, true)
		if r.stats.Value(prefix+"downstream_cx_total") != 0 || !slices.Contains(r.oplog, "ping.OnClose") {
			t.Errorf("%s%s", r.stats, r.oplog)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		r, a := start(t, "")
		silent, halting := r.dial(a), r.dial(a)
		halting.Write([]byte("PIN"))
		r.untilStat(prefix+"downstream_pre_cx_active", 2)
		for range 10 {
			r.turn()
		}
		r.now = r.now.Add(15*time.Second + time.Millisecond)
		r.untilStat(prefix+"downstream_pre_cx_timeout", 2)
		r.wantClosed(silent, false)
		r.wantClosed(halting, true)
	})
	t.Run("continue on timeout", func(t *testing.T) {
		r, a := start(t, "continue_on_listener_filters_timeout: true listener_filters_timeout {seconds: 1}")
		c := r.dial(a)
		c.Write([]byte("PIN"))
		r.untilStat(prefix+"downstream_pre_cx_active", 1)
		r.now = r.now.Add(1001 * time.Millisecond)
		if got, err := r.receive(c, 3); got != "PIN" {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("remote close", func(t *testing.T) {
		r, a := start(t, "")
		c := r.dial(a)
		r.untilStat(prefix+"downstream_pre_cx_active", 1)
		c.Close()
		r.untilStat(prefix+"downstream_listener_filter_remote_close", 1)
	})
}

func TestUpdate(t *testing.T) {
	const (
		chainA = `filter_chains {name: "a" filter_chain_match {source_type: SAME_IP_OR_LOOPBACK} ECHO}`
		chainB = `filter_chains {name: "b" filter_chain_match {source_type: EXTERNAL} ECHO}`
		chainC = `filter_chains {name: "c" filter_chain_match {source_type: SAME_IP_OR_LOOPBACK} ECHO}`
		base   = `name: "l" address {ADDRESS} `
	)
	r := newRig(t)
	r.healthy.Store(true)
	a := r.add(base + chainA + chainB)[0]
	c := r.dial(a)
	r.wantEcho(c, "1")
	drains := func() bool { return r.manager.active[0].config.chains[0].drain.DrainClose(0) }

	// The chain of c stays.
	if again := r.add(base + chainA)[0]; again != a {
		t.Errorf("another address: %s", again)
	}
	if got := r.stats.Value("listener_manager.listener_in_place_updated"); got != 1 {
		t.Errorf("in place updates: %d", got)
	}
	r.untilStat("listener_manager.total_filter_chains_draining", 1)
	if drains() {
		t.Error("the chain that stays drains")
	}
	r.now = r.now.Add(61 * time.Second)
	r.untilStat("listener_manager.total_filter_chains_draining", 0)
	r.wantEcho(c, "2")

	// It goes; new connections get the new one.
	gone := r.manager.active[0].config.chains[0]
	r.add(base + chainC)
	r.wantEcho(r.dial(a), "3")
	r.wantEcho(c, "4")
	if !gone.drain.Draining() || drains() {
		t.Error("the wrong chain drains")
	}
	r.now = r.now.Add(61 * time.Second)
	r.wantClosed(c, false)

	// Another field: the whole listener is replaced, on the same socket.
	d := r.dial(a)
	r.wantEcho(d, "5")
	if again := r.add(base + chainC + `traffic_direction: INBOUND`)[0]; again != a {
		t.Errorf("another address: %s", again)
	}
	if got := r.stats.Value("listener_manager.total_listeners_draining"); got != 1 {
		t.Errorf("%d listeners drain", got)
	}
	r.wantEcho(d, "6")
	e := r.dial(a)
	r.wantEcho(e, "7")
	r.now = r.now.Add(61 * time.Second)
	r.wantClosed(d, false)
	r.wantEcho(e, "8")

	// Another address.
	b := r.add(`name: "l" address {socket_address {address: "::1" port_value: 0}} ` + chainC)[0]
	r.wantEcho(r.dial(b), "9")
	r.until("refused", func() bool {
		c, err := net.Dial("tcp", a)
		if err == nil {
			c.Close()
		}
		return err != nil
	})

	// Gone.
	f := r.dial(b)
	r.wantEcho(f, "10")
	if !r.manager.Remove("l") || r.manager.Remove("l") {
		t.Error("not removed, or twice")
	}
	r.until("refused", func() bool {
		c, err := net.Dial("tcp", b)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	r.wantEcho(f, "11")
	if all := r.manager.Listeners(); len(all) != 2 || !all[0].Draining || !all[1].Draining {
		t.Errorf("%+v", all)
	}
	r.now = r.now.Add(61 * time.Second)
	r.wantClosed(f, false)
	r.untilStat("listener_manager.total_listeners_draining", 0)
	if got := r.stats.Value("listener_manager.total_listeners_active"); got != 0 {
		t.Errorf("%d listeners are active", got)
	}
}

func TestStopAndDrain(t *testing.T) {
	r := newRig(t)
	r.healthy.Store(true)
	in := r.add(`name: "in" address {ADDRESS} filter_chains {ECHO} traffic_direction: INBOUND`)[0]
	out := r.add(`name: "out" address {ADDRESS} filter_chains {ECHO} drain_type: MODIFY_ONLY`)[0]
	c := r.dial(in)
	r.wantEcho(c, "1")
	r.manager.Stop(true)
	r.until("refused", func() bool {
		c, err := net.Dial("tcp", in)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	r.wantEcho(c, "2")
	r.wantEcho(r.dial(out), "3")
	decide := func(i int) bool { return r.manager.active[i].config.chains[0].drain.DrainClose(0) }
	if decide(0) || decide(1) {
		t.Error("drains without being told")
	}
	r.healthy.Store(false)
	if !decide(0) || decide(1) {
		t.Error("the drain type is not heeded")
	}
	r.healthy.Store(true)
	r.manager.Drain(true)
	r.now = r.now.Add(time.Hour)
	if !decide(0) || decide(1) {
		t.Error("the direction is not heeded")
	}
	if got := r.stats.Value("listener_manager.listener_stopped"); got != 1 {
		t.Errorf("%d stopped", got)
	}
}

func TestCloseIdle(t *testing.T) {
	r := newRig(t)
	addr := r.add(`name: "in" address {ADDRESS} filter_chains {ECHO}`)[0]
	idle, busy, late := r.dial(addr), r.dial(addr), r.dial(addr)
	r.wantEcho(busy, "1")
	r.until("accepted", func() bool { return r.manager.options.Open.Load() == 3 })
	if _, err := io.WriteString(late, "2"); err != nil { // has arrived, but no loop has turned since
		t.Fatal(err)
	}
	r.manager.CloseIdle()
	r.wantClosed(idle, false)
	if got, err := r.receive(late, 1); got != "2" {
		t.Errorf("a connection with a request was closed: %q, %v", got, err)
	}
	r.wantEcho(busy, "3")
}

func TestBindErrors(t *testing.T) {
	r := newRig(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	port := busy.Addr().(*net.TCPAddr).Port
	text := fmt.Sprintf(`name: "l" filter_chains {ECHO} address {socket_address {address: "127.0.0.1" port_value: %d}}`, port)
	want := fmt.Sprintf("error adding listener 'l': cannot bind '127.0.0.1:%d': address already in use", port)
	if err := r.manager.Add(parse(t, text), conf.Path{}, true); err != nil {
		t.Fatal(err)
	}
	if err := r.manager.Start(); err == nil || err.Error() != want {
		t.Errorf("Start: %v, want %s", err, want)
	}
	if err := r.manager.Add(parse(t, text), conf.Path{}, true); err == nil || err.Error() != want {
		t.Errorf("Add: %v, want %s", err, want)
	}
	if n := len(r.manager.Listeners()); n != 0 {
		t.Errorf("%d listeners", n)
	}
}

func TestBindToPort(t *testing.T) {
	r := newRig(t)
	if a := r.add(`name: "l" address {ADDRESS} filter_chains {ECHO} bind_to_port {value: false}`); len(a) != 0 {
		t.Errorf("bound to %s", a)
	}
}
