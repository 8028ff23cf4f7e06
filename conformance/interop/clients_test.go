package interop

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// An httpClient makes many requests, if it can at the same time, and one with a body of 1 MiB. It must
// speak the version, "1.1" or "2". Without TLS the URL begins with http and there are no
// files; else they are the CA, and a certificate and its key to show if asked for one.
type httpClient func(t *testing.T, url, version string, files []string)

var httpClients = map[string]httpClient{
	"go":   goClient,
	"curl": curlClient,
	"python": func(t *testing.T, url, version string, files []string) {
		script(t, python(t), append([]string{"testdata/http_client.py", url, version}, files...))
	},
	"node": func(t *testing.T, url, version string, files []string) {
		script(t, "node", append([]string{"testdata/http_client.js", url, version}, files...))
	},
}

// TestClients lets the HTTP clients that people use make requests, in both versions and
// with all kinds of security. The proxy speaks the other version to its upstream.
func TestClients(t *testing.T) {
	for client, requests := range httpClients {
		for name, listen := range map[string]security{"plaintext": plaintext, "tls": withTLS, "mtls": mutualTLS} {
			for _, version := range []string{"1.1", "2"} {
				t.Run(fmt.Sprintf("%s/%s/http%s", client, name, version), func(t *testing.T) {
					if client != "go" {
						needTools(t)
					}
					t.Parallel()
					upstreamHTTP2 := version == "1.1"
					address := serve(t, hop{listen: listen, upstream: startUpstream(t, upstreamHTTP2), http2: upstreamHTTP2})
					_, port, _ := net.SplitHostPort(address)
					if listen == plaintext {
						requests(t, "http://localhost:"+port, version, nil)
						return
					}
					requests(t, "https://localhost:"+port, version, []string{made.ca.certificate, made.client.certificate, made.client.key})
				})
			}
		}
	}
}

func script(t *testing.T, interpreter string, args []string) {
	t.Helper()
	if out, err := command(t, interpreter, args...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func goClient(t *testing.T, url, version string, files []string) {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	defer transport.CloseIdleConnections()
	transport.Protocols.SetHTTP1(version == "1.1")
	transport.Protocols.SetHTTP2(version == "2")
	transport.Protocols.SetUnencryptedHTTP2(version == "2")
	if files != nil {
		shown, err := tls.LoadX509KeyPair(files[1], files[2])
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(made.ca.parsed)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{shown}}
	}
	client := &http.Client{Transport: transport, Timeout: runTime}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			answer, err := client.Get(url + "/hello")
			check(t, answer, err, version, []byte("hello"))
		})
	}
	all.Wait()
	body := bytes.Repeat([]byte("nuncio"), 1<<20/6)
	answer, err := client.Post(url+"/echo", "text/plain", bytes.NewReader(body))
	check(t, answer, err, version, body)
}

func check(t *testing.T, answer *http.Response, err error, version string, want []byte) {
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Proto, "HTTP/"+version) || !bytes.Equal(body, want) {
		t.Errorf("%s %s, %d bytes, %v", answer.Proto, answer.Status, len(body), err)
	}
}

func curlClient(t *testing.T, url, version string, files []string) {
	args := []string{"--silent", "--show-error", "--fail"}
	requests := 50
	switch {
	case version == "1.1":
		args = append(args, "--http1.1")
	case files == nil:
		// Curl 7.88 cannot use such a connection twice, whatever the server.
		args, requests = append(args, "--http2-prior-knowledge"), 1
	default:
		args = append(args, "--http2")
	}
	if files != nil {
		args = append(args, "--cacert", files[0], "--cert", files[1], "--key", files[2])
	}
	// [1-50] is curl's for fifty requests.
	out, err := command(t, "curl", append(args, "--write-out", " %{http_version}\n", fmt.Sprintf("%s/hello?[1-%d]", url, requests))...)
	if want := strings.TrimSpace(strings.Repeat("hello "+version+"\n", requests)); err != nil || out != want {
		t.Errorf("%v\n%s", err, out)
	}
	dir := t.TempDir()
	sent, received := filepath.Join(dir, "sent"), filepath.Join(dir, "received")
	body := bytes.Repeat([]byte("nuncio"), 1<<20/6)
	if err := os.WriteFile(sent, body, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, "curl", append(args, "--data-binary", "@"+sent, "--output", received, url+"/echo")...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if got, err := os.ReadFile(received); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
}
