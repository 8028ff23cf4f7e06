//go:build unix && !darwin

package sock

import "golang.org/x/sys/unix"

const tcpKeepIdle = unix.TCP_KEEPIDLE
