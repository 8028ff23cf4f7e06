package oplog

import (
	"fmt"
	"slices"
	"strings"
)

// A Level is the weight of an event, or the least weight a component logs.
type Level int32

// The levels, from the most to the least talkative. LevelOff is a threshold only.
const (
	LevelTrace Level = iota
	LevelDebug
	LevelInfo
	LevelWarning
	LevelError
	LevelCritical
	LevelOff
)

func levelNames() [7]string {
	return [...]string{"trace", "debug", "info", "warning", "error", "critical", "off"}
}

// String returns the level's name, as the log and the admin interface print it.
func (l Level) String() string {
	if l < LevelTrace || l > LevelOff {
		return fmt.Sprintf("level(%d)", int32(l))
	}
	return levelNames()[l]
}

// letter is the one-letter name of the level.
func (l Level) letter() byte { return "TDIWECO"[l] }

// ParseLevel parses a level of the command line, where warning may be written warn.
func ParseLevel(name string) (Level, error) {
	if name == "warn" {
		return LevelWarning, nil
	}
	if l, ok := levelNamed(name); ok {
		return l, nil
	}
	return 0, fmt.Errorf("invalid log level specified '%s'", name)
}

// levelNamed knows the full names only, as the admin interface does.
func levelNamed(name string) (Level, bool) {
	names := levelNames()
	i := slices.Index(names[:], name)
	return Level(i), i >= 0
}

// A ComponentLevel is the level of one component.
type ComponentLevel struct {
	Component string
	Level     Level
}

// ParseComponentLevels parses the value of --component-log-level, a list such as
// "upstream:debug,config:trace". Only names of Components are accepted.
func ParseComponentLevels(list string) ([]ComponentLevel, error) {
	if list == "" {
		return nil, nil
	}
	var levels []ComponentLevel
	for item := range strings.SplitSeq(list, ",") {
		name, level, ok := strings.Cut(item, ":")
		if !ok || strings.Contains(level, ":") {
			return nil, fmt.Errorf("component log level not correctly specified '%s'", item)
		}
		l, err := ParseLevel(level)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(Components(), name) {
			return nil, fmt.Errorf("invalid component specified '%s'", name)
		}
		levels = append(levels, ComponentLevel{name, l})
	}
	return levels, nil
}

// Components returns the names of Envoy's components in the order of its /logging.
// Components without code in this program are among them, for configurations name them.
func Components() []string {
	return []string{
		"a2a", "admin", "ai_protocol_manager", "alternate_protocols_cache", "aws", "assert", "backtrace",
		"basic_auth", "cache_filter", "client", "config", "connection", "conn_handler", "compression",
		"credential_injector", "decompression", "dns", "dubbo", "envoy_bug", "ext_authz", "ext_proc",
		"rocketmq", "file", "filter", "forward_proxy", "geolocation", "grpc", "happy_eyeballs", "hc",
		"health_checker", "http", "http2", "hystrix", "init", "io", "jwt", "json_rpc", "kafka",
		"key_value_store", "lua", "local_rate_limit", "main", "matcher", "mcp", "misc", "mongo",
		"multi_connection", "notification", "oauth2", "quic", "quic_stream", "pool", "rate_limit_quota",
		"rbac", "rds", "redis", "router", "runtime", "stats", "secret", "sse", "tap", "testing", "thrift",
		"tracing", "upstream", "udp", "wasm", "websocket", "golang", "stats_sinks", "dynamic_modules",
		"ip_tagging",
	}
}
