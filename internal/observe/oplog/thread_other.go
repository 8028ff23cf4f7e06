//go:build !linux

package oplog

import "os"

// threadID returns the process id, for there is no portable number of a thread.
func threadID() int { return os.Getpid() }
