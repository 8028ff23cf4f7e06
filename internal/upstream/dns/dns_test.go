package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

func freshStats() Stats {
	c := func() *stats.Counter { return stats.NewCounter([]*atomic.Uint64{new(atomic.Uint64)}) }
	return Stats{c(), c(), c(), c(), stats.NewGauge([]*atomic.Uint64{new(atomic.Uint64)})}
}

// zone answers questions: "A example.org." to records, "rcode" or "silent".
type zone map[string]string

// answer returns the response to a message, nil for silence.
func (z zone) answer(message []byte, tcp bool) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(message); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Header.Response = true
	text, ok := z[strings.TrimPrefix(q.Type.String(), "Type")+" "+q.Name.String()]
	switch {
	case !ok:
		m.Header.RCode = dnsmessage.RCodeNameError
	case text == "silent":
		return nil
	case text == "servfail":
		m.Header.RCode = dnsmessage.RCodeServerFailure
	case text == "garbage":
		return []byte("garbage")
	case strings.HasPrefix(text, "tc ") && !tcp:
		m.Header.Truncated = true
	default:
		m.Answers = records(q.Name, strings.TrimPrefix(text, "tc "))
	}
	p, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return p
}

// records reads "<ttl> <address>" and "<ttl> cname <name>", separated by commas; a
// cname gives the owner of what follows.
func records(owner dnsmessage.Name, text string) []dnsmessage.Resource {
	var all []dnsmessage.Resource
	for _, r := range strings.Split(text, ",") {
		words := strings.Fields(r)
		if len(words) < 2 {
			continue
		}
		var ttl uint32
		fmt.Sscan(words[0], &ttl)
		h := dnsmessage.ResourceHeader{Name: owner, Class: dnsmessage.ClassINET, TTL: ttl}
		if words[1] == "cname" {
			owner = dnsmessage.MustNewName(words[2])
			all = append(all, dnsmessage.Resource{Header: h, Body: &dnsmessage.CNAMEResource{CNAME: owner}})
		} else if ip := netip.MustParseAddr(words[1]); ip.Is4() {
			all = append(all, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: ip.As4()}})
		} else {
			all = append(all, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
		}
	}
	return all
}

// serve is an Exchange with a zone; it notes what was asked.
func (z zone) serve(asked *[]string) Exchange {
	return func(ctx context.Context, server netip.AddrPort, tcp bool, message []byte, accept func([]byte) bool) error {
		var m dnsmessage.Message
		if err := m.Unpack(message); err != nil {
			return err
		}
		how := ""
		if tcp {
			how = " tcp"
		}
		*asked = append(*asked, strings.TrimPrefix(m.Questions[0].Type.String(), "Type")+" "+m.Questions[0].Name.String()+how)
		p := z.answer(message, tcp)
		if p == nil || !accept(p) {
			return context.DeadlineExceeded
		}
		return nil
	}
}

