package stream

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

type server struct{ extension.Server }

func (server) Shards() int { return 1 }

type files map[string]string

func (f files) Open(name string) (accesslog.File, error) { return opened{f, name}, nil }

type opened struct {
	files
	name string
}

func (o opened) Write(_ int, p []byte) { o.files[o.name] += string(p) }

// formats compiles a text to itself.
type formats struct{ format.Compiler }

// With returns f: it knows no formatters.
func (f formats) With([]*corev3.TypedExtensionConfig, conf.Path, *conf.Errors) format.Compiler {
	return f
}

func (formats) FromProto(msg *corev3.SubstitutionFormatString, path conf.Path, errs *conf.Errors) format.Format {
	switch {
	case msg == nil:
		return literal("default")
	case msg.GetTextFormat() == "bad":
		errs.Add(path.Field("text_format"), "bad format")
		return nil
	}
	return literal(msg.GetTextFormat())
}

type literal string

func (l literal) Append(dst []byte, _ *format.Entry) []byte { return append(dst, l...) }
func (l literal) Literal() (string, bool)                   { return string(l), true }

func TestConfig(t *testing.T) {
	for name, factory := range map[string]extension.AccessLoggerFactory{"/dev/stdout": Stdout{}, "/dev/stderr": Stderr{}} {
		for config, want := range map[string]string{
			`{}`:                                   "default",
			`{"log_format":{"text_format":"x"}}`:   "x",
			`{"log_format":{"text_format":"bad"}}`: "c.log_format.text_format: bad format",
		} {
			msg := factory.Config()
			if err := protojson.Unmarshal([]byte(config), msg); err != nil {
				t.Fatal(err)
			}
			written := files{}
			var errs conf.Errors
			ctx := extension.Context{Formats: formats{}, Files: written, Server: server{}}
			l := factory.BuildAccessLogger(msg, ctx, conf.Path{}.Field("c"), &errs)
			got := errs.Error()
			if got == "" {
				l.Log(&format.Entry{})
				got = written[name]
			} else if l != nil {
				t.Errorf("%s, %s: a logger in spite of errors", name, config)
			}
			if got != want {
				t.Errorf("%s, %s: got %s, want %s", name, config, got, want)
			}
		}
		_, missing, err := factory.Fields()[0].Split(factory.Config().ProtoReflect().Descriptor())
		if err != nil || len(missing) > 0 {
			t.Errorf("%s: missing %v, %v", name, missing, err)
		}
	}
}
