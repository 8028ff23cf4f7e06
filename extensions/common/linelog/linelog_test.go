package linelog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/accesslog"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/format"
)

type server struct{ extension.Server }

func (server) Shards() int { return 2 }

// files keeps what is written, by shard.
type files map[int]string

func (f files) Open(name string) (accesslog.File, error) {
	if name == "bad" {
		return nil, errors.New("unable to open file 'bad'")
	}
	return f, nil
}

func (f files) Write(shard int, p []byte) { f[shard] += string(p) }

// shout prints the body of the local reply in capital letters.
type shout struct{}

func (shout) Append(dst []byte, e *format.Entry) []byte {
	return fmt.Appendf(dst, "%s\n", strings.ToUpper(e.LocalReplyBody))
}
func (shout) Literal() (string, bool) { return "", false }

func TestLog(t *testing.T) {
	written := files{}
	ctx := extension.Context{Files: written, Server: server{}}
	var errs conf.Errors
	l := New(shout{}, "name", ctx, conf.Path{}, &errs)
	for _, shard := range []int{0, 1, 0, -1} {
		l.Log(&format.Entry{Shard: shard, LocalReplyBody: fmt.Sprint("shard", shard)})
	}
	if got := fmt.Sprint(written); got != "map[-1:SHARD-1\n 0:SHARD0\nSHARD0\n 1:SHARD1\n]" || errs != nil {
		t.Errorf("%s, %v", got, errs)
	}
	l.Log(&format.Entry{LocalReplyBody: strings.Repeat("x", 2*maxKept)})
	if got := l.(*logger).lines[0].buf; got != nil {
		t.Errorf("a buffer of %d bytes is kept", cap(got))
	}
}

func TestOpenError(t *testing.T) {
	var errs conf.Errors
	l := New(shout{}, "bad", extension.Context{Files: files{}, Server: server{}}, conf.Path{}.Field("path"), &errs)
	if l != nil || errs.Error() != "path: unable to open file 'bad'" {
		t.Errorf("%v, %v", l, errs)
	}
}
