package interop

import (
	"net"
	"slices"
	"strings"
	"testing"
)

// grpcCases are the interop cases of gRPC that a proxy can carry; the rest needs servers
// of its own, or credentials.
var grpcCases = []string{
	"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
	"timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response",
	"status_code_and_message", "special_status_message", "custom_metadata",
	"unimplemented_method", "unimplemented_service", "rpc_soak",
}

// grpcClients run all cases against an address, with a certificate of their own if they can
// show one.
var grpcClients = map[string]func(t *testing.T, address string, files []string){
	"go": grpcGo,
	"python": func(t *testing.T, address string, files []string) {
		grpcScript(t, python(t), "testdata/grpc_client.py", address, files)
	},
	"node": func(t *testing.T, address string, files []string) {
		grpcScript(t, "node", "testdata/grpc_client.js", address, files)
	},
}

// TestGRPC lets clients of gRPC in three languages, each with an HTTP/2 of its own, call
// grpc-go's server through a proxy.
func TestGRPC(t *testing.T) {
	needTools(t)
	server := freePort(t)
	_, port, _ := net.SplitHostPort(server)
	run(t, tool(t, "grpc/server"), "--port", port)
	awaitServer(t, server)
	for name, client := range grpcClients {
		t.Run(name+"/h2c", func(t *testing.T) {
			t.Parallel()
			client(t, serve(t, hop{upstream: server, http2: true}), nil)
		})
		t.Run(name+"/mtls", func(t *testing.T) {
			t.Parallel()
			mutual := serve(t, hop{listen: mutualTLS, upstream: server, http2: true})
			if name == "go" {
				// Its interop client has no certificate to show: a proxy in front of it does.
				client(t, serve(t, hop{upstream: mutual, connect: mutualTLS, http2: true}), nil)
				return
			}
			client(t, mutual, []string{made.ca.certificate, made.client.certificate, made.client.key})
		})
	}
}

// grpcGo is grpc-go's own interop client: a process a case.
func grpcGo(t *testing.T, address string, _ []string) {
	host, port, _ := net.SplitHostPort(address)
	for _, name := range grpcCases {
		out, err := command(t, tool(t, "grpc/client"), "--server_host", host, "--server_port", port,
			"--test_case", name, "--soak_iterations", "100")
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// grpcScript is a client of ours with somebody else's library: a line a case.
func grpcScript(t *testing.T, interpreter, script, address string, files []string) {
	_, port, _ := net.SplitHostPort(address)
	out, err := command(t, interpreter, append([]string{script, "localhost:" + port, strings.Join(grpcCases, ",")}, files...)...)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
		return
	}
	lines := strings.Split(out, "\n")
	for _, name := range grpcCases {
		if !slices.Contains(lines, "ok "+name) {
			t.Errorf("%s did not run:\n%s", name, out)
		}
	}
}
