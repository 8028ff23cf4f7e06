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
	if l.files != nil {
		l.files.list(&b)
	} else {
		l.list(&b)
	}
	b.WriteByte('\n')
	return status, b.String()
}

// list writes the components and their levels.
func (l *Log) list(b *strings.Builder) {
	l.registry.RLock()
	defer l.registry.RUnlock()
	for _, g := range l.loggers {
		b.WriteString("  " + g.Name() + ": " + g.Level().String() + "\n")
	}
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
			return l.changeGroup(value)
		case key == "level":
			level, ok := levelNamed(value)
			if !ok {
				return "unknown logger level"
			}
			l.SetLevel(level)
			return ""
		case key == "paths":
			return l.changeNamed(strings.Split(value, ","))
		default:
			return l.changeNamed([]string{key + ":" + value})
		}
	}
	return ""
}

// changeGroup takes one item component:level, for the files of that component.
func (l *Log) changeGroup(item string) string {
	if l.files == nil {
		return "group parameter requires fine-grain logging to be enabled"
	}
	component, level, problem := parseItem(item)
	switch {
	case problem == emptyItem:
		return emptyItem + " in group"
	case problem != "":
		return problem
	}
	l.files.change([]fileChange{{component: component, level: level}})
	return ""
}

// changeNamed takes items of the form name:level, all or none of them. A name is that
// of a component; in fine-grain logging it is a glob of files, which may have none yet.
func (l *Log) changeNamed(items []string) string {
	var components []*Logger
	var changes []fileChange
	for _, item := range items {
		if item == "" {
			continue
		}
		name, level, problem := parseItem(item)
		if problem != "" {
			return problem
		}
		changes = append(changes, fileChange{glob: name, level: level})
		if l.files != nil {
			continue
		}
		g := l.registered(name)
		if g == nil {
			return "unknown logger name"
		}
		components = append(components, g)
	}
	if l.files != nil {
		l.files.change(changes)
		return ""
	}
	for i, g := range components {
		g.SetLevel(changes[i].level)
	}
	return ""
}

const emptyItem = "empty logger name or empty logger level"

// parseItem parses name:level; problem is "" if it is one.
func parseItem(item string) (name string, level Level, problem string) {
	name, levelName, _ := strings.Cut(item, ":")
	if name == "" || levelName == "" {
		return "", 0, emptyItem
	}
	level, ok := levelNamed(levelName)
	if !ok {
		return "", 0, "unknown logger level"
	}
	return name, level, ""
}
