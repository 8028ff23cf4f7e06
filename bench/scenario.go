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
	name  string
	tcp   bool    // proxy TCP, not HTTP
	echo  bool    // to the upstream's echo port
	table []route // of the HTTP proxy
	idle  bool    // measure memory; no cases
	cases []loadCase
}

// A loadCase is one kind of load on a scenario's proxies.
type loadCase struct {
	name, about string
	path        string // of the HTTP request; "" sends smallBody bytes to be echoed
	conns       int
	newConn     bool
}

// A route matches a path, or all paths with a prefix.
type route struct {
	Path  string
	Exact bool
}

var catchAll = []route{{Path: "/"}}

// scenarios returns all scenarios in the order they run.
func scenarios() []scenario {
	return []scenario{
		{name: "h1-64", table: catchAll, cases: []loadCase{
			{name: "h1-64", about: "HTTP/1.1, 93-byte body, 64 connections", path: "/", conns: 64}}},
		{name: "h1-1000", table: catchAll, cases: []loadCase{
			{name: "h1-1000", about: "HTTP/1.1, 93-byte body, 1,000 connections", path: "/", conns: 1000}}},
		{name: "newconn", table: catchAll, cases: []loadCase{
			{name: "newconn", about: "HTTP/1.1, 93-byte body, a new connection per request, 64 at a time", path: "/", conns: 64, newConn: true}}},
		{name: "body-1m", table: catchAll, cases: []loadCase{
			{name: "body-1m", about: "HTTP/1.1, 1 MiB body, 16 connections", path: bigPath, conns: 16}}},
		{name: "tcp-small", tcp: true, echo: true, cases: []loadCase{
			{name: "tcp-small", about: "TCP proxy, 93 bytes each way, 64 connections", conns: 64}}},
		{name: "tcp-bulk", tcp: true, cases: []loadCase{
			{name: "tcp-bulk", about: "TCP proxy, 1 MiB downloads, 16 connections", path: bigPath, conns: 16}}},
		{name: "routes", table: routeTable(), cases: []loadCase{
			{name: "routes-first", about: "first of 1,000 routes, 64 connections", path: routePath(0) + "/item", conns: 64},
			{name: "routes-last", about: "last of 1,000 routes, 64 connections", path: routePath(routeCount-1) + "/item", conns: 64}}},
		{name: "idle", table: catchAll, idle: true},
	}
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

// selectScenarios returns those in the comma-separated list, in their own order.
func selectScenarios(list string) ([]scenario, error) {
	all := scenarios()
	if list == "all" {
		return all, nil
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(scenarioNames(), name) {
			return nil, fmt.Errorf("no scenario %q; there are %s", name, strings.Join(scenarioNames(), ", "))
		}
	}
	return slices.DeleteFunc(all, func(s scenario) bool { return !slices.Contains(names, s.name) }), nil
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
