//go:build race

package e2e

// The program is built with the race detector if the tests are.
var buildFlags = []string{"-race"}
