package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// startTime is how long a program may take to start or to end.
const startTime = 30 * time.Second

// security says how a side of a proxy speaks.
type security int

const (
	plaintext security = iota
	withTLS            // the server shows a certificate
	mutualTLS          // the client shows one too
)

// A hop is a proxy with one listener and one upstream.
type hop struct {
	listen   security // clients choose between HTTP/1.1 and HTTP/2
	upstream string   // address
	http2    bool     // speak HTTP/2 to the upstream
	connect  security // to the upstream
	shows    []pair   // the certificates of the listener; those with ECDSA, if there are none
}

// object is JSON.
type object = map[string]any

// any of protobuf.
func typed(name string, fields object) object {
	fields["@type"] = "type.googleapis.com/envoy." + name
	return fields
}

func port(address string) any {
	host, port, _ := net.SplitHostPort(address)
	return object{"socket_address": object{"address": host, "port_value": json.Number(port)}}
}

// bootstrap is the configuration of a proxy: defaults, but for what streams that last
// and upgrades need.
func (h hop) bootstrap() object {
	route := object{
		"match": object{"prefix": "/"},
		"route": object{"cluster": "up", "timeout": "0s", "max_stream_duration": object{"grpc_timeout_header_max": "0s"}},
		// The proxy keeps the deadlines of gRPC. If the server did so too, and reset a stream at
		// the very moment the client gives up, the status would be anybody's guess.
		"request_headers_to_remove": []string{"grpc-timeout"},
	}
	hcm := typed("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", object{
		"stat_prefix":            "in",
		"delayed_close_timeout":  "0.1s", // h2spec waits for the end of connections in error
		"http2_protocol_options": object{"allow_connect": true},
		"upgrade_configs":        []object{{"upgrade_type": "websocket"}},
		"route_config":           object{"virtual_hosts": []object{{"name": "all", "domains": []string{"*"}, "routes": []object{route}}}},
		"http_filters":           []object{{"name": "router", "typed_config": typed("extensions.filters.http.router.v3.Router", object{})}},
	})
	chain := object{"filters": []object{{"name": "hcm", "typed_config": hcm}}}
	if h.listen != plaintext {
		chain["transport_socket"] = object{"name": "envoy.transport_sockets.tls", "typed_config": h.downstreamTLS()}
	}
	cluster := object{
		"name": "up", "connect_timeout": "5s",
		"load_assignment": object{"cluster_name": "up", "endpoints": []object{{"lb_endpoints": []object{{
			"endpoint": object{"address": port(h.upstream)},
		}}}}},
	}
	if h.connect != plaintext {
		cluster["transport_socket"] = object{"name": "envoy.transport_sockets.tls", "typed_config": h.upstreamTLS()}
	}
	if h.http2 {
		cluster["typed_extension_protocol_options"] = object{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed("extensions.upstreams.http.v3.HttpProtocolOptions", object{
				"explicit_http_config": object{"http2_protocol_options": object{"allow_connect": true}},
			}),
		}
	}
	return object{
		"admin": object{"address": port("127.0.0.1:0")},
		"static_resources": object{
			"listeners": []object{{"name": "in", "address": port("127.0.0.1:0"), "filter_chains": []object{chain}}},
			"clusters":  []object{cluster},
		},
	}
}

func (h hop) downstreamTLS() object {
	certificates := []object{made.server.files()}
	if h.shows != nil {
		certificates = nil
		for _, p := range h.shows {
			certificates = append(certificates, p.files())
		}
	}
	common := object{"alpn_protocols": []string{"h2", "http/1.1"}, "tls_certificates": certificates}
	context := object{"common_tls_context": common}
	if h.listen == mutualTLS {
		common["validation_context"] = object{"trusted_ca": object{"filename": made.ca.certificate}}
		context["require_client_certificate"] = true
	}
	return typed("extensions.transport_sockets.tls.v3.DownstreamTlsContext", context)
}

func (h hop) upstreamTLS() object {
	common := object{"validation_context": object{
		"trusted_ca":                    object{"filename": made.ca.certificate},
		"match_typed_subject_alt_names": []object{{"san_type": "DNS", "matcher": object{"exact": "localhost"}}},
	}}
	if h.connect == mutualTLS {
		common["tls_certificates"] = []object{made.client.files()}
	}
	return typed("extensions.transport_sockets.tls.v3.UpstreamTlsContext", object{"common_tls_context": common, "sni": "localhost"})
}

// serve runs a proxy until the test ends and returns the address it listens on.
func serve(t *testing.T, h hop) string {
	t.Helper()
	admin := serveBootstrap(t, h.bootstrap())
	text, err := get(admin, "/listeners")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(strings.TrimSpace(text), "in::")
}

// serveBootstrap runs a proxy with a configuration until the test ends, and returns the
// address of its admin when it is ready.
func serveBootstrap(t *testing.T, bootstrap object) (address string) {
	t.Helper()
	dir := t.TempDir()
	config, admin := filepath.Join(dir, "bootstrap.json"), filepath.Join(dir, "admin")
	text, err := json.Marshal(bootstrap)
	if err == nil {
		err = os.WriteFile(config, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := run(t, nuncio, "-c", config, "--concurrency", "1", "--disable-hot-restart", "--admin-address-path", admin)
	await(t, func() error {
		select {
		case <-ended:
			t.FailNow() // what it wrote is shown when the test ends
		default:
		}
		text, err := os.ReadFile(admin)
		if err != nil {
			return err
		}
		address = strings.TrimSpace(string(text))
		// A listener has its address when the proxy is ready.
		_, err = get(address, "/ready")
		return err
	})
	return address
}

func get(admin, path string) (string, error) {
	answer, err := http.Get("http://" + admin + path)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, answer.Status)
	}
	return string(text), err
}

// run starts a server that lives until the test ends. It fails the test if it ends before,
// or does not end when told to. The channel is closed when it has ended.
func run(t *testing.T, program string, args ...string) <-chan struct{} {
	t.Helper()
	cmd := exec.Command(program, args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1") // it ends by itself, and that is seen
	tie(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the status is in ProcessState
		close(ended)
	}()
	t.Cleanup(func() {
		select {
		case <-ended:
			t.Errorf("%s ended by itself: %v\n%s", filepath.Base(program), cmd.ProcessState, &output)
			return
		default:
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(startTime):
			t.Errorf("%s does not end", filepath.Base(program))
			_ = cmd.Process.Kill()
			<-ended
		}
		if bytes.Contains(output.Bytes(), []byte("[critical]")) {
			t.Errorf("%s had a panic", filepath.Base(program)) // nuncio ends one connection and goes on
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", filepath.Base(program), &output)
		}
	})
	return ended
}

// await repeats a check until it succeeds.
func await(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// ports counts those that freePort has given, from anywhere.
var ports = func() *atomic.Uint32 {
	from := new(atomic.Uint32)
	from.Store(rand.Uint32N(12000))
	return from
}()

// freePort is an address where nobody listens yet, for servers that do not tell theirs. Its
// port is below those that systems give to connections: those are soon somebody else's.
func freePort(t *testing.T) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+ports.Add(1)%12000))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
}

// awaitServer waits until somebody listens.
func awaitServer(t *testing.T, address string) {
	t.Helper()
	await(t, func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err
	})
}