func TestLookup(t *testing.T) {
	hostsFile := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hostsFile, []byte("10.1.1.1 here Both.example # x\n::2 both.example\nbad line\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	z := zone{
		"A a.example.":        "60 10.0.0.1, 30 10.0.0.2",
		"AAAA a.example.":     "90 fd00::1",
		"A four.example.":     "5 10.0.0.4",
		"A alias.example.":    "100 cname b.example., 20 cname c.example., 50 10.0.0.9",
		"A loop.example.":     "1 cname loop.example.",
		"A broken.example.":   "servfail",
		"A silent.example.":   "silent",
		"A garbage.example.":  "garbage",
		"A long.example.":     "tc 7 10.0.0.7",
		"A svc.ns.local.":     "1 10.0.0.8",
		"A one.two.ns.local.": "1 10.0.0.3",
		"A zero.example.":     "0 10.0.0.5",
		"A none.example.":     "",
	}
	for _, tc := range []struct {
		name   string
		family Family
		want   string // addresses and TTL, or the error
		asked  string
	}{
		{"192.0.2.1", Auto, "192.0.2.1 0s", ""},
		{"fd00::5", V4Only, "fd00::5 0s", ""},
		{"localhost", Auto, "::1 0s", ""},
		{"LocalHost.", V4Only, "127.0.0.1 0s", ""},
		{"x.localhost", All, "127.0.0.1 ::1 0s", ""},
		{"here", V4Only, "10.1.1.1 0s", ""},
		{"both.example", Auto, "::2 0s", ""},
		{"a.example", Auto, "fd00::1 1m30s", "AAAA a.example."},
		{"a.example", V4Only, "10.0.0.1 10.0.0.2 30s", "A a.example."},
		{"a.example", V6Only, "fd00::1 1m30s", "AAAA a.example."},
		{"a.example", V4Preferred, "10.0.0.1 10.0.0.2 30s", "A a.example."},
		{"a.example", All, "10.0.0.1 10.0.0.2 fd00::1 30s", "A a.example., AAAA a.example."},
		{"four.example.", Auto, "10.0.0.4 5s", "AAAA four.example., A four.example."},
		{"FOUR.example.", All, "10.0.0.4 5s", "A four.example., AAAA four.example."},
		{"alias.example", V4Only, "10.0.0.9 20s", "A alias.example."},
		{"loop.example.", V4Only, "0s", "A loop.example."},
		{"none.example.", V4Only, "0s", "A none.example."},
		{"zero.example", V4Only, "10.0.0.5 0s", "A zero.example."},
		{"nowhere.example.", V4Only, "0s", "A nowhere.example."},
		{"broken.example", V4Only, "server failed: ServerFailure", "A broken.example., A broken.example."},
		{"silent.example", V4Only, "context deadline exceeded", "A silent.example., A silent.example."},
		{"garbage.example", V4Only, "context deadline exceeded", "A garbage.example., A garbage.example."},
		{"long.example", V4Only, "10.0.0.7 7s", "A long.example., A long.example. tcp"},
		{"svc", V4Only, "10.0.0.8 1s", "A svc.ns.local."},
		{"one.two", V4Only, "10.0.0.3 1s", "A one.two., A one.two.ns.local."},
		{strings.Repeat("x", 64) + ".example.", V4Only, "0s", ""},
		{"a..b.", V4Only, "0s", ""},
	} {
		var asked []string
		r := New(System{Servers: []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:53")}, Search: []string{"ns.local."},
			Ndots: 1, Timeout: time.Second, Attempts: 2}, hostsFile, z.serve(&asked), freshStats())
		a, err := r.lookup(t.Context(), tc.name, tc.family)
		got := strings.TrimPrefix(strings.Trim(fmt.Sprint(a.Addrs), "[]")+" "+a.TTL.String(), " ")
		if err != nil {
			got = err.Error()
		}
		if got != tc.want || strings.Join(asked, ", ") != tc.asked {
			t.Errorf("%s %d: got %q asking %q, want %q asking %q", tc.name, tc.family, got, strings.Join(asked, ", "), tc.want, tc.asked)
		}
		r.Close()
	}
}

// TestNextServer checks that a second server is asked when the first one fails, and
// that the statistics say so.
func TestNextServer(t *testing.T) {
	bad, good := netip.MustParseAddrPort("10.0.0.1:53"), netip.MustParseAddrPort("10.0.0.2:53")
	s := freshStats()
	var asked []string
	serve := zone{"A x.": "9 10.0.0.3"}.serve(&asked)
	r := New(System{Servers: []netip.AddrPort{bad, good}, Timeout: time.Second, Attempts: 1, Ndots: 0}, "",
		func(ctx context.Context, server netip.AddrPort, tcp bool, m []byte, accept func([]byte) bool) error {
			if server == bad {
				return context.DeadlineExceeded
			}
			return serve(ctx, server, tcp, m, accept)
		}, s)
	defer r.Close()
	a, err := r.lookup(t.Context(), "x", V4Preferred)
	if err != nil || len(a.Addrs) != 1 || s.Timeouts.Value() != 1 || s.ResolveTotal.Value() != 1 {
		t.Error(a, err, s.Timeouts.Value(), s.ResolveTotal.Value())
	}
	if _, err := r.lookup(t.Context(), "unknown", V4Only); err != nil || s.NotFound.Value() != 1 {
		t.Error(err, s.NotFound.Value())
	}
}

