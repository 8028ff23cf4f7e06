//go:build race

package interop

// The program is built with the race detector if the tests are.
var buildFlags = []string{"-race"}
