package server

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/internal/observe/oplog"
)

// TestCommandLineOptionsAsEnvoy compares with command_line_options of Envoy's /server_info.
func TestCommandLineOptionsAsEnvoy(t *testing.T) {
	defaults := DefaultOptions()
	defaults.Concurrency = 2
	given := defaults
	given.ConfigPath = "ok.yaml"
	given.AdminAddressPath = "adm"
	given.DisableHotRestart = true
	given.StatsTags = []StatsTag{{"a", "b"}, {"c", "d:e"}}
	given.BaseIDPath = "bid"
	given.UseDynamicBaseID = true
	given.FileFlushMinSize = 8
	given.SocketMode = 0o755
	given.SocketPath = "foo"
	given.ComponentLogLevel = "upstream:warn,config:debug"
	given.LogLevel = oplog.LevelWarning
	given.DisabledExtensions = []string{"bogus", "envoy.filters.http/envoy.filters.http.buffer"}
	given.SkipDeprecatedLogs = true
	given.LogStacktraceSingleEntry = true
	given.DrainStrategy = DrainImmediate
	other := defaults
	other.ConfigPath = "ok.yaml"
	other.AdminAddressPath = "adm"
	other.DisableHotRestart = true
	other.AllowUnknownStaticFields = true
	other.LocalAddressIPVersion = IPv6
	other.LogFormat, other.LogFormatSet = "", true
	other.ServiceCluster, other.ServiceNode = " x", " y z"
	other.BaseID = 7
	other.Concurrency = 3
	other.IgnoreUnknownDynamicFields = true
	for name, options := range map[string]Options{
		"given": given,
		"other": other,
	} {
		recorded, err := os.ReadFile("testdata/command_line_options_" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		want := new(adminv3.CommandLineOptions)
		if err := protojson.Unmarshal(recorded, want); err != nil {
			t.Fatal(err)
		}
		if got := options.CommandLineOptions(); !proto.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want)
		}
	}
}

func TestMutexTracing(t *testing.T) {
	o := Options{EnableMutexTracing: true, EnableFineGrainLogging: true}
	if c := o.CommandLineOptions(); !c.GetEnableMutexTracing() || !c.GetEnableFineGrainLogging() {
		t.Errorf("/server_info does not tell what is enabled: %v", c)
	}
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	before := mutexStats().GetNumContentions()
	for n := before; n == before; n = mutexStats().GetNumContentions() {
		contend()
	}
	if stats := mutexStats(); stats.GetLifetimeWaitCycles() == 0 {
		t.Errorf("contentions without a wait: %v", stats)
	}
}

// contend has goroutines fight for a lock; whether one of them waits is the scheduler's choice.
func contend() {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				mu.Lock()
				runtime.Gosched()
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestEnumsAreEnvoys(t *testing.T) {
	o := Options{Mode: ModeInitOnly, DrainTime: time.Second}
	if got := o.CommandLineOptions().GetMode(); got != adminv3.CommandLineOptions_InitOnly {
		t.Errorf("init_only is %v", got)
	}
	o.Mode = ModeValidate
	if got := o.CommandLineOptions().GetMode(); got != adminv3.CommandLineOptions_Validate {
		t.Errorf("validate is %v", got)
	}
}

func TestEnvoyVersion(t *testing.T) {
	const revision = "9e5580933739775e8bce696a57a2e1bc99368f23"
	zeros := strings.Repeat("0", 40)
	for _, c := range []struct {
		info *debug.BuildInfo
		want string
	}{
		{nil, zeros + "/1.40.0/Clean/RELEASE/BoringSSL"},
		{&debug.BuildInfo{}, zeros + "/1.40.0/Clean/RELEASE/BoringSSL"},
		{&debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: "false"}}},
			revision + "/1.40.0/Clean/RELEASE/BoringSSL"},
		{&debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: "true"}}},
			revision + "/1.40.0/Modified/RELEASE/BoringSSL"},
		{&debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "short"}}},
			zeros + "/1.40.0/Clean/RELEASE/BoringSSL"},
	} {
		if got := envoyVersion(c.info, ClaimedEnvoyVersion); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
