package tlscontext

import (
	"io"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/internal/addr"
)

// A keyLog writes the keys of sessions to a file, in the format of NSS.
type keyLog struct {
	file          accesslog.File
	local, remote address.Ranges // empty for all
}

func parseKeyLog(msg *tlsv3.TlsKeyLog, ctx extension.Context, path conf.Path, errs *conf.Errors) *keyLog {
	if msg == nil {
		return nil
	}
	k := &keyLog{
		local:  addr.ParseRanges(msg.GetLocalAddressRange(), path.Field("local_address_range"), errs),
		remote: addr.ParseRanges(msg.GetRemoteAddressRange(), path.Field("remote_address_range"), errs),
	}
	var err error
	if k.file, err = ctx.Files.Open(msg.GetPath()); err != nil {
		errs.Add(path.Field("path"), "%v", err)
		return nil
	}
	return k
}

// writer returns where the keys of a connection go, nil for nowhere. k may be nil.
func (k *keyLog) writer(info *streaminfo.Connection) io.Writer {
	if k == nil || len(k.local) > 0 && !k.local.Contains(info.Local.IP()) || len(k.remote) > 0 && !k.remote.Contains(info.Remote.IP()) {
		return nil
	}
	return k
}

// Write implements io.Writer: crypto/tls writes a line at a time, on any goroutine.
func (k *keyLog) Write(line []byte) (int, error) {
	k.file.Write(anyShard, line)
	return len(line), nil
}
