package cli

import (
	"time"

	"github.com/nuncio-proxy/nuncio/internal/server"
)

// Groups of flags, in the order of the help text.
const (
	groupConfig     = "Configuration"
	groupNode       = "This node"
	groupRunning    = "Running"
	groupLog        = "Logs"
	groupHotRestart = "Hot restart (not implemented yet, and these flags are without effect unless they say otherwise)"
	groupOther      = "Other"
)

// table returns the flags of Envoy 1.40 and those of the sub-command; all write
// to p.command. The flags -- and --ignore_rest are read by words.
func (p *parser) table() []*flag {
	if p.subcommand == routesCheck {
		return append(p.routesFlags(), p.otherFlags()...)
	}
	return append(append(append(p.configFlags(), p.runningFlags()...), p.logFlags()...),
		append(p.hotRestartFlags(), p.otherFlags()...)...)
}

func (p *parser) configFlags() []*flag {
	o := &p.command.Options
	flags := []*flag{
		{long: "--config-path", short: "-c", value: "path", group: groupConfig, set: text(&o.ConfigPath),
			help: "Bootstrap configuration: a .yaml, .json, .pb or .pb_text file. It is opened and read once, so it may be a pipe."},
		{long: "--config-yaml", value: "yaml", group: groupConfig, set: text(&o.ConfigYAML),
			help: "Bootstrap configuration in the flag itself. With --config-path it is merged over the file."},
		{long: "--mode", value: "mode", group: groupConfig,
			set: oneOf(&o.Mode, "mode", map[string]server.Mode{
				"serve": server.ModeServe, "validate": server.ModeValidate, "init_only": server.ModeInitOnly}),
			help: "serve (the default) runs the proxy; validate checks the configuration and ends; init_only initializes everything and ends."},
		{long: "--allow-unknown-static-fields", group: groupConfig, set: on(&o.AllowUnknownStaticFields),
			help: "Warn of unknown fields in the bootstrap instead of refusing it."},
		{long: "--allow-unknown-fields", group: groupConfig, set: on(&o.AllowUnknownStaticFields),
			help: "Old name of --allow-unknown-static-fields."},
		{long: "--reject-unknown-dynamic-fields", group: groupConfig, set: on(&o.RejectUnknownDynamicFields),
			help: "Refuse configuration from a control plane that has unknown fields, instead of warning."},
		{long: "--ignore-unknown-dynamic-fields", group: groupConfig, set: on(&o.IgnoreUnknownDynamicFields),
			help: "Do not even warn of unknown fields in configuration from a control plane."},
		{long: "--skip-deprecated-logs", group: groupConfig, set: on(&o.SkipDeprecatedLogs),
			help: "Do not warn of deprecated fields."},
		{long: "--disable-extensions", value: "list", group: groupConfig, set: p.disabledExtensions(&o.DisabledExtensions),
			help: "Extensions to leave out, as category/name, separated by commas."},

		{long: "--service-cluster", value: "name", group: groupNode, set: text(&o.ServiceCluster),
			help: "Cluster this node belongs to; replaces node.cluster of the bootstrap."},
		{long: "--service-node", value: "name", group: groupNode, set: text(&o.ServiceNode),
			help: "Identity of this node; replaces node.id."},
		{long: "--service-zone", value: "name", group: groupNode, set: text(&o.ServiceZone),
			help: "Zone of this node; replaces node.locality.zone."},
		{long: "--local-address-ip-version", value: "version", group: groupNode,
			set: oneOf(&o.LocalAddressIPVersion, "IP address version", map[string]server.IPVersion{
				"v4": server.IPv4, "v6": server.IPv6}),
			help: "Family of the address taken for this host: v4 (the default) or v6."},
		{long: "--stats-tag", value: "name:value", repeatable: true, group: groupNode, set: statsTag(&o.StatsTags),
			help: "Tag of all statistics. The name is letters and digits, the value has no dot. May be repeated."},
	}
	switch p.subcommand {
	case "validate":
		flags = append(flags, &flag{long: "--json", group: groupConfig, set: on(&p.command.JSON),
			help: "Report as JSON."})
	case "demo":
		flags = append(flags, &flag{long: "--print-config", group: groupConfig, set: on(&p.command.PrintConfig),
			help: "Print the configuration of the demonstration instead of running it."})
	}
	return flags
}

func (p *parser) runningFlags() []*flag {
	o := &p.command.Options
	return []*flag{
		{long: "--concurrency", value: "number", group: groupRunning, set: p.concurrency("--concurrency"),
			help: "Worker threads. The default is the CPUs this process may run on, or fewer if its cgroup has a CPU limit (unless ENVOY_CGROUP_CPU_DETECTION=false); 0 means 1."},
		{long: "--cpuset-threads", group: groupRunning, set: on(&o.CPUSetThreads),
			help: "Without effect, as in Envoy since it became the default."},
		{long: "--admin-address-path", value: "path", group: groupRunning, set: text(&o.AdminAddressPath),
			help: "File to write the address of the admin interface to, once it listens."},
		{long: "--drain-time-s", value: "seconds", group: groupRunning, set: p.duration("--drain-time-s", time.Second, &o.DrainTime),
			help: "Time that connections of a removed listener, or of a stopping server, have to end (600)."},
		{long: "--drain-strategy", value: "strategy", group: groupRunning,
			set: oneOf(&o.DrainStrategy, "drain-strategy", map[string]server.DrainStrategy{
				"gradual": server.DrainGradual, "immediate": server.DrainImmediate}),
			help: "gradual (the default) asks more and more connections to end over the drain time; immediate asks all of them at once."},
		{long: "--enable-core-dump", group: groupRunning, set: on(&o.EnableCoreDump),
			help: "Let the kernel write a core file if the process crashes (the limit of its size stays as it is)."},
		{long: "--enable-mutex-tracing", group: groupRunning, set: on(&o.EnableMutexTracing),
			help: "Count how often and how long locks were waited for; the admin interface shows it at /contention."},
	}
}

