// Package proxymain is the program, and the proxy as a library: Main for a command
// with extensions of its own, New and Run for a proxy inside another program.
package proxymain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/internal/cli"
	"github.com/nuncio-proxy/nuncio/internal/observe/oplog"
	"github.com/nuncio-proxy/nuncio/internal/routecheck"
	"github.com/nuncio-proxy/nuncio/internal/server"
)

// Main is the whole program: it reads the command line, runs what it asks for with
// these extensions, and exits. The status is 0 for an orderly end and 1 otherwise.
func Main(factories ...extension.Factory) {
	os.Exit(run(os.Args, os.Stdout, os.Stderr, factories))
}

func run(args []string, stdout, stderr io.Writer, factories []extension.Factory) int {
	// A broken pipe on standard error or output must not end the proxy.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	command, err := cli.Parse(args, nil)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if command.Options.EnableMutexTracing {
		runtime.SetMutexProfileFraction(1) // every contention
	}
	switch command.Kind {
	case cli.KindPrint:
		fmt.Fprint(stdout, command.Stdout)
		fmt.Fprint(stderr, command.Stderr)
	case cli.KindDemo:
		if command.PrintConfig {
			fmt.Fprint(stdout, demoFront)
			return 0
		}
		err = withSignals(nil, func(ctx context.Context) error { return runDemo(ctx, command.Options, factories, stdout) })
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
	case cli.KindValidate:
		return validate(command, stdout, stderr, factories)
	case cli.KindRoutesCheck:
		return checkRoutes(command.Routes, stdout, stderr, factories)
	default:
		return serve(command, stderr, factories)
	}
	return 0
}

// validate checks the configuration and says so in Envoy's words, or as JSON.
func validate(c cli.Command, stdout, stderr io.Writer, factories []extension.Factory) int {
	log, err := newLog(c.Options, stderr)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	defer log.Close()
	s, err := load(Config{Extensions: factories}, c.Options, log)
	if err == nil {
		s.LogWarnings()
		s.Close()
	}
	if c.JSON {
		var list conf.Errors
		if err != nil && !errors.As(err, &list) {
			list.Add(conf.Path{}, "%v", err)
		}
		if list == nil {
			list = conf.Errors{}
		}
		text, _ := json.Marshal(list) // strings and numbers: it cannot fail
		fmt.Fprintf(stdout, "%s\n", text)
	} else if err == nil {
		fmt.Fprintf(stdout, "configuration '%s' OK\n", c.Options.ConfigPath)
	} else {
		fmt.Fprintln(stderr, err)
	}
	if err != nil {
		return 1
	}
	return 0
}

// checkRoutes runs unit tests of routes.
func checkRoutes(o routecheck.Options, stdout, stderr io.Writer, factories []extension.Factory) int {
	registry := new(extension.Registry)
	err := registry.Add(factories...)
	if err == nil {
		var ok bool
		if ok, err = routecheck.Run(o, registry, stdout, stderr); ok && err == nil {
			return 0
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
	}
	return 1
}

// serve runs the server until a signal or admin ends it.
func serve(c cli.Command, stderr io.Writer, factories []extension.Factory) int {
	log, err := newLog(c.Options, stderr)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	defer log.Close()
	for _, w := range c.Warnings {
		log.Logger("config").Warnf("%s", w)
	}
	if c.Options.EnableCoreDump {
		if err := cli.EnableCoreDump(); err != nil {
			log.Logger("main").Warnf("cannot enable core dumps: %v", err)
		}
	}
	tune(int(c.Options.Concurrency))
	s, err := load(Config{Extensions: factories}, c.Options, log)
	if err == nil {
		err = withSignals(s, func(ctx context.Context) error {
			if c.Options.Mode == server.ModeInitOnly {
				return initOnly(ctx, s)
			}
			return givingMemoryBack(ctx, s.Run)
		})
	}
	if err != nil {
		reportFatal(log, err)
		return 1
	}
	return 0
}

// reportFatal logs why the server does not start: a line for each error.
func reportFatal(log *oplog.Log, err error) {
	logger := log.Logger("main")
	var list conf.Errors
	if !errors.As(err, &list) {
		logger.Criticalf("error initializing: %v", err)
		return
	}
	for _, e := range list {
		logger.Criticalf("error initializing configuration: %v", e)
	}
}

// initOnly runs the server until it is ready.
func initOnly(ctx context.Context, s *server.Server) error {
	go func() {
		if s.WaitReady(ctx) == nil {
			s.Quit()
		}
	}()
	return s.Run(ctx)
}

// withSignals runs f with a context that SIGINT and SIGTERM end. SIGUSR1 reopens
// the logs of s, if there is one.
func withSignals(s *server.Server, f func(ctx context.Context) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if s != nil {
		reopen := make(chan os.Signal, 1)
		signal.Notify(reopen, syscall.SIGUSR1)
		defer signal.Stop(reopen)
		go func() {
			for {
				select {
				case <-reopen:
					s.ReopenLogs()
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	return f(ctx)
}

// grace is how long the demonstration lets requests finish.
const grace = 5 * time.Second
