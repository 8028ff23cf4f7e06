package oplog

import "syscall"

// threadID returns the kernel's number of the calling thread. It tells workers
// apart, as each is locked to a thread of its own.
func threadID() int { return syscall.Gettid() }
