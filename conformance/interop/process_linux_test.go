package interop

import (
	"os/exec"
	"syscall"
)

// tie lets the program die with the test process.
func tie(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