func (p *parser) logFlags() []*flag {
	o := &p.command.Options
	logFormat := func(v string) error {
		o.LogFormat, o.LogFormatSet = v, true
		return nil
	}
	return []*flag{
		{long: "--log-level", short: "-l", value: "level", group: groupLog, set: logLevel(&o.LogLevel),
			help: "trace, debug, info (the default), warning or warn, error, critical, off."},
		{long: "--component-log-level", value: "list", group: groupLog, set: componentLogLevel(&o.ComponentLogLevel),
			help: "Levels of single components, as upstream:debug,config:trace."},
		{long: "--log-format", value: "format", group: groupLog, set: logFormat,
			help: "Layout of a line in spdlog's notation; the default is \"" + o.LogFormat + "\". %j is the message escaped for JSON, %_ the message with newlines escaped."},
		{long: "--log-format-escaped", group: groupLog, set: on(&o.LogFormatEscaped),
			help: "Write control characters, quotes and bytes outside ASCII as C escapes, so that an event is one line."},
		{long: "--log-path", value: "path", group: groupLog, set: text(&o.LogPath),
			help: "File to log to instead of standard error. SIGUSR1 opens it anew."},
		{long: "--log-stacktrace-single-entry", group: groupLog, set: on(&o.LogStacktraceSingleEntry),
			help: "Log a stack as one event instead of one for each line."},
		{long: "--enable-fine-grain-logging", group: groupLog, set: on(&o.EnableFineGrainLogging),
			help: "Give levels to source files instead of components; the admin interface changes them at /logging. Not together with --component-log-level."},
		{long: "--file-flush-interval-msec", value: "ms", group: groupLog, set: p.duration("--file-flush-interval-msec", time.Millisecond, &o.FileFlushInterval),
			help: "Longest time that lines of an access log wait to be written (10000)."},
		{long: "--file-flush-min-size-kb", value: "KiB", group: groupLog, set: p.number("--file-flush-min-size-kb", func(n uint32) { o.FileFlushMinSize = n }),
			help: "Size from which waiting lines of an access log are written at once (64)."},
	}
}

func (p *parser) hotRestartFlags() []*flag {
	o := &p.command.Options
	flags := []*flag{
		{long: "--disable-hot-restart", set: on(&o.DisableHotRestart),
			help: "Do not take part in hot restarts. The flags of this group are then accepted, as by Envoy."},
		{long: "--restart-epoch", value: "number", set: p.number("--restart-epoch", func(n uint32) { o.RestartEpoch = n }),
			help: "Number of the restart. Other than 0 it is refused without --disable-hot-restart."},
		{long: "--base-id", value: "number", set: p.number("--base-id", func(n uint32) { o.BaseID = n }),
			help: "Tells the processes of one host apart."},
		{long: "--use-dynamic-base-id", set: on(&o.UseDynamicBaseID),
			help: "Choose the base id. Not together with a restart epoch."},
		{long: "--base-id-path", value: "path", set: text(&o.BaseIDPath),
			help: "File for the base id. Refused without --disable-hot-restart."},
		{long: "--parent-shutdown-time-s", value: "seconds", set: p.duration("--parent-shutdown-time-s", time.Second, &o.ParentShutdownTime),
			help: "Time until the process before this one is ended (900)."},
		{long: "--skip-hot-restart-on-no-parent", set: on(&o.SkipHotRestartOnNoParent),
			help: "Start without the process before if there is none."},
		{long: "--skip-hot-restart-parent-stats", set: on(&o.SkipHotRestartParentStats),
			help: "Do not take statistics over from the process before."},
		{long: "--socket-path", value: "path", set: text(&o.SocketPath),
			help: "Socket between the processes (" + o.SocketPath + ")."},
		{long: "--socket-mode", value: "octal", set: socketMode(&o.SocketMode),
			help: "Permissions of that socket (600)."},
		{long: "--hot-restart-version", set: on(&p.hotRestartVersion),
			help: "Print the version of the hot restart protocol, and end."},
	}
	for _, f := range flags {
		f.group = groupHotRestart
	}
	return flags
}

func (p *parser) otherFlags() []*flag {
	return []*flag{
		{long: "--ignore_rest", short: "--", group: groupOther, help: "Ignore everything that follows."},
		{long: "--version", group: groupOther, help: "Print the version, and end. The Envoy version in it is the one claimed to control planes; NUNCIO_ENVOY_VERSION changes it.",
			set: func(string) error { p.print(p.versionText()); return nil }},
		{long: "--help", short: "-h", group: groupOther, help: "Print this text, and end.",
			set: func(string) error { p.print(p.helpText()); return nil }},
	}
}
