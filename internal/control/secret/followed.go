package secret

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/secret"
	"github.com/nuncio-proxy/nuncio/api/stats"
	"github.com/nuncio-proxy/nuncio/internal/protoconv"
)

// maxFile bounds every file that is read for a secret.
const maxFile = 16 << 20

// followed is a secret in a resource file. It, and the files that it names, are read
// when somebody begins to watch it, and again when they are replaced.
type followed struct {
	// Set when it is made, read-only after.
	provider  *Provider
	config    *tlsv3.SdsSecretConfig
	name      string
	path      string
	directory string        // to watch as well, "" for none
	interval  time.Duration // of reading it again whether it changed or not, 0 for never
	scope     stats.Scope
	stats     followedStats

	current atomic.Pointer[version]

	// Main goroutine.
	watchers  watchers
	text      []byte        // of the resource file
	resource  *tlsv3.Secret // in it, with the names of files
	info      string        // its version
	stopFile  func()
	stopNamed func()
}

type followedStats struct {
	attempt, success, failure, rejected, rotationFailed *stats.Counter
	version, updateTime                                 *stats.Gauge
	versionText                                         *stats.TextReadout
	duration                                            stats.Histogram
}

func (f *followed) openStats(root stats.Scope) {
	s := root.Scope("sds." + f.name + ".")
	s.Counter("init_fetch_timeout")
	f.scope = s
	f.stats = followedStats{
		attempt: s.Counter("update_attempt"), success: s.Counter("update_success"), failure: s.Counter("update_failure"),
		rejected: s.Counter("update_rejected"), rotationFailed: s.Counter("key_rotation_failed"),
		version: s.Gauge("version"), updateTime: s.Gauge("update_time"), versionText: s.TextReadout("version_text"),
		duration: s.Histogram("update_duration", stats.Milliseconds),
	}
}

// Name implements secret.Source.
func (f *followed) Name() string { return f.name }

// Current implements secret.Source.
func (f *followed) Current() *tlsv3.Secret { return f.current.Load().get() }

// Watch implements secret.Source. The first to watch has the file read.
func (f *followed) Watch(w secret.Watcher) (stop func()) {
	first := len(f.watchers) == 0
	remove := f.watchers.add(w)
	if first {
		paths := []string{f.path}
		if f.directory != "" {
			paths = append(paths, f.directory)
		}
		f.stopFile = f.provider.files.follow(paths, f.interval, f.read)
		f.read()
	}
	return func() {
		remove()
		if len(f.watchers) > 0 || f.stopFile == nil {
			return
		}
		f.stopFile()
		f.stopFile = nil
		f.followNamed(nil)
		f.provider.drop(f)
	}
}

// read takes the resource file.
func (f *followed) read() {
	text, err := readFile(f.path)
	if err == nil && f.text != nil && bytes.Equal(text, f.text) {
		f.rotate() // looked at again because of poll_interval, or moved into place as it was
		return
	}
	f.stats.attempt.Inc(stats.Any)
	start := f.provider.options.Now()
	var resource *tlsv3.Secret
	var info string
	if err == nil {
		f.text = text
		resource, info, err = parse(f.path, text)
	}
	if err != nil {
		f.stats.failure.Inc(stats.Any)
		f.provider.options.Log.Warnf("Filesystem config update failure: in %s, %v", f.path, err)
		return
	}
	if err := f.take(resource, info); err != nil {
		f.stats.rejected.Inc(stats.Any)
		f.provider.options.Log.Warnf("Filesystem config update rejected: secret %s in %s: %v", f.name, f.path, err)
		return
	}
	now := f.provider.options.Now()
	f.stats.success.Inc(stats.Any)
	f.stats.version.Set(xxhash.Sum64String(info))
	f.stats.versionText.Set(info)
	f.stats.updateTime.Set(uint64(now.UnixMilli()))
	f.stats.duration.Record(stats.Any, uint64(now.Sub(start).Milliseconds()))
}

// parse returns the secret that is the only resource of a file, and its version.
func parse(path string, text []byte) (s *tlsv3.Secret, info string, err error) {
	var response discoveryv3.DiscoveryResponse
	if _, err := protoconv.Load(&response, protoconv.Options{Unknown: protoconv.WarnUnknown},
		protoconv.Source{Name: path, Kind: protoconv.KindOf(path, text), Data: text}); err != nil {
		return nil, "", fmt.Errorf("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if n := len(response.GetResources()); n != 1 {
		return nil, "", fmt.Errorf("Unexpected SDS secrets length: %d", n)
	}
	packed := response.GetResources()[0]
	var wrapped discoveryv3.Resource
	if packed.MessageIs(&wrapped) && packed.UnmarshalTo(&wrapped) == nil && wrapped.GetResource() != nil {
		packed = wrapped.GetResource()
	}
	s = new(tlsv3.Secret)
	if err := packed.UnmarshalTo(s); err != nil {
		return nil, "", fmt.Errorf("the resource is no secret: %w", err)
	}
	return s, response.GetVersionInfo(), nil
}

// take makes a resource current, if it can be read and nobody objects.
func (f *followed) take(resource *tlsv3.Secret, info string) error {
	if resource.GetName() != f.name {
		return fmt.Errorf("Unexpected SDS secret (expecting %s): %s", f.name, resource.GetName())
	}
	// From now on a replaced file is noticed, also one that is replaced while it is read.
	f.followNamed(resource)
	filled, err := fill(resource)
	if err == nil {
		err = f.watchers.check(filled)
	}
	if err != nil {
		f.followNamed(f.resource)
		return err
	}
	f.resource, f.info = resource, info
	f.publish(filled)
	return nil
}

// rotate takes the files that the resource names, after they were replaced.
func (f *followed) rotate() {
	if f.resource == nil {
		return
	}
	filled, err := fill(f.resource)
	if err == nil && proto.Equal(filled, f.Current()) {
		return
	}
	if err == nil {
		err = f.watchers.check(filled)
	}
	if err != nil {
		f.stats.rotationFailed.Inc(stats.Any)
		f.provider.options.Log.Warnf("Failed to reload certificates: secret %s: %v", f.name, err)
		return
	}
	f.publish(filled)
}

func (f *followed) publish(filled *tlsv3.Secret) {
	f.current.Store(&version{secret: filled, info: f.info, updated: f.provider.options.Now()})
	f.watchers.changed()
}

// followNamed follows the files that a resource names in place of those before; nil
// names none.
func (f *followed) followNamed(resource *tlsv3.Secret) {
	if f.stopNamed != nil {
		f.stopNamed()
		f.stopNamed = nil
	}
	if paths := named(resource); len(paths) > 0 {
		f.stopNamed = f.provider.files.follow(paths, 0, f.rotate)
	}
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return text, err
}
