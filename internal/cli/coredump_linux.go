package cli

import (
	"fmt"
	"runtime/debug"
	"syscall"
)

// EnableCoreDump carries out --enable-core-dump: a crash is to leave a core file, if the
// limit of its size (RLIMIT_CORE) allows one. proxymain calls it before it starts the server.
func EnableCoreDump() error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 1, 0); errno != 0 {
		return fmt.Errorf("prctl PR_SET_DUMPABLE: %w", errno)
	}
	debug.SetTraceback("crash") // by default a crash of the Go runtime exits and leaves no core
	return nil
}
