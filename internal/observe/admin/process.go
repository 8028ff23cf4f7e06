package admin

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime/metrics"
	"runtime/pprof"
	"sync"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"

	"github.com/nuncio-proxy/nuncio/api/adminhook"
)

// processEndpoints show memory and make profiles.
func (s *Server) processEndpoints() []adminhook.Endpoint {
	enable := []adminhook.Param{{Name: "enable", Help: "Start or stop", Options: []string{"y", "n"}}}
	unsupported := func(what string) adminhook.Handler {
		return func(w http.ResponseWriter, _ *http.Request, _ url.Values) {
			fail(w, http.StatusNotImplemented, "The current build does not support "+what)
		}
	}
	return []adminhook.Endpoint{
		{Path: "/memory", Help: "print how much memory is used", Serve: serveMemory},
		{Path: "/memory/tcmalloc", Help: "print the memory statistics of the Go runtime", Serve: serveMemoryDetails},
		{Path: "/contention", Help: "print the contention of locks, if it is traced", Serve: s.serveContention},
		{Path: "/cpuprofiler", Help: "write a CPU profile to the profile_path", Mutates: true, Serve: s.profiler.serve, Params: enable},
		{Path: "/heapprofiler", Help: "not supported: see /heap_dump", Mutates: true, Serve: unsupported("heap profiler")},
		{Path: "/allocprofiler", Help: "not supported: see /heap_dump", Mutates: true, Serve: unsupported("allocation profiler")},
		{Path: "/heap_dump", Help: "download a heap profile (pprof)", Serve: serveHeapDump},
		{Path: "/peak_heap_dump", Help: "not supported: see /heap_dump", Serve: unsupported("peak heap dump")},
	}
}

// readMetrics returns values of runtime/metrics in the order of names, 0 for those
// that this version of Go does not have.
func readMetrics(names ...string) []uint64 {
	samples := make([]metrics.Sample, len(names))
	for i, name := range names {
		samples[i].Name = name
	}
	metrics.Read(samples)
	values := make([]uint64, len(names))
	for i, sample := range samples {
		if sample.Value.Kind() == metrics.KindUint64 {
			values[i] = sample.Value.Uint64()
		}
	}
	return values
}

func serveMemory(w http.ResponseWriter, _ *http.Request, _ url.Values) {
	v := readMetrics("/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes", "/memory/classes/heap/free:bytes",
		"/memory/classes/heap/released:bytes", "/memory/classes/metadata/mcache/inuse:bytes", "/memory/classes/total:bytes")
	objects, unused, free, released, caches, total := v[0], v[1], v[2], v[3], v[4], v[5]
	writeFullJSON(w, &adminv3.Memory{
		Allocated:          objects,
		HeapSize:           objects + unused + free,
		PageheapUnmapped:   released,
		PageheapFree:       free,
		TotalThreadCache:   caches,
		TotalPhysicalBytes: total - released,
	})
}

func serveMemoryDetails(w http.ResponseWriter, _ *http.Request, _ url.Values) {
	for _, d := range metrics.All() {
		if d.Kind == metrics.KindUint64 {
			fmt.Fprintf(w, "%s %d\n", d.Name, readMetrics(d.Name)[0])
		}
	}
}

func (s *Server) serveContention(w http.ResponseWriter, _ *http.Request, _ url.Values) {
	if s.config.Contention != nil {
		writeFullJSON(w, s.config.Contention())
		return
	}
	io.WriteString(w, "Mutex contention tracing is not enabled. To enable, run Envoy with flag --enable-mutex-tracing.")
}

func serveHeapDump(w http.ResponseWriter, _ *http.Request, _ url.Values) {
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := pprof.Lookup("heap").WriteTo(w, 0); err != nil {
		return // the client went away
	}
}

// A cpuProfiler writes the process's CPU profile to a file.
type cpuProfiler struct {
	path string

	mu   sync.Mutex
	file *os.File // guarded by mu; nil while it is not running
}

func (p *cpuProfiler) serve(w http.ResponseWriter, _ *http.Request, query url.Values) {
	switch query.Get("enable") {
	case "y":
		if p.start() != nil {
			fail(w, http.StatusInternalServerError, "failure to start the profiler")
			return
		}
	case "n":
		p.stop()
	default:
		fail(w, http.StatusBadRequest, "?enable=<y|n>\n")
		return
	}
	ok(w)
}

// start does nothing if the profiler is running.
func (p *cpuProfiler) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		return nil
	}
	file, err := os.Create(p.path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		file.Close()
		return err
	}
	p.file = file
	return nil
}

func (p *cpuProfiler) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return
	}
	pprof.StopCPUProfile()
	p.file.Close()
	p.file = nil
}
