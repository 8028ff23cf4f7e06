package secret_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
	apisecret "github.com/nuncio-proxy/nuncio/api/secret"
	"github.com/nuncio-proxy/nuncio/internal/control/secret"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
	"github.com/nuncio-proxy/nuncio/testkit/metrics"
)

// A rig is a provider over a directory, with a clock of its own.
type rig struct {
	*testing.T
	dir      string
	loop     *loop.Fake
	metrics  *metrics.Scope
	provider *secret.Provider
	log      []string
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, dir: t.TempDir(), loop: loop.New(1), metrics: metrics.New(1)}
	r.provider = secret.New(secret.Options{Dispatcher: r.loop, Now: r.loop.Now, Stats: r.metrics, Log: r})
	r.provider.Start()
	return r
}

func (r *rig) Debugf(string, ...any)             {}
func (r *rig) Infof(string, ...any)              {}
func (r *rig) Errorf(format string, args ...any) { r.T.Errorf(format, args...) }
func (r *rig) Warnf(format string, args ...any) {
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

// write puts a file in place at once, as a move does.
func (r *rig) write(name, content string) string {
	r.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		r.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		r.Fatal(err)
	}
	return path
}

func (r *rig) find(name, path string) apisecret.Source {
	r.Helper()
	var errs conf.Errors
	s := r.provider.Find(&tlsv3.SdsSecretConfig{Name: name, SdsConfig: fileConfig(path)}, conf.Path{}.Field("s"), &errs)
	if errs.Err() != nil {
		r.Fatal(errs)
	}
	return s
}

func fileConfig(path string) *corev3.ConfigSource {
	return &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_PathConfigSource{PathConfigSource: &corev3.PathConfigSource{Path: path}}}
}

// moment lets the provider look twice: once to see a change, once to see it rest.
func (r *rig) moment() { r.loop.Advance(time.Second) }

func (r *rig) count(name string, want uint64) {
	r.Helper()
	if got := r.metrics.Counter("sds.a." + name).Value(); got != want {
		r.T.Errorf("%s is %d, not %d", name, got, want)
	}
}

// A user accepts what does not hold "bad", and remembers how often it was told.
type user struct{ told int }

func (u *user) Check(s *tlsv3.Secret) error {
	if strings.Contains(content(s), "bad") {
		return errors.New("it is bad")
	}
	return nil
}
func (u *user) Changed() { u.told++ }

func content(s *tlsv3.Secret) string {
	source := s.GetGenericSecret().GetSecret()
	return source.GetInlineString() + string(source.GetInlineBytes())
}

func resource(name, version, source string) string {
	return fmt.Sprintf(`version_info: %q
resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: %s
  generic_secret: {secret: {%s}}
`, version, name, source)
}

