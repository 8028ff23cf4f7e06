// Package acmev1 is the configuration of ACME, for which Envoy has no messages:
// acme.proto, and the Go code that is made from it.
package acmev1
