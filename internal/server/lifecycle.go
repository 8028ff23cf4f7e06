package server

import (
	"net"
	"net/netip"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/internal/observe/admin"
)

// State is the state that /ready and server.state show. Any goroutine; it does not
// wait for anything.
func (s *Server) State() adminv3.ServerInfo_State {
	switch {
	case s.unhealthy.Load():
		return adminv3.ServerInfo_DRAINING
	case s.live.Load():
		return adminv3.ServerInfo_LIVE
	default:
		return adminv3.ServerInfo_INITIALIZING
	}
}

// lifecycle is the server as admin steers it. Its methods run on admin's
// goroutines.
type lifecycle Server

var _ admin.Lifecycle = (*lifecycle)(nil)

// State implements admin.Lifecycle.
func (l *lifecycle) State() adminv3.ServerInfo_State { return (*Server)(l).State() }

// Info implements admin.Lifecycle.
func (l *lifecycle) Info() *adminv3.ServerInfo {
	s := (*Server)(l)
	up := durationpb.New(time.Since(s.started).Truncate(time.Second))
	return &adminv3.ServerInfo{
		Version: s.options.Version(), State: s.State(), UptimeCurrentEpoch: up, UptimeAllEpochs: up,
		HotRestartVersion: hotRestartVersion(&s.options), CommandLineOptions: s.options.CommandLineOptions(), Node: s.node(),
	}
}

func hotRestartVersion(o *Options) string {
	if o.DisableHotRestart {
		return "disabled"
	}
	return "11.104"
}

// node is the bootstrap's node with what this build is.
func (s *Server) node() *corev3.Node {
	node := proto.CloneOf(s.bootstrap.GetNode())
	if node == nil {
		node = new(corev3.Node)
	}
	node.UserAgentName = "envoy"
	for f := range s.registry.All() {
		node.Extensions = append(node.Extensions, &corev3.Extension{
			Name: f.Name(), Category: f.Category(), TypeUrls: []string{string(f.Config().ProtoReflect().Descriptor().FullName())},
		})
	}
	return node
}

// DrainListeners implements admin.Lifecycle.
func (l *lifecycle) DrainListeners(graceful, skipExit, inboundOnly bool) {
	l.main.Post(func() {
		l.listeners.Drain(inboundOnly)
		switch {
		case skipExit:
		case graceful:
			l.main.NewTimer(func() { l.listeners.Stop(inboundOnly) }).Enable(l.options.DrainTime)
		default:
			l.listeners.Stop(inboundOnly)
		}
	})
}

// FailHealthChecks implements admin.Lifecycle.
func (l *lifecycle) FailHealthChecks() {
	l.unhealthy.Store(true)
	l.stats.live.Set(0)
}

// PassHealthChecks implements admin.Lifecycle.
func (l *lifecycle) PassHealthChecks() {
	l.unhealthy.Store(false)
	if l.live.Load() {
		l.stats.live.Set(1)
	}
}

// Quit implements admin.Lifecycle.
func (l *lifecycle) Quit() { (*Server)(l).Quit() }

// serverView is the server as extensions see it (extension.Server).
type serverView Server

// HealthCheckFailed implements extension.Server.
func (v *serverView) HealthCheckFailed() bool { return v.unhealthy.Load() }

// ServiceCluster implements extension.Server.
func (v *serverView) ServiceCluster() string { return v.bootstrap.GetNode().GetCluster() }

// ServiceNode implements extension.Server.
func (v *serverView) ServiceNode() string { return v.bootstrap.GetNode().GetId() }

// ServiceZone implements extension.Server.
func (v *serverView) ServiceZone() string { return v.bootstrap.GetNode().GetLocality().GetZone() }

// Node implements extension.Server.
func (v *serverView) Node() *corev3.Node { return v.bootstrap.GetNode() }

// Shards implements extension.Server.
func (v *serverView) Shards() int { return int(max(v.options.Concurrency, 1)) + 1 }

// localAddress is the first address of this machine that is not loopback; without
// one it is loopback, as in Envoy.
func localAddress(version IPVersion) address.Address {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		addrs = nil
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.IsLoopback() || n.IP.IsLinkLocalUnicast() || (n.IP.To4() == nil) != (version == IPv6) {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok {
			return address.FromAddrPort(netip.AddrPortFrom(ip.Unmap(), 0))
		}
	}
	if version == IPv6 {
		return address.FromAddrPort(netip.AddrPortFrom(netip.IPv6Loopback(), 0))
	}
	return address.FromAddrPort(netip.MustParseAddrPort("127.0.0.1:0"))
}