func TestFollowed(t *testing.T) {
	r := newRig(t)
	path := r.write("s.yaml", resource("a", "1", "inline_string: one"))
	s := r.find("a", path)
	if s.Current() != nil {
		t.Error("read before anybody wants it")
	}
	var u user
	stop := s.Watch(&u)
	if content(s.Current()) != "one" || u.told != 1 {
		t.Errorf("got %v, told %d times", s.Current(), u.told)
	}
	if again := r.find("a", path); again != s {
		t.Error("the same configuration has another source")
	}
	r.count("update_attempt", 1)
	r.count("update_success", 1)
	if v := r.metrics.TextReadout("sds.a.version_text").Value(); v != "1" {
		t.Errorf("version_text is %s", v)
	}

	steps := []struct {
		name, text, current, log string
		failure, rejected        uint64
	}{
		{"a new version", resource("a", "2", "inline_string: two"), "two", "", 0, 0},
		{"cut off", "version_info: '3'\nresources:\n- \"@type", "two", "Filesystem config update failure", 1, 0},
		{"of another name", resource("b", "3", "inline_string: three"), "two", "Unexpected SDS secret (expecting a): b", 1, 1},
		{"no secret", "resources: []", "two", "Unexpected SDS secrets length: 0", 2, 1},
		{"somebody objects", resource("a", "4", "inline_string: bad"), "two", "it is bad", 2, 2},
		{"names a file that is not there", resource("a", "4", "filename: /nowhere/x"), "two", "/nowhere/x", 2, 3},
		{"good again", resource("a", "5", "inline_string: five"), "five", "", 2, 3},
	}
	for _, tc := range steps {
		r.log = nil
		r.write("s.yaml", tc.text)
		r.moment()
		if got := content(s.Current()); got != tc.current {
			t.Errorf("%s: got %s", tc.name, got)
		}
		if got := strings.Join(r.log, "\n"); !strings.Contains(got, tc.log) || tc.log == "" && got != "" {
			t.Errorf("%s: logged %q", tc.name, got)
		}
		r.count("update_failure", tc.failure)
		r.count("update_rejected", tc.rejected)
	}
	if u.told != 3 {
		t.Errorf("told %d times", u.told)
	}
	stop()
	r.write("s.yaml", resource("a", "6", "inline_string: six"))
	r.moment()
	if u.told != 3 || content(s.Current()) != "five" {
		t.Error("followed though nobody watches")
	}
	if len(r.provider.Dump(func(string) bool { return true }).GetDynamicActiveSecrets()) != 0 {
		t.Error("shown though nobody watches")
	}
}

