package sock

import "golang.org/x/sys/unix"

// tcpKeepIdle is TCP_KEEPIDLE under Darwin's name.
const tcpKeepIdle = unix.TCP_KEEPALIVE