// TestNetwork resolves with a real server on UDP and TCP, which sends junk first.
func TestNetwork(t *testing.T) {
	z := zone{"A udp.": "3 10.0.0.1", "A tcp.": "tc 4 10.0.0.2"}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Skip("the port is not free for TCP: ", err)
	}
	defer l.Close()
	go func() {
		p := make([]byte, 600)
		for {
			n, from, err := pc.ReadFrom(p)
			if err != nil {
				return
			}
			answer := z.answer(p[:n], false)
			forged := slices.Clone(answer)
			forged[0]++ // another ID
			for _, m := range [][]byte{[]byte("junk"), forged, answer} {
				_, _ = pc.WriteTo(m, from)
			}
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var length [2]byte
			_, _ = io.ReadFull(c, length[:])
			p := make([]byte, binary.BigEndian.Uint16(length[:]))
			_, _ = io.ReadFull(c, p)
			answer := z.answer(p, true)
			_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
			c.Close()
		}
	}()
	r := New(System{Servers: []netip.AddrPort{netip.MustParseAddrPort(pc.LocalAddr().String())}, Timeout: 5 * time.Second, Attempts: 1}, "", nil, freshStats())
	d := loop.New(1)
	for name, want := range map[string]string{"udp": "[10.0.0.1] 3s", "tcp": "[10.0.0.2] 4s"} {
		var got string
		answered := make(chan struct{})
		r.Resolve(notify{d, answered}, name, V4Only, func(a Answer, err error) { got = fmt.Sprint(a.Addrs, " ", a.TTL, errText(err)) })
		if got != "" {
			t.Error("answered before Resolve returned")
		}
		<-answered
		d.Run()
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	r.Close()
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// notify tells when something was posted.
type notify struct {
	*loop.Fake
	posted chan struct{}
}

func (n notify) Post(f func()) bool {
	defer close(n.posted)
	return n.Fake.Post(f)
}

// TestClose ends a resolution that hangs.
func TestClose(t *testing.T) {
	hanging := make(chan struct{})
	s := freshStats()
	r := New(System{Servers: []netip.AddrPort{{}}, Timeout: time.Hour, Attempts: 1}, "",
		func(ctx context.Context, _ netip.AddrPort, _ bool, _ []byte, _ func([]byte) bool) error {
			close(hanging)
			<-ctx.Done()
			return ctx.Err()
		}, s)
	d := loop.New(1)
	r.Resolve(d, "x", V4Only, func(Answer, error) { t.Error("answered after Close") })
	<-hanging
	if s.PendingResolutions.Value() != 1 {
		t.Error("pending_resolutions is not 1")
	}
	r.Close()
	d.Run()
	if s.PendingResolutions.Value() != 0 {
		t.Error("pending_resolutions is not 0")
	}
}

func TestSystem(t *testing.T) {
	s := parseSystem("# c\nnameserver 10.0.0.1\nnameserver fe80::1%eth0 ; x\nnameserver bad\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n" +
		"domain old\nsearch a.b c.d\noptions ndots:5 timeout:3 attempts:99 use-vc ndots:x\nnonsense\n")
	if fmt.Sprint(s.Servers) != "[10.0.0.1:53 [fe80::1%eth0]:53 10.0.0.3:53]" || fmt.Sprint(s.Search) != "[a.b c.d]" ||
		s.Ndots != 5 || s.Timeout != 3*time.Second || s.Attempts != maxAttempts || !s.UseTCP {
		t.Errorf("%+v", s)
	}
	if s := ReadSystem(filepath.Join(t.TempDir(), "none")); fmt.Sprint(s.Servers) != "[127.0.0.1:53]" || s.Attempts != defaultAttempts {
		t.Errorf("without a file: %+v", s)
	}
}

func TestHostsFileChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	h := hosts{file: file}
	if h.lookup("a") != nil {
		t.Error("an address out of nothing")
	}
	for _, text := range []string{"10.0.0.1 a", "10.0.0.22 a"} {
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(h.lookup("A."), " a"); got != "["+strings.Replace(text, " a", "] a", 1) {
			t.Error(got)
		}
	}
}

// FuzzResponse reads responses from hostile servers.
func FuzzResponse(f *testing.F) {
	q, err := newQuestion("a.example", dnsmessage.TypeA)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"60 10.0.0.1", "1 cname b., 2 10.0.0.2", "servfail"} {
		m, _, err := q.pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(zone{"A a.example.": text}.answer(m, false))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		q.answeredBy(p, 1)
		a, _, err := q.read(p)
		if err != nil && len(a.Addrs) > 0 {
			t.Error("addresses with an error")
		}
		for _, ip := range a.Addrs {
			if !ip.Is4() {
				t.Errorf("%v is no IPv4 address", ip)
			}
		}
	})
}

// FuzzFiles reads resolv.conf and hosts.
func FuzzFiles(f *testing.F) {
	f.Add("nameserver 10.0.0.1\nsearch a b\noptions ndots:3")
	f.Add("127.0.0.1 localhost\n::1 localhost # x")
	f.Fuzz(func(t *testing.T, text string) {
		s := parseSystem(text)
		if len(s.Servers) == 0 || len(s.Servers) > maxServers || s.Attempts < 1 || s.Timeout <= 0 || s.Ndots > maxNdots {
			t.Errorf("%+v", s)
		}
		s.candidates(text)
		parseHosts(text)
	})
}
