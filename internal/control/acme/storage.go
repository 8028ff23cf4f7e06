package acme

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockEvery is how often a lock that another one has is asked for.
const lockEvery = 100 * time.Millisecond

// A store is a directory that servers share. A file is there whole or not at all: it is
// written under another name and moved into place. What must happen once for all servers
// happens under a lock of the system, which ends with the process that has it. Any
// goroutine.
type store struct{ dir string }

func (s store) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// read returns a file; fs.ErrNotExist if there is none.
func (s store) read(name string) ([]byte, error) { return readFile(s.path(name)) }

func readAll(f *os.File, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return text, err
}

// write makes or replaces a file, which nobody else may read.
func (s store) write(name string, text []byte) error {
	return s.place(name, text, os.Rename)
}

// create makes a file; fs.ErrExist if there is one.
func (s store) create(name string, text []byte) error {
	return s.place(name, text, os.Link)
}

func (s store) place(name string, text []byte, move func(from, to string) error) (err error) {
	path := s.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if gone := os.Remove(f.Name()); err == nil && gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = gone
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = move(f.Name(), path)
	}
	return err
}

func (s store) remove(name string) error { return os.Remove(s.path(name)) }

// sweep removes the files of a directory that were last written before a time: servers
// that ended in the middle leave some.
func (s store) sweep(dir string, before time.Time) {
	entries, err := os.ReadDir(s.path(dir))
	if err != nil {
		return // there is none yet
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
			_ = s.remove(dir + "/" + e.Name()) // another server may do the same
		}
	}
}

// lock waits until it alone has the lock of that name among all servers, or ctx ends.
func (s store) lock(ctx context.Context, name string) (unlock func(), err error) {
	path := s.path("locks/" + name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	again := time.NewTicker(lockEvery)
	defer again.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err == syscall.EWOULDBLOCK || err == syscall.EINTR { //nolint:errorlint // the system returns it bare
			select {
			case <-again.C:
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
}