func TestNamedFilesRotate(t *testing.T) {
	r := newRig(t)
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(r.dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		r.write(version+"/key", version)
	}
	data := filepath.Join(r.dir, "..data")
	swap := func(to string) {
		if err := os.Symlink(to, data+"_tmp"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(data+"_tmp", data); err != nil {
			t.Fatal(err)
		}
	}
	swap("v1")
	s := r.find("a", r.write("s.yaml", resource("a", "1", "filename: "+filepath.Join(data, "key"))))
	var u user
	s.Watch(&u)
	if content(s.Current()) != "v1" {
		t.Fatalf("got %v", s.Current())
	}
	swap("v2")
	r.moment()
	if content(s.Current()) != "v2" || u.told != 2 {
		t.Errorf("after the link was swapped: %v, told %d times", s.Current(), u.told)
	}
	r.write("v2/key", "bad")
	r.moment()
	if content(s.Current()) != "v2" {
		t.Errorf("a bad key was taken: %v", s.Current())
	}
	r.count("key_rotation_failed", 1)
	if err := os.Remove(filepath.Join(r.dir, "v2/key")); err != nil {
		t.Fatal(err)
	}
	r.moment()
	if content(s.Current()) != "v2" {
		t.Errorf("a missing key was taken: %v", s.Current())
	}
	r.count("key_rotation_failed", 2)
	r.write("v2/key", "good")
	r.moment()
	if content(s.Current()) != "good" {
		t.Errorf("got %v", s.Current())
	}
	r.count("update_attempt", 1)
}

// A file that grows is taken when it rests.
func TestWrittenInPlace(t *testing.T) {
	r := newRig(t)
	key := r.write("key", "one")
	s := r.find("a", r.write("s.yaml", resource("a", "1", "filename: "+key)))
	s.Watch(new(user))
	for i, part := range []string{"t", "tw", "two"} {
		if err := os.WriteFile(key, []byte(part), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(key, time.Time{}, time.Unix(int64(1000+i), 0)); err != nil {
			t.Fatal(err)
		}
		r.loop.Advance(250 * time.Millisecond)
		if content(s.Current()) != "one" {
			t.Fatalf("taken while it is written: %v", s.Current())
		}
	}
	r.loop.Advance(250 * time.Millisecond)
	if content(s.Current()) != "two" {
		t.Errorf("got %v", s.Current())
	}
}

func TestPollInterval(t *testing.T) {
	r := newRig(t)
	path := r.write("s.yaml", resource("a", "1", "inline_string: one"))
	config := fileConfig(path)
	config.GetPathConfigSource().PollInterval = durationpb.New(100 * time.Millisecond)
	var errs conf.Errors
	s := r.provider.Find(&tlsv3.SdsSecretConfig{Name: "a", SdsConfig: config}, conf.Path{}, &errs)
	s.Watch(new(user))
	r.write("s.yaml", resource("a", "2", "inline_string: two"))
	r.moment()
	if content(s.Current()) != "two" {
		t.Errorf("got %v", s.Current())
	}
	r.count("update_attempt", 2)
	config.GetPathConfigSource().WatchedDirectory = &corev3.WatchedDirectory{Path: r.dir}
	r.provider.Find(&tlsv3.SdsSecretConfig{Name: "a", SdsConfig: config}, conf.Path{}, &errs)
	if len(errs) != 1 {
		t.Errorf("both poll_interval and watched_directory: %v", errs)
	}
}

func TestStaticAndPublished(t *testing.T) {
	r := newRig(t)
	var errs conf.Errors
	generic := func(text string) *tlsv3.Secret {
		return &tlsv3.Secret{Name: "a", Type: &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{
			Secret: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: text}}}}}
	}
	r.provider.AddStatic([]*tlsv3.Secret{generic("one"), generic("two")}, conf.Path{}.Field("secrets"), &errs)
	if errs.Error() != "secrets[1].name: there are two secrets named a" {
		t.Errorf("got %v", errs)
	}
	errs = nil
	if s := r.provider.Find(&tlsv3.SdsSecretConfig{Name: "b"}, conf.Path{}, &errs); s != nil || errs.Error() != "name: Unknown static secret: b" {
		t.Errorf("got %v, %v", s, errs)
	}
	r.provider.Declare("b")
	errs = nil
	if s := r.provider.Find(&tlsv3.SdsSecretConfig{Name: "b"}, conf.Path{}, &errs); s == nil || s.Current() != nil || errs != nil {
		t.Errorf("got %v, %v", s, errs)
	}
	s := r.provider.Find(&tlsv3.SdsSecretConfig{Name: "a"}, conf.Path{}, &errs)
	var u user
	stop := s.Watch(&u)
	if err := r.provider.Publish(generic("bad")); err == nil || content(s.Current()) != "one" {
		t.Errorf("got %v, %v", s.Current(), err)
	}
	if err := r.provider.Publish(generic("three")); err != nil || content(s.Current()) != "three" || u.told != 1 {
		t.Errorf("got %v, %v, told %d times", s.Current(), err, u.told)
	}
	stop()
	if err := r.provider.Publish(generic("bad")); err != nil || u.told != 1 {
		t.Errorf("got %v, told %d times", err, u.told)
	}
}

func TestRefused(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct {
		name   string
		config *corev3.ConfigSource
		want   string
	}{
		{"gRPC", &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{}}}, "field api_config_source is not implemented"},
		{"ADS", &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}, "field ads is not implemented"},
		{"no file", fileConfig("/nowhere/s.yaml"), "paths must refer to an existing path in the system: '/nowhere/s.yaml' does not exist"},
		{"nothing", &corev3.ConfigSource{}, "must name a file"},
	} {
		var errs conf.Errors
		s := r.provider.Find(&tlsv3.SdsSecretConfig{Name: "a", SdsConfig: tc.config}, conf.Path{}, &errs)
		if s != nil || !strings.Contains(errs.Error(), tc.want) {
			t.Errorf("%s: got %v, %v", tc.name, s, errs)
		}
	}
}

func TestFollow(t *testing.T) {
	r := newRig(t)
	path := r.write("f", "1")
	told := 0
	stop := r.provider.Follow([]string{path}, func() { told++ })
	r.moment()
	r.write("f", "22")
	r.moment()
	stop()
	r.write("f", "333")
	r.moment()
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	r.provider.Close()
	if n := r.loop.ArmedTimers(); n != 0 {
		t.Errorf("%d timers are left", n)
	}
}
