// Package cluster holds the clusters: their configuration, the discovery of their
// hosts, their statistics, and the set of all of them.
//
// The main goroutine owns a cluster and changes it; workers read what it publishes.
package cluster
