package stats

import (
	"cmp"
	"slices"
	"strings"
	"unique"
)

// tagged is how a metric is known to Prometheus. Its strings are shared by the
// metrics that have the same: all metrics of a cluster have its labels, all clusters
// have the same family names.
type tagged struct {
	family unique.Handle[string] // the tag-extracted name, as in Envoy
	labels unique.Handle[string] // a="x",b="y", or ""
}

// tagged returns the tags of m, extracting them the first time.
func (s *Store) tagged(m *metric) *tagged {
	if t := m.tagged.Load(); t != nil {
		return t
	}
	family, tags := s.tags.Extract(m.name)
	var labels strings.Builder
	for i, tag := range tags {
		if i > 0 {
			labels.WriteByte(',')
		}
		labels.WriteString(prometheusName(tag.Name) + `="` + labelEscaper.Replace(tag.Value) + `"`)
	}
	t := &tagged{unique.Make(family), unique.Make(labels.String())}
	m.tagged.Store(t)
	return t
}

// labelEscaper escapes label values as the exposition format wants it.
var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// prometheusName replaces what may not stand in the name of a metric or label.
func prometheusName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
}

// families returns all metrics by kind, family and name.
func (s *Store) families() []*metric {
	inv := s.inventory()
	if inv.families != nil {
		return inv.families
	}
	sorted := &inventory{generation: inv.generation, metrics: inv.metrics, families: slices.Clone(inv.metrics)}
	slices.SortFunc(sorted.families, func(a, b *metric) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind),
			strings.Compare(s.tagged(a).family.Value(), s.tagged(b).family.Value()),
			strings.Compare(a.name, b.name))
	})
	s.keep(sorted)
	return sorted.families
}
