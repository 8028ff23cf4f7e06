package oplog

import (
	"net/http"
	"net/url"
	"strings"
)

// Logging carries out the admin endpoint /logging: it changes levels as the query asks and
// lists the active loggers. On an error nothing is changed, and the body says what was wrong.
func (l *Log) Logging(query url.Values) (status int, body string) {
	var b strings.Builder
	status = http.StatusOK
	if problem := l.changeLevels(query); problem != "" {
		status = http.StatusBadRequest
		b.WriteString("error: " + problem + "\n\n")
		writeUsage(&b)
	}
	b.WriteString("active loggers:\n")
	l.registry.RLock()
	defer l.registry.RUnlock()
	for _, g := range l.loggers {
		b.WriteString("  " + g.Name() + ": " + g.Level().String() + "\n")
	}
	b.WriteByte('\n')
	return status, b.String()
}

func writeUsage(b *strings.Builder) {
	b.WriteString("usage: /logging?<name>=<level> (change single level)\n" +
		"usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)\n" +
		"usage: /logging?level=<level> (change all levels)\n" +
		"usage: /logging?group=<group_name>:<level> (change group of loggers)\n" +
		"levels: ")
	for _, name := range levelNames() {
		b.WriteString(name + " ")
	}
	b.WriteByte('\n')
}

// changeLevels returns what is wrong with the query, or "".
func (l *Log) changeLevels(query url.Values) string {
	if len(query) > 1 {
		return "invalid number of parameters"
	}
	for key := range query {
		value := query.Get(key)
		switch {
		case value == "":
			return "" // a key without a value only lists
		case key == "group":
			return "group parameter requires fine-grain logging to be enabled"
		case key == "level":
			level, ok := levelNamed(value)
			if !ok {
				return "unknown logger level"
			}
			l.SetLevel(level)
			return ""
		case key == "paths":
			return l.changeComponents(strings.Split(value, ","))
		default:
			return l.changeComponents([]string{key + ":" + value})
		}
	}
	return ""
}

// changeComponents takes items of the form name:level, all or none of them.
func (l *Log) changeComponents(items []string) string {
	type change struct {
		logger *Logger
		level  Level
	}
	var changes []change
	for _, item := range items {
		if item == "" {
			continue
		}
		name, levelName, _ := strings.Cut(item, ":")
		if name == "" || levelName == "" {
			return "empty logger name or empty logger level"
		}
		level, ok := levelNamed(levelName)
		if !ok {
			return "unknown logger level"
		}
		logger := l.registered(name)
		if logger == nil {
			return "unknown logger name"
		}
		changes = append(changes, change{logger, level})
	}
	for _, c := range changes {
		c.logger.SetLevel(c.level)
	}
	return ""
}
