package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

var _ accesslog.Files = (*Files)(nil)

const shards = 4

func newFiles(change func(*FilesOptions)) (*Files, *metrics.Scope) {
	scope := metrics.New(shards)
	o := FilesOptions{Shards: shards, Stats: scope, FlushInterval: time.Hour}
	if change != nil {
		change(&o)
	}
	return NewFiles(o), scope
}

func mustOpen(t *testing.T, f *Files, name string) accesslog.File {
	t.Helper()
	opened, err := f.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func content(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func wantStats(t *testing.T, scope *metrics.Scope, want map[string]uint64) {
	t.Helper()
	for name, value := range want {
		if got := scope.Value(name); got != value {
			t.Errorf("%s is %d, want %d", name, got, value)
		}
	}
}

// TestFlush runs on a fake clock.
func TestFlush(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	synctest.Test(t, func(t *testing.T) {
		files, scope := newFiles(func(o *FilesOptions) { o.FlushInterval = 10 * time.Second })
		a := mustOpen(t, files, name)
		if b := mustOpen(t, files, name); a != b {
			t.Error("a second Open gave another file")
		}
		a.Write(0, []byte("one\n"))
		a.Write(1, []byte("two\n"))
		a.Write(0, []byte("three\n"))
		wantStats(t, scope, map[string]uint64{"write_buffered": 3, "write_total_buffered": 14, "write_completed": 0})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := content(t, name); got != "one\nthree\ntwo\n" {
			t.Errorf("after the interval: %q", got)
		}
		wantStats(t, scope, map[string]uint64{"write_total_buffered": 0, "write_completed": 2, "flushed_by_timer": 1})
		a.Write(2, []byte("four\n"))
		files.Close()
		if got := content(t, name); got != "one\nthree\ntwo\nfour\n" {
			t.Errorf("after Close: %q", got)
		}
		a.Write(2, []byte("too late\n"))
	})
	if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o600 != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestFlushMinSize(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	synctest.Test(t, func(t *testing.T) {
		files, _ := newFiles(func(o *FilesOptions) { o.FlushMinSize = 10 })
		defer files.Close()
		f := mustOpen(t, files, name)
		f.Write(0, []byte("12345678\n"))
		synctest.Wait()
		if got := content(t, name); got != "" {
			t.Errorf("written too soon: %q", got)
		}
		f.Write(0, []byte("a\n"))
		synctest.Wait()
		if got := content(t, name); got != "12345678\na\n" {
			t.Errorf("got %q", got)
		}
	})
}

// TestManyWriters checks that no line is torn or lost, and that the lines of each
// worker stay in order, while the timer flushes and the file is opened again.
func TestManyWriters(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "log")
	files, scope := newFiles(func(o *FilesOptions) { o.FlushInterval, o.FlushMinSize = time.Millisecond, 4096 })
	f := mustOpen(t, files, name)
	const perShard = 20_000
	var workers sync.WaitGroup
	for shard := range shards {
		workers.Go(func() {
			for i := range perShard {
				f.Write(shard, fmt.Appendf(nil, "%d %d %s\n", shard, i, strings.Repeat("x", i%50)))
			}
		})
	}
	for range 2 { // goroutines that are no worker
		workers.Go(func() {
			for range perShard {
				f.Write(stats.Any, []byte("any\n"))
			}
		})
	}
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	files.Reopen()
	workers.Wait()
	files.Close()
	next, others := [shards]int{}, 0
	var dropped int
	for line := range strings.Lines(content(t, name+".1") + content(t, name)) {
		var shard, i int
		var pad string
		switch n, _ := fmt.Sscanf(line, "%d %d %s", &shard, &i, &pad); {
		case line == "any\n":
			others++
		case n < 2 || len(pad) != i%50:
			t.Fatalf("torn line %q", line)
		case i < next[shard]:
			t.Fatalf("line %d of %d came after line %d", i, shard, next[shard])
		default:
			dropped += i - next[shard]
			next[shard] = i + 1
		}
	}
	for _, n := range next {
		dropped += perShard - n
	}
	dropped += 2*perShard - others
	wantStats(t, scope, map[string]uint64{
		"nuncio_write_dropped": uint64(dropped), "write_total_buffered": 0, "write_failed": 0, "reopen_failed": 0,
	})
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "sub", "log")
	if err := os.Mkdir(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		files, scope := newFiles(nil)
		defer files.Close()
		f := mustOpen(t, files, name)
		f.Write(0, []byte("old\n"))
		if err := os.Rename(name, name+".1"); err != nil {
			t.Fatal(err)
		}
		files.Reopen()
		synctest.Wait()
		f.Write(0, []byte("new\n"))
		if err := os.Rename(filepath.Dir(name), filepath.Dir(name)+"2"); err != nil {
			t.Fatal(err)
		}
		files.Reopen() // fails: the directory is gone
		synctest.Wait()
		wantStats(t, scope, map[string]uint64{"reopen_failed": 1})
	})
	moved := filepath.Join(dir, "sub2", "log")
	if old, fresh := content(t, moved+".1"), content(t, moved); old != "old\n" || fresh != "new\n" {
		t.Errorf("old %q, new %q", old, fresh)
	}
}

