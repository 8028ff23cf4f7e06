package dns

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A System is what /etc/resolv.conf says.
type System struct {
	Servers []netip.AddrPort
	Search  []string
	// Ndots is the number of dots from which a name is tried as it is first.
	Ndots    int
	Timeout  time.Duration // of one question to one server
	Attempts int           // at all servers
	// UseTCP asks over TCP at once.
	UseTCP bool
}

// What holds if the file does not say otherwise, and the most it may say.
const (
	defaultTimeout  = 2 * time.Second
	defaultAttempts = 3
	maxServers      = 3
	maxSearch       = 6
	maxNdots        = 15
	maxTimeout      = 30
	maxAttempts     = 5
)

// ReadSystem reads a file in the form of resolv.conf. Without one, or without
// servers in it, the server is the local host.
func ReadSystem(file string) System {
	text, err := os.ReadFile(file)
	if err != nil {
		text = nil
	}
	return parseSystem(string(text))
}

func parseSystem(text string) System {
	s := System{Ndots: 1, Timeout: defaultTimeout, Attempts: defaultAttempts}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		line, _, _ = strings.Cut(line, ";")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if ip, err := netip.ParseAddr(words[1]); err == nil && len(s.Servers) < maxServers {
				s.Servers = append(s.Servers, netip.AddrPortFrom(ip, 53))
			}
		case "domain", "search":
			s.Search = words[1:min(len(words), 1+maxSearch)]
		case "options":
			for _, o := range words[1:] {
				s.option(o)
			}
		}
	}
	if len(s.Servers) == 0 {
		s.Servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}
	}
	return s
}

func (s *System) option(o string) {
	name, value, _ := strings.Cut(o, ":")
	n, err := strconv.Atoi(value)
	if name == "use-vc" {
		s.UseTCP = true
	}
	if err != nil || n < 0 {
		return
	}
	switch name {
	case "ndots":
		s.Ndots = min(n, maxNdots)
	case "timeout":
		s.Timeout = time.Duration(min(max(n, 1), maxTimeout)) * time.Second
	case "attempts":
		s.Attempts = min(max(n, 1), maxAttempts)
	}
}

// candidates returns the names to ask for, in order.
func (s *System) candidates(name string) []string {
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	var names []string
	asItIs := strings.Count(name, ".") >= s.Ndots
	if asItIs {
		names = append(names, name)
	}
	for _, domain := range s.Search {
		names = append(names, name+"."+strings.Trim(domain, "."))
	}
	if !asItIs {
		names = append(names, name)
	}
	return names
}

// hosts is a file in the form of /etc/hosts, read again when it has changed.
type hosts struct {
	file string

	mu       sync.Mutex
	modified time.Time // guarded by mu, like what follows
	size     int64
	byName   map[string][]netip.Addr
}

// lookup returns the addresses of a name, in the order of the file.
func (h *hosts) lookup(name string) []netip.Addr {
	info, err := os.Stat(h.file)
	if err != nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byName == nil || !info.ModTime().Equal(h.modified) || info.Size() != h.size {
		text, err := os.ReadFile(h.file)
		if err != nil {
			return nil
		}
		h.byName, h.modified, h.size = parseHosts(string(text)), info.ModTime(), info.Size()
	}
	return h.byName[strings.ToLower(strings.TrimSuffix(name, "."))]
}

func parseHosts(text string) map[string][]netip.Addr {
	byName := map[string][]netip.Addr{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		ip, err := netip.ParseAddr(words[0])
		if err != nil {
			continue
		}
		for _, name := range words[1:] {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			byName[name] = append(byName[name], ip.Unmap())
		}
	}
	return byName
}
