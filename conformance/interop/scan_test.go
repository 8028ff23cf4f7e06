package interop

import (
	"net"
	"testing"
)

// TestScan lets sslyze look for weaknesses in what TLS is by default. It fails unless all
// is as Mozilla recommends for general purposes ("intermediate"): versions, ciphers, curves,
// and no known hole.
func TestScan(t *testing.T) {
	needTools(t)
	for name, shows := range map[string][]pair{"ECDSA": {made.server}, "RSA": {made.serverRSA}, "both": {made.server, made.serverRSA}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := serve(t, hop{listen: withTLS, upstream: startUpstream(t, false), shows: shows})
			_, port, _ := net.SplitHostPort(address)
			out, err := command(t, tool(t, "python/bin/sslyze"), "--mozilla_config", "intermediate", "--certinfo_ca_file", made.ca.certificate, "localhost:"+port)
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