// stuck is an output that blocks, then fails or succeeds.
type stuck struct {
	release chan struct{}
	bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.release
	return s.Buffer.Write(p)
}

// TestSlowOutput checks the bound of what waits, and that nobody waits for it.
func TestSlowOutput(t *testing.T) {
	out := &stuck{release: make(chan struct{})}
	synctest.Test(t, func(t *testing.T) {
		out.release = make(chan struct{})
		files, scope := newFiles(func(o *FilesOptions) { o.Stdout, o.FlushMinSize = out, 100 })
		f := mustOpen(t, files, "/dev/stdout")
		line := []byte(strings.Repeat("x", 99) + "\n")
		const lines = 10 * maxQueued
		for i := range lines {
			f.Write(0, line)
			if i == 0 {
				synctest.Wait() // the writer has the first one
			}
		}
		kept := uint64(maxQueued + 2) // with the writer, in the queue, in the slot
		wantStats(t, scope, map[string]uint64{
			"write_buffered": kept, "nuncio_write_dropped": lines - kept, "write_total_buffered": kept * 100,
		})
		close(out.release)
		files.Close()
		wantStats(t, scope, map[string]uint64{"write_total_buffered": 0, "write_completed": kept})
		if got := uint64(out.Len()); got != kept*100 {
			t.Errorf("%d bytes written, want %d", got, kept*100)
		}
	})
}

// full is an output that takes so many bytes.
type full struct {
	bytes.Buffer
	room int
}

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	f.Buffer.Write(p[:n])
	if f.room -= n; n < len(p) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

func TestFullDisk(t *testing.T) {
	out := &full{room: 6}
	synctest.Test(t, func(t *testing.T) {
		files, scope := newFiles(func(o *FilesOptions) { o.Stderr, o.FlushMinSize = out, 1 })
		f := mustOpen(t, files, "/dev/stderr")
		for _, line := range []string{"one\n", "two\n", "three\n"} {
			f.Write(0, []byte(line))
			synctest.Wait()
		}
		out.room = 100
		f.Write(0, []byte("four\n"))
		files.Reopen()
		files.Close()
		wantStats(t, scope, map[string]uint64{"write_failed": 2, "write_completed": 2})
	})
	if got := out.String(); got != "one\ntw\nfour\n" {
		t.Errorf("got %q", got)
	}
}

func TestOpenErrors(t *testing.T) {
	files, _ := newFiles(nil)
	defer files.Close()
	name := filepath.Join(t.TempDir(), "none", "log")
	if _, err := files.Open(name); err == nil || err.Error() != "unable to open file '"+name+"': no such file or directory" {
		t.Errorf("got %v", err)
	}
}

func TestWriteAllocations(t *testing.T) {
	files, _ := newFiles(func(o *FilesOptions) { o.Stdout = &full{room: 1 << 30} })
	defer files.Close()
	f := mustOpen(t, files, "/dev/stdout")
	line := []byte(strings.Repeat("x", 200))
	if n := testing.AllocsPerRun(100, func() { f.Write(0, line) }); n != 0 {
		t.Errorf("%v allocations a line", n)
	}
}

func BenchmarkWrite(b *testing.B) {
	files, _ := newFiles(nil)
	defer files.Close()
	f, err := files.Open(os.DevNull)
	if err != nil {
		b.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 200))
	b.ReportAllocs()
	for b.Loop() {
		f.Write(0, line)
	}
}
