//go:build linux && (amd64 || arm64)

package main

import (
	"fmt"
	"slices"
	"strings"
)

const (
	idleConns  = 5000
	routeCount = 1000
)

// A scenario is measured on one configuration of every proxy.
type scenario struct {
	name, group string
	tcp         bool    // proxy TCP, not HTTP
	cert        string  // with TLS: the name of the certificate
	h2          bool    // clients speak HTTP/2
	upstream    service // the proxy's
	table       []route // of the HTTP proxy
	idle        bool    // measure memory with the one case's connections
	storm       bool    // measure latency of the first case within the load of the second
	cases       []loadCase
}

// A loadCase is one kind of load on a scenario's proxies.
type loadCase struct {
	name, about string
	path        string // of the HTTP request; "" sends smallBody bytes to be echoed
	conns       int
	streams     int // requests at a time on each connection; 0 is 1
	newConn     bool
	resume      bool // a new connection resumes a TLS session
}

// A route matches a path, or all paths with a prefix.
type route struct {
	Path  string
	Exact bool
}

var catchAll = []route{{Path: "/"}}

// scenarios returns all scenarios in the order they run.
func scenarios() []scenario {
	return slices.Concat(h1Scenarios(), tlsScenarios(), h2Scenarios(), memoryScenarios())
}

func h1Scenarios() []scenario {
	h1 := func(c loadCase) scenario {
		return scenario{name: c.name, group: "h1", upstream: serveHTTP, table: catchAll, cases: []loadCase{c}}
	}
	return []scenario{
		h1(loadCase{name: "h1-64", about: "HTTP/1.1, 93-byte body, 64 connections", path: "/", conns: 64}),
		h1(loadCase{name: "h1-1000", about: "HTTP/1.1, 93-byte body, 1,000 connections", path: "/", conns: 1000}),
		h1(loadCase{name: "newconn", about: "HTTP/1.1, 93-byte body, a new connection per request, 64 at a time", path: "/", conns: 64, newConn: true}),
		h1(loadCase{name: "body-1m", about: "HTTP/1.1, 1 MiB body, 16 connections", path: bigPath, conns: 16}),
		{name: "tcp-small", group: "tcp", tcp: true, upstream: serveEcho, cases: []loadCase{
			{name: "tcp-small", about: "TCP proxy, 93 bytes each way, 64 connections", conns: 64}}},
		{name: "tcp-bulk", group: "tcp", tcp: true, upstream: serveHTTP, cases: []loadCase{
			{name: "tcp-bulk", about: "TCP proxy, 1 MiB downloads, 16 connections", path: bigPath, conns: 16}}},
		{name: "routes", group: "h1", upstream: serveHTTP, table: routeTable(), cases: []loadCase{
			{name: "routes-first", about: "first of 1,000 routes, 64 connections", path: routePath(0) + "/item", conns: 64},
			{name: "routes-last", about: "last of 1,000 routes, 64 connections", path: routePath(routeCount-1) + "/item", conns: 64}}},
	}
}

func tlsScenarios() []scenario {
	shake := func(cert, about string) scenario {
		name := "handshake-" + cert
		return scenario{name: name, group: "tls", cert: cert, upstream: serveHTTP, table: catchAll, cases: []loadCase{
			{name: name, about: "full TLS handshakes with " + about + ", each with one request, 32 at a time", path: "/", conns: 32, newConn: true},
			{name: name + "-resumed", about: "the same, with sessions resumed", path: "/", conns: 32, newConn: true, resume: true}}}
	}
	return []scenario{
		{name: "h1-tls", group: "tls", cert: certECDSA, upstream: serveHTTP, table: catchAll, cases: []loadCase{
			{name: "h1-tls", about: "HTTP/1.1 over TLS, 93-byte body, 64 connections", path: "/", conns: 64}}},
		shake(certECDSA, "ECDSA P-256"),
		shake(certRSA, "RSA 2048"),
		{name: "storm", group: "tls", cert: certRSA, upstream: serveHTTP, table: catchAll, storm: true, cases: []loadCase{
			{name: "storm", about: "HTTP/1.1 over TLS, 64 connections, alone and while RSA handshakes storm", path: "/", conns: 64},
			{name: "storm-load", path: "/", conns: 32, newConn: true}}},
	}
}

