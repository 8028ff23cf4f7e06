package proxymain

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/internal/server"
)

// The demonstration is the front proxy of Envoy's introduction: a front proxy,
// and behind it two services, each behind a proxy of its own. The three proxies
// and the services run in this one process.

//go:embed demo_front.yaml
var demoFront string

//go:embed demo_service.yaml
var demoService string

// demoProxy is what the template of a service's proxy is filled with.
type demoProxy struct {
	Number            int
	Port, ServicePort int
	Name              string
}

func demoProxies() []demoProxy {
	var proxies []demoProxy
	for n := 1; n <= 2; n++ {
		proxies = append(proxies, demoProxy{
			Number: n, Name: "service" + strconv.Itoa(n), Port: 10000 + n, ServicePort: 10010 + n,
		})
	}
	return proxies
}

const demoWelcome = `nuncio: the front proxy runs.

  client -> front proxy 127.0.0.1:10000 -> service proxy 127.0.0.1:10001 -> service 1
                                       \-> service proxy 127.0.0.1:10002 -> service 2

Try
  curl -v 127.0.0.1:10000/service/1
  curl -v 127.0.0.1:10000/service/2
  curl 127.0.0.1:9901/stats?usedonly

Ctrl-C ends it.
`

// runDemo runs the demonstration until ctx ends.
func runDemo(ctx context.Context, options server.Options, factories []extension.Factory, out io.Writer) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var running []func() error // started, in order
	start := func(name, bootstrap string) error {
		options := options
		options.ServiceCluster, options.ServiceNode = "nuncio-demo", name
		s, err := newServer(Config{BootstrapYAML: bootstrap, Extensions: factories, Log: os.Stderr, Grace: grace}, options)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		ended := make(chan error, 1)
		go func() {
			err := s.Run(ctx)
			stop(err)
			ended <- err
		}()
		running = append(running, func() error { return <-ended })
		return s.WaitReady(ctx)
	}
	err := startDemo(ctx, start, &running)
	if err == nil {
		fmt.Fprint(out, demoWelcome)
		<-ctx.Done()
	}
	stop(err)
	for _, wait := range running {
		err = errors.Join(err, wait())
	}
	return err
}

func startDemo(ctx context.Context, start func(name, bootstrap string) error, running *[]func() error) error {
	proxy := template.Must(template.New("service").Parse(demoService))
	for _, p := range demoProxies() {
		wait, err := serveDemo(ctx, p)
		if err != nil {
			return err
		}
		*running = append(*running, wait)
		var bootstrap strings.Builder
		if err := proxy.Execute(&bootstrap, p); err != nil {
			return err
		}
		if err := start(p.Name, bootstrap.String()); err != nil {
			return err
		}
	}
	return start("front-proxy", demoFront)
}

// serveDemo runs one of the two services; wait returns when it has ended.
func serveDemo(ctx context.Context, p demoProxy) (wait func() error, err error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.ServicePort)))
	if err != nil {
		return nil, fmt.Errorf("service %d: %w", p.Number, err)
	}
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello from behind nuncio! You reached service %d by %s %s.\n", p.Number, r.Method, r.URL.Path)
	})}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	context.AfterFunc(ctx, func() { s.Close() })
	return func() error {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, nil
}
