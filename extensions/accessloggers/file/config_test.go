package file

import (
	"errors"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

type server struct{ extension.Server }

func (server) Shards() int { return 1 }

type files map[string]string

func (f files) Open(name string) (accesslog.File, error) {
	if name == "/none/log" {
		return nil, errors.New("unable to open file '/none/log'")
	}
	return opened{f, name}, nil
}

type opened struct {
	files
	name string
}

func (o opened) Write(_ int, p []byte) { o.files[o.name] += string(p) }

// formats compiles to formats that tell what they were made of.
type formats struct{}

type literal string

func (l literal) Append(dst []byte, _ *format.Entry) []byte { return append(dst, l...) }
func (l literal) Literal() (string, bool)                   { return string(l), true }

func (formats) Compile(text string) (format.Format, error) {
	if text == "bad" {
		return nil, errors.New("bad format")
	}
	return literal("text " + text), nil
}

// With returns f: it knows no formatters.
func (f formats) With([]*corev3.TypedExtensionConfig, conf.Path, *conf.Errors) format.Compiler {
	return f
}

func (formats) FromProto(msg *corev3.SubstitutionFormatString, path conf.Path, errs *conf.Errors) format.Format {
	switch json := msg.GetJsonFormat(); {
	case msg == nil:
		return literal("default")
	case json.GetFields()["bad"] != nil:
		errs.Add(path.Field("json_format").Key("bad").Index(1), "bad value")
		return nil
	case json != nil:
		return literal("json " + json.Fields["k"].GetStringValue())
	case msg.GetTextFormat() == "bad":
		errs.Add(path.Field("text_format"), "bad format")
		return nil
	default:
		return literal("message " + msg.GetTextFormat())
	}
}

func TestConfig(t *testing.T) {
	for _, test := range []struct{ config, want string }{
		{`{"path":"/log"}`, "default"},
		{`{"path":"/log","format":""}`, "default"},
		{`{"path":"/log","format":"x"}`, "text x"},
		{`{"path":"/log","json_format":{"k":"v"}}`, "json v"},
		{`{"path":"/log","typed_json_format":{"k":"v"}}`, "json v"},
		{`{"path":"/log","log_format":{"text_format":"x"}}`, "message x"},
		{`{}`, "c.path: must not be empty"},
		{`{"path":"/none/log"}`, "c.path: unable to open file '/none/log'"},
		{`{"path":"/log","format":"bad"}`, "c.format: bad format"},
		{`{"path":"/log","json_format":{"bad":[]}}`, `c.json_format["bad"][1]: bad value`},
		{`{"path":"/log","typed_json_format":{"bad":[]}}`, `c.typed_json_format["bad"][1]: bad value`},
		{`{"path":"/log","log_format":{"text_format":"bad"}}`, "c.log_format.text_format: bad format"},
	} {
		msg := &filev3.FileAccessLog{}
		if err := protojson.Unmarshal([]byte(test.config), msg); err != nil {
			t.Fatal(err)
		}
		written := files{}
		var errs conf.Errors
		ctx := extension.Context{Formats: formats{}, Files: written, Server: server{}}
		l := Factory{}.BuildAccessLogger(msg, ctx, conf.Path{}.Field("c"), &errs)
		got := errs.Error()
		if got == "" {
			l.Log(&format.Entry{})
			got = written["/log"]
		} else if l != nil {
			t.Errorf("%s: a logger in spite of errors", test.config)
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.config, got, test.want)
		}
	}
}

func TestFields(t *testing.T) {
	_, missing, err := Factory{}.Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor())
	if err != nil || len(missing) > 0 {
		t.Errorf("missing %v, %v", missing, err)
	}
}