func h2Scenarios() []scenario {
	h2 := func(name, about string, upstream service, cert string) scenario {
		return scenario{name: name, group: "h2", h2: true, cert: cert, upstream: upstream, table: catchAll, cases: []loadCase{
			{name: name, about: about + ", 16 connections of 16 streams", path: "/", conns: 16, streams: 16}}}
	}
	big := h2("h2-body-1m", "", serveH2Big, "")
	big.cases[0] = loadCase{name: big.name, about: "h2c to h2c, 1 MiB body, 16 connections of 1 stream", path: bigPath, conns: 16}
	return []scenario{
		h2("h2-h1", "h2c to HTTP/1.1, 93-byte body", serveHTTP, ""),
		h2("h2-h2", "h2c to h2c, 93-byte body", serveH2, ""),
		big,
		h2("grpc", "gRPC unary, h2c to h2c, 93-byte messages", serveGRPC, ""),
		h2("grpc-tls", "gRPC unary, TLS to h2c, 93-byte messages", serveGRPC, certECDSA),
	}
}

func memoryScenarios() []scenario {
	idle := func(name, about, cert string, h2 bool) scenario {
		return scenario{name: name, group: "memory", cert: cert, h2: h2, upstream: serveHTTP, table: catchAll, idle: true, cases: []loadCase{
			{name: name, about: fmt.Sprintf("%d %s connections that have each served one request", idleConns, about), path: "/", conns: idleConns}}}
	}
	return []scenario{
		idle("idle", "HTTP/1.1", "", false),
		idle("idle-tls", "HTTP/1.1 over TLS", certECDSA, false),
		idle("idle-h2", "h2c", "", true),
	}
}

// handshakes says whether the scenario measures TLS handshakes: a closed loop.
func (s scenario) handshakes() bool { return s.cert != "" && s.cases[0].newConn }

// isH2 says whether the service is one of HTTP/2.
func (s service) isH2() bool { return s == serveH2 || s == serveH2Big || s == serveGRPC }

// direct is the service that clients of s can use without a proxy.
func (s scenario) direct() service {
	switch {
	case s.cert != "":
		return s.upstream.over(s.cert)
	case s.h2 && !s.upstream.isH2():
		return serveH2
	}
	return s.upstream
}

func routePath(i int) string { return fmt.Sprintf("/service-%04d", i) }

// routeTable returns prefix and path routes; the first and the last are
// prefix routes alike.
func routeTable() []route {
	table := make([]route, routeCount)
	for i := range table {
		if i%3 == 1 {
			table[i] = route{Path: routePath(i), Exact: true}
		} else {
			table[i] = route{Path: routePath(i) + "/"}
		}
	}
	return table
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

func scenarioGroups() []string { return []string{"h1", "tcp", "tls", "h2", "memory"} }

// selectScenarios returns those in the comma-separated list of names and
// groups, in their own order.
func selectScenarios(list string) ([]scenario, error) {
	all := scenarios()
	if list == "all" {
		return all, nil
	}
	known := append(scenarioNames(), scenarioGroups()...)
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no scenario %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(s scenario) bool {
		return !slices.Contains(names, s.name) && !slices.Contains(names, s.group)
	}), nil
}

// spec describes the case's load, without where and how long.
func (c loadCase) spec(s scenario) loadSpec {
	spec := loadSpec{
		Request: c.request(), Reply: c.replyLength(),
		TLS: s.cert != "", Conns: c.conns, Streams: max(c.streams, 1), NewConn: c.newConn, Resume: c.resume,
	}
	if !s.h2 {
		return spec
	}
	spec.H2 = &h2Spec{Scheme: "http", Path: c.path, Body: smallBody}
	if spec.TLS {
		spec.H2.Scheme = "https"
	}
	switch s.upstream {
	case serveH2Big:
		spec.H2.Body = bigBody
	case serveGRPC:
		spec.H2.Path, spec.H2.GRPC, spec.H2.Body = "/bench.Echo/Unary", true, len(grpcMessage(smallBody))
	}
	return spec
}

// request returns the bytes a client sends.
func (c loadCase) request() []byte {
	if c.path == "" {
		return []byte(strings.Repeat("x", smallBody))
	}
	connection := ""
	if c.newConn {
		connection = "Connection: close\r\n"
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: nuncio-bench\r\nAccept: */*\r\n%s\r\n", c.path, connection)
}

// replyLength returns the length of the reply if it is no HTTP response.
func (c loadCase) replyLength() int {
	if c.path == "" {
		return smallBody
	}
	return 0
}
