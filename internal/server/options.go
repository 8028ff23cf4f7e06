package server

import (
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nuncio-proxy/nuncio/internal/observe/oplog"
)

// ClaimedEnvoyVersion is the version of Envoy that this program stands in for.
const ClaimedEnvoyVersion = "1.40.0"

// A Mode says how far the server goes.
type Mode uint8

const (
	ModeServe    Mode = iota // load the configuration and serve
	ModeValidate             // load the configuration and stop
	ModeInitOnly             // initialize as for serving, then stop
)

// A DrainStrategy says how connections are told to leave while the server drains.
type DrainStrategy uint8

const (
	DrainGradual   DrainStrategy = iota // more and more of them over the drain time
	DrainImmediate                      // all of them from the start
)

// An IPVersion is the family of the address that stands for this host.
type IPVersion uint8

const (
	IPv4 IPVersion = iota
	IPv6
)

// A StatsTag is a tag of every statistic.
type StatsTag struct{ Name, Value string }

// Options is what is decided before the bootstrap is read: Envoy's command
// line, a field a flag. Start from DefaultOptions. The server reads it only.
type Options struct {
	// Configuration.

	ConfigPath                 string // bootstrap file, opened once: it may be a pipe
	ConfigYAML                 string // merged over ConfigPath
	Mode                       Mode
	AllowUnknownStaticFields   bool
	RejectUnknownDynamicFields bool
	IgnoreUnknownDynamicFields bool     // no warnings of them either
	SkipDeprecatedLogs         bool     // no warnings of deprecated fields
	DisabledExtensions         []string // category/name

	// The node: "" leaves what the bootstrap says.

	ServiceCluster        string
	ServiceNode           string
	ServiceZone           string
	LocalAddressIPVersion IPVersion
	StatsTags             []StatsTag

	// Running.

	Concurrency      uint32 // workers, at least 1
	CPUSetThreads    bool   // no effect, see the flag
	AdminAddressPath string // file that receives the admin address
	EnableCoreDump   bool
	DrainTime        time.Duration
	DrainStrategy    DrainStrategy

	// EnableMutexTracing shows the runtime's mutex profile at admin's /contention.
	// The profile belongs to the process: who runs the server turns it on.
	EnableMutexTracing bool

	// Logs.

	LogLevel                 oplog.Level
	ComponentLogLevel        string // as oplog.Config.ComponentLevels
	LogFormat                string // as oplog.CompilePattern
	LogFormatSet             bool   // then application_log_config may not have a format
	LogFormatEscaped         bool
	LogPath                  string // "" is standard error
	LogStacktraceSingleEntry bool
	EnableFineGrainLogging   bool          // as oplog.Config.FineGrain
	FileFlushInterval        time.Duration // of access logs
	FileFlushMinSize         uint32        // of access logs, in KiB

	// Hot restart: told by /server_info, otherwise without effect.

	DisableHotRestart         bool
	BaseID                    uint32
	UseDynamicBaseID          bool
	BaseIDPath                string
	RestartEpoch              uint32
	SkipHotRestartOnNoParent  bool
	SkipHotRestartParentStats bool
	ParentShutdownTime        time.Duration
	SocketPath                string
	SocketMode                uint32 // 0 means not given

	// EnvoyVersion is the version claimed by --version and /server_info, for
	// control planes that refuse the ones they do not know.
	EnvoyVersion string
}

// DefaultOptions returns Envoy's defaults, with a worker for each CPU this process may use.
func DefaultOptions() Options {
	return Options{
		Concurrency:        uint32(runtime.NumCPU()),
		DrainTime:          600 * time.Second,
		LogLevel:           oplog.LevelInfo,
		LogFormat:          oplog.DefaultFormat,
		FileFlushInterval:  10 * time.Second,
		FileFlushMinSize:   64,
		ParentShutdownTime: 900 * time.Second,
		SocketPath:         "@envoy_domain_socket",
		EnvoyVersion:       ClaimedEnvoyVersion,
	}
}

// Version returns the version in Envoy's five parts:
// revision/version/Clean or Modified/RELEASE/BoringSSL. Control planes parse it,
// so the version is the claimed one, and the last part is a name they know.
func (o *Options) Version() string {
	info, _ := debug.ReadBuildInfo()
	return envoyVersion(info, o.EnvoyVersion)
}

func envoyVersion(info *debug.BuildInfo, version string) string {
	revision, state := strings.Repeat("0", 40), "Clean"
	if info != nil {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) == 40:
				revision = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				state = "Modified"
			}
		}
	}
	return revision + "/" + version + "/" + state + "/RELEASE/BoringSSL"
}

// CommandLineOptions returns the options as /server_info prints them.
func (o *Options) CommandLineOptions() *adminv3.CommandLineOptions {
	var tags []string
	for _, t := range o.StatsTags {
		tags = append(tags, t.Name+":"+t.Value)
	}
	// FileFlushMinSize is left out, for Envoy prints 0 whatever it is set to.
	return &adminv3.CommandLineOptions{
		BaseId:                     uint64(o.BaseID),
		UseDynamicBaseId:           o.UseDynamicBaseID,
		SkipHotRestartOnNoParent:   o.SkipHotRestartOnNoParent,
		SkipHotRestartParentStats:  o.SkipHotRestartParentStats,
		BaseIdPath:                 o.BaseIDPath,
		Concurrency:                o.Concurrency,
		ConfigPath:                 o.ConfigPath,
		ConfigYaml:                 o.ConfigYAML,
		AllowUnknownStaticFields:   o.AllowUnknownStaticFields,
		RejectUnknownDynamicFields: o.RejectUnknownDynamicFields,
		IgnoreUnknownDynamicFields: o.IgnoreUnknownDynamicFields,
		SkipDeprecatedLogs:         o.SkipDeprecatedLogs,
		AdminAddressPath:           o.AdminAddressPath,
		LocalAddressIpVersion:      adminv3.CommandLineOptions_IpVersion(o.LocalAddressIPVersion),
		LogLevel:                   o.LogLevel.String(),
		ComponentLogLevel:          o.ComponentLogLevel,
		LogFormat:                  o.LogFormat,
		LogFormatEscaped:           o.LogFormatEscaped,
		LogPath:                    o.LogPath,
		ServiceCluster:             o.ServiceCluster,
		ServiceNode:                o.ServiceNode,
		ServiceZone:                o.ServiceZone,
		FileFlushInterval:          durationpb.New(o.FileFlushInterval),
		DrainTime:                  durationpb.New(o.DrainTime),
		DrainStrategy:              adminv3.CommandLineOptions_DrainStrategy(o.DrainStrategy),
		ParentShutdownTime:         durationpb.New(o.ParentShutdownTime),
		Mode:                       adminv3.CommandLineOptions_Mode(o.Mode),
		DisableHotRestart:          o.DisableHotRestart,
		RestartEpoch:               o.RestartEpoch,
		CpusetThreads:              o.CPUSetThreads,
		DisabledExtensions:         o.DisabledExtensions,
		EnableFineGrainLogging:     o.EnableFineGrainLogging,
		LogStacktraceSingleEntry:   o.LogStacktraceSingleEntry,
		SocketPath:                 o.SocketPath,
		SocketMode:                 o.SocketMode,
		EnableCoreDump:             o.EnableCoreDump,
		EnableMutexTracing:         o.EnableMutexTracing,
		StatsTag:                   tags,
	}
}
