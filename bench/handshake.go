//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A handshaker connects, shakes hands, sends one request and closes, from Conns
// goroutines at once and as fast as it can.
type handshaker struct {
	spec   loadSpec
	opened atomic.Int64

	mu       sync.Mutex
	requests int // answered
	errors   int
	first    error
}

// runHandshakes measures for spec.Duration; with none, until SIGTERM.
func runHandshakes(spec loadSpec) (loadResult, error) {
	end, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	h := &handshaker{spec: spec}
	working, finish := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	defer workers.Wait()
	defer finish()
	for range spec.Conns {
		workers.Add(1)
		go func() {
			defer workers.Done()
			h.work(working)
		}()
	}
	time.Sleep(warmup)
	before, err := spec.sampleCPU()
	if err != nil {
		return loadResult{}, err
	}
	start, requests, errs := time.Now(), h.count(), h.failures()
	if spec.Duration > 0 {
		var cancel context.CancelFunc
		end, cancel = context.WithTimeout(end, spec.Duration)
		defer cancel()
	}
	<-end.Done()
	after, err := spec.sampleCPU()
	if err != nil {
		return loadResult{}, err
	}
	r := loadResult{
		Requests: h.count() - requests,
		Errors:   h.failures() - errs,
		Elapsed:  time.Since(start),
		ProxyCPU: after.proxy - before.proxy,
		LoadCPU:  after.load - before.load,
	}
	r.OtherCPU = max(after.all-before.all-r.ProxyCPU-r.LoadCPU, 0)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.first != nil {
		r.FirstError = h.first.Error()
	}
	if h.errors > maxErrors {
		return r, fmt.Errorf("%d handshakes failed, the first: %w", h.errors, h.first)
	}
	return r, nil
}

func (h *handshaker) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.requests
}

func (h *handshaker) failures() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.errors
}

// work uses one connection after another. To resume, the first handshake is
// full; it, and each that follows, brings the ticket of the next.
func (h *handshaker) work(ctx context.Context) {
	config := clientConfig(protocolHTTP1)
	if h.spec.Resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	buf := make([]byte, 4<<10)
	ticket := false
	for ctx.Err() == nil {
		err := h.once(config, buf, ticket)
		h.mu.Lock()
		if err == nil {
			h.requests++
		} else if h.errors++; h.first == nil {
			h.first = err
		}
		stop := h.errors > maxErrors
		h.mu.Unlock()
		if stop {
			return
		}
		ticket = h.spec.Resume && err == nil
	}
}

func (h *handshaker) once(config *tls.Config, buf []byte, resumed bool) error {
	plain, err := dial(h.spec.Port, byte(1+h.opened.Add(1)%64))
	if err != nil {
		return err
	}
	defer plain.Close()
	if err := plain.SetDeadline(time.Now().Add(handshakeWithin)); err != nil {
		return err
	}
	conn := tls.Client(plain, config)
	if err := conn.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	if err := checkSession(conn.ConnectionState(), protocolHTTP1, resumed); err != nil {
		return err
	}
	if err := exchange(conn, h.spec.Request, buf); err != nil {
		return err
	}
	_ = conn.Close() // with close_notify; the server may have closed too
	return nil
}

// exchange sends an HTTP/1.1 request and reads the response.
func exchange(conn net.Conn, request, buf []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	var reply response
	reply.reset(0)
	for {
		n, err := conn.Read(buf)
		if n == 0 && err != nil {
			return err
		}
		if done, err := reply.feed(buf[:n]); done || err != nil {
			return err
		}
	}
}

// dial connects as connect does, but leaves the socket to Go's runtime.
func dial(port int, source byte) (net.Conn, error) {
	fd, err := connect(port, source)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "")
	defer file.Close() // net.FileConn duplicates it
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}
