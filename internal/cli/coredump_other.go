//go:build !linux

package cli

import "runtime/debug"

// EnableCoreDump carries out --enable-core-dump: a crash is to leave a core file, if the
// limit of its size (RLIMIT_CORE) allows one. proxymain calls it before it starts the server.
func EnableCoreDump() error {
	debug.SetTraceback("crash") // by default a crash of the Go runtime exits and leaves no core
	return nil
}
