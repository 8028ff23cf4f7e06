package extension

import (
	"os"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// ReadDataSource returns the bytes that a DataSource holds or names; none for nil.
// Errors go to errs. Main goroutine: it may read a file.
func ReadDataSource(src *corev3.DataSource, ctx Context, path conf.Path, errs *conf.Errors) string {
	if src.GetWatchedDirectory() != nil {
		errs.Add(path.Field("watched_directory"), "field watched_directory is not implemented")
	}
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
