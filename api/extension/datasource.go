package extension

import (
	"fmt"
	"os"
	"sync/atomic"
	"weak"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// ReadDataSource returns the bytes that a DataSource holds or names now; none for nil. The
// caller follows files itself, or NewDataSource does. Errors go to errs. Main goroutine: it
// may read a file.
func ReadDataSource(src *corev3.DataSource, ctx Context, path conf.Path, errs *conf.Errors) string {
	switch s := src.GetSpecifier().(type) {
	case *corev3.DataSource_InlineString:
		return s.InlineString
	case *corev3.DataSource_InlineBytes:
		return string(s.InlineBytes)
	case *corev3.DataSource_Filename:
		text, err := os.ReadFile(s.Filename)
		if err != nil {
			errs.Add(path.Field("filename"), "%v", err)
		}
		return string(text)
	case *corev3.DataSource_EnvironmentVariable:
		if ctx.LookupEnv != nil {
			if value, ok := ctx.LookupEnv(s.EnvironmentVariable); ok {
				return value
			}
		}
		errs.Add(path.Field("environment_variable"), "Environment variable doesn't exist: %s", s.EnvironmentVariable)
	}
	return ""
}

// A DataSource has the text of a DataSource message that may have a watched_directory: its
// file is read again when something is moved into that directory.
type DataSource struct {
	name  string
	max   int64
	log   Logger
	taken func(text string) error // nil: any text is right
	text  atomic.Pointer[string]
}

// NewDataSource reads src, at most limit bytes, 0 for any number of them. Errors go to errs;
// the result must not be used then. Main goroutine.
func NewDataSource(src *corev3.DataSource, limit int64, ctx Context, path conf.Path, errs *conf.Errors) *DataSource {
	s := &DataSource{name: src.GetFilename(), max: limit, log: ctx.Log}
	if s.name == "" {
		text := ReadDataSource(src, ctx, path, errs)
		if err := s.check(int64(len(text))); err != nil {
			errs.Add(path.Field(specifier(src)), "%v", err)
		}
		s.text.Store(&text)
		return s
	}
	if err := s.read(); err != nil {
		errs.Add(path.Field("filename"), "%v", err)
	}
	if directory := src.GetWatchedDirectory(); directory != nil {
		if _, err := os.Stat(directory.GetPath()); err != nil {
			errs.Add(path.Field("watched_directory").Field("path"), "%v", err)
		} else if ctx.Secrets != nil { // there is more than a check of the configuration
			s.follow(directory.GetPath(), ctx)
		}
	}
	return s
}

// specifier returns the name of the field that is set.
func specifier(src *corev3.DataSource) string {
	m := src.ProtoReflect()
	return string(m.WhichOneof(m.Descriptor().Oneofs().ByName("specifier")).Name())
}

// Text returns the text as it is now. Any goroutine.
func (s *DataSource) Text() string { return *s.text.Load() }

// OnChange has take called with every text to come, before Text returns it. An error keeps the
// text before. Main goroutine, once.
func (s *DataSource) OnChange(take func(text string) error) { s.taken = take }

// follow reads the file again when the directory changes, as long as somebody uses s.
func (s *DataSource) follow(directory string, ctx Context) {
	used := weak.Make(s)
	var stop func()
	stop = ctx.Secrets.Follow([]string{directory}, func() {
		s := used.Value()
		if s == nil {
			stop()
			return
		}
		if err := s.read(); err != nil {
			s.log.Errorf("What %s contained before stays: %v", s.name, err)
		}
	})
}

// read reads the file. What it contained before stays if there is an error.
func (s *DataSource) read() error {
	info, err := os.Stat(s.name)
	if err == nil {
		err = s.check(info.Size())
	}
	if err != nil {
		return err
	}
	content, err := os.ReadFile(s.name)
	if err != nil {
		return err
	}
	text := string(content)
	if s.taken != nil {
		if err := s.taken(text); err != nil {
			return err
		}
	}
	s.text.Store(&text)
	return nil
}

func (s *DataSource) check(size int64) error {
	if s.max > 0 && size > s.max {
		return fmt.Errorf("has %d bytes; the maximum is %d", size, s.max)
	}
	return nil
}
