package cli

import (
	"syscall"
	"testing"
)

func TestEnableCoreDump(t *testing.T) {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	if err := EnableCoreDump(); err != nil {
		t.Fatal(err)
	}
	if on, _, _ := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_GET_DUMPABLE, 0, 0); on != 1 {
		t.Errorf("the process is not dumpable: %d", on)
	}
}
