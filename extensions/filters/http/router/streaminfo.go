package router

import (
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// describeCluster says where the request goes; what an earlier attempt left is gone.
func (f *filter) describeCluster() {
	f.info.AttemptCount = f.attempts
	upstream.Describe(&f.info.Upstream, f.cluster)
}

// meter counts the bytes of u from now on, on top of those of the attempts before.
// nil stands for none.
func (f *filter) meter(u *upstreamRequest) {
	if f.metered != nil {
		f.metered.measure()
	}
	if f.metered = u; u != nil {
		u.before = f.wireBytes
	}
}

// describeHost says which host was chosen. It is known before there is a connection;
// nil takes it back.
func (u *upstreamRequest) describeHost(h upstream.Host) {
	u.up.Attempted = true
	upstream.DescribeHost(u.up, h)
}

// describeStream says which connection carries the attempt.
func (u *upstreamRequest) describeStream() {
	u.describeHost(u.host)
	up, a, conn := u.up, &u.attempted, u.conn
	a.host[0], a.name[0], a.id[0] = up.Host, up.Hostname, conn.ID
	up.HostsAttempted, up.HostnamesAttempted, up.ConnectionIDsAttempted = a.host[:], a.name[:], a.id[:]
	up.LocalAddress, up.ConnectionID, up.Version, up.HasVersion = conn.Local, conn.ID, conn.Version, !u.f.connect
	up.TLS = conn.TLS
	up.ConnectStart, up.ConnectEnd, up.PoolReady = conn.ConnectStart, conn.ConnectEnd, u.f.d.Now()
}
