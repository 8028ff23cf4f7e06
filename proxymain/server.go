package proxymain

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/internal/control/bootstrap"
	"github.com/nuncio-proxy/nuncio/internal/observe/oplog"
	"github.com/nuncio-proxy/nuncio/internal/server"
)

// A Config describes a server that a program runs inside itself.
type Config struct {
	// Bootstrap or BootstrapYAML is Envoy's v3 bootstrap; with both, the YAML is merged
	// over the message.
	Bootstrap     *bootstrapv3.Bootstrap
	BootstrapYAML string
	// Concurrency is the number of workers; 0 means one.
	Concurrency int
	// Extensions are the factories of the extensions, as extensions/all lists them.
	Extensions []extension.Factory
	// Log receives the operational log; nil discards it. LogLevel is one of trace,
	// debug, info (if ""), warning, error, critical, off.
	Log      io.Writer
	LogLevel string
	// Grace is how long Run, when its context ends, lets requests finish.
	Grace time.Duration
}

// A Server is a proxy inside another program. Several of them run in one process.
type Server struct {
	server *server.Server
	log    *oplog.Log
}

// New loads and checks the configuration; nothing is bound yet. An error has a line
// for each thing wrong, with its place.
func New(c Config) (*Server, error) {
	options := server.DefaultOptions()
	options.Concurrency = uint32(max(c.Concurrency, 1))
	options.DisableHotRestart = true
	return newServer(c, options)
}

func newServer(c Config, options server.Options) (*Server, error) {
	if c.LogLevel != "" {
		level, err := oplog.ParseLevel(c.LogLevel)
		if err != nil {
			return nil, err
		}
		options.LogLevel = level
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	log, err := newLog(options, c.Log)
	if err != nil {
		return nil, err
	}
	s, err := load(c, options, log)
	if err != nil {
		log.Close()
		return nil, err
	}
	return &Server{s, log}, nil
}

// Check loads and checks the configuration as New does, and keeps nothing of it.
func Check(c Config) error {
	s, err := New(c)
	if err != nil {
		return err
	}
	s.server.Close()
	return s.log.Close()
}

// load reads the configuration and builds the server.
func load(c Config, options server.Options, log *oplog.Log) (*server.Server, error) {
	b, err := bootstrap.Load(bootstrap.Source{
		Path: options.ConfigPath, YAML: options.ConfigYAML + c.BootstrapYAML, Proto: c.Bootstrap,
		ServiceCluster: options.ServiceCluster, ServiceNode: options.ServiceNode, ServiceZone: options.ServiceZone,
		AllowUnknown: options.AllowUnknownStaticFields,
	})
	if err != nil && !b.Readable {
		return nil, err
	}
	s, buildErr := server.New(server.Config{
		Options: options, Bootstrap: b, Extensions: c.Extensions, Log: log, Grace: c.Grace, LookupEnv: os.LookupEnv,
	})
	if err := allErrors(err, buildErr); err != nil {
		if s != nil {
			s.Close()
		}
		return nil, err
	}
	return s, nil
}

// allErrors joins what was found while the configuration was read and while it was
// built, in the order of the file.
func allErrors(reading, building error) error {
	var all, more conf.Errors
	if building != nil && !errors.As(building, &more) {
		return building
	}
	errors.As(reading, &all)
	return bootstrap.Join(all, more).Err()
}

func newLog(o server.Options, out io.Writer) (*oplog.Log, error) {
	format := o.LogFormat
	if o.EnableFineGrainLogging && !o.LogFormatSet {
		format = oplog.FineGrainFormat
	}
	return oplog.New(oplog.Config{
		Level: o.LogLevel, ComponentLevels: o.ComponentLogLevel, FineGrain: o.EnableFineGrainLogging, Pattern: oplog.CompilePattern(format),
		Escaped: o.LogFormatEscaped, Path: o.LogPath, Output: out, StacktraceSingleEntry: o.LogStacktraceSingleEntry,
	})
}

// Run runs the server until ctx ends, or admin is told to quit; then it returns
// nil. An error says why it could not start, as an address that is in use. It is
// called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.log.Close()
	return s.server.Run(ctx)
}

// WaitReady returns when the listeners accept, or with an error when the server or
// ctx ended before. Any goroutine.
func (s *Server) WaitReady(ctx context.Context) error { return s.server.WaitReady(ctx) }

// ListenerAddresses returns the addresses that a listener is bound to, once the
// server is ready; nil if there is no listener with that name. Any goroutine.
func (s *Server) ListenerAddresses(name string) []address.Address {
	return s.server.ListenerAddresses(name)
}

// AdminAddress is the address of the admin server, "" without one. Any goroutine.
func (s *Server) AdminAddress() string { return s.server.AdminAddress() }
