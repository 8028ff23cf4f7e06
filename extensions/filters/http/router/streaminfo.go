package router

import (
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
)

// describeCluster says where the request goes; what an earlier attempt left is gone.
func (f *filter) describeCluster() {
	info := f.cluster.Info()
	f.info.AttemptCount = f.attempts
	f.info.Upstream = streaminfo.Upstream{
		Cluster: info.ObservabilityName, ClusterRaw: info.Name, ClusterMetadata: info.Metadata,
	}
}

func (f *filter) describeHost(host upstream.Host) {
	up := &f.info.Upstream
	up.Host, up.Hostname, up.HostMetadata = host.Address(), host.Hostname(), host.Metadata()
}

// describeStream says which connection carries the attempt.
func (f *filter) describeStream(conn *upstream.StreamConnection, host upstream.Host) {
	f.describeHost(host)
	up, a := &f.info.Upstream, &f.attempted
	a.host[0], a.name[0], a.id[0] = up.Host, up.Hostname, conn.ID
	up.HostsAttempted, up.HostnamesAttempted, up.ConnectionIDsAttempted = a.host[:], a.name[:], a.id[:]
	up.LocalAddress, up.ConnectionID, up.Version, up.HasVersion = conn.Local, conn.ID, conn.Version, true
	up.ConnectStart, up.ConnectEnd, up.PoolReady = conn.ConnectStart, conn.ConnectEnd, f.d.Now()
}
