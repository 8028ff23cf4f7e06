// Package conformance compares nuncio with Envoy. Each case is data: a configuration,
// what a client sends and how an upstream behaves. What Envoy did is kept in
// recordings; nuncio has to do the same, byte for byte. README.md tells how to write a
// case and how to run them.
package conformance

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
)

var (
	envoyFlag  = flag.String("envoy", "", "program of a real Envoy: run it too, and check the recordings against it")
	nuncioFlag = flag.String("nuncio", "", "program to test instead of nuncio built from this checkout")
	updateFlag = flag.Bool("update", false, "write recordings of what -envoy does, and of what nuncio does where it differs on purpose")
	dirFlag    = flag.String("dir", ".", "directory of cases and recordings")
	caseFlag   = flag.String("case", "", "run only the cases whose topic/name matches this regular expression")
)

// nuncio is the path of the built program; TestMain sets it.
var nuncio string

// A tally counts the cases of all topics, for the line at the end.
type tally struct {
	sync.Mutex
	equal, differ, all int
}

var total tally

func TestMain(m *testing.M) {
	flag.Parse()
	// Topics wait more than they compute: run more of them than there are processors.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	status := buildAndRun(m)
	if total.all > 0 {
		fmt.Printf("equal %d of %d (%d differ on purpose)\n", total.equal, total.all, total.differ)
	}
	os.Exit(status)
}

func buildAndRun(m *testing.M) int {
	if nuncio = *nuncioFlag; nuncio != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "nuncio-conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	nuncio = filepath.Join(dir, "nuncio")
	args := append(append([]string{"build", "-buildvcs=false"}, buildFlags...), "-o", nuncio, "github.com/nuncio-proxy/nuncio/cmd/nuncio")
	build := exec.Command("go", args...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "go build:", err)
		return 1
	}
	return m.Run()
}

// TestConformance has a subtest a topic. Cases of a topic run at the same time, so they
// are no subtests of their own; -case chooses among them.
//
// Many cases are about time-outs of a tenth of a second, which a machine busy with all
// the others may miss. So what is not as it should be is run once more when the others
// are done, and this counts.
func TestConformance(t *testing.T) {
	only, err := regexp.Compile(*caseFlag)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(*dirFlag, "cases", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var mu sync.Mutex
	var again []*topic
	t.Run("together", func(t *testing.T) {
		for _, file := range files {
			topic, err := loadTopic(file)
			if err != nil {
				t.Fatal(err)
			}
			topic.choose(func(name string) bool { return only.MatchString(topic.name + "/" + name) })
			total.all += len(topic.Cases)
			if len(topic.Cases) == 0 {
				continue
			}
			t.Run(topic.name, func(t *testing.T) {
				t.Parallel()
				wrong := judge(t, topic)
				topic.choose(func(name string) bool { return wrong[name] != "" })
				if len(wrong) > 0 {
					mu.Lock()
					defer mu.Unlock()
					again = append(again, topic)
				}
			})
		}
	})
	for _, topic := range again {
		t.Run(topic.name, func(t *testing.T) {
			for name, why := range judge(t, topic) {
				t.Errorf("%s/%s: %s", topic.name, name, why)
			}
		})
	}
}

// judge runs the cases of a topic, compares, and returns what is wrong by the name of
// the case.
func judge(t *testing.T, topic *topic) map[string]string {
	recs, err := loadRecordings(topic.name)
	if err != nil {
		t.Fatal(err)
	}
	wrong := map[string]string{}
	if *envoyFlag != "" {
		runs := runTopic(t, *envoyFlag, topic, recs.envoy(*updateFlag))
		for _, c := range topic.Cases {
			r := runs[c.Name]
			switch d := diff(recs.get(c.Name).Envoy, r.got); {
			case r.failed != nil:
				wrong[c.Name] = "Envoy: " + r.failed.Error()
			case *updateFlag:
				recs.set(c.Name).Envoy = r.got
			case d != "":
				wrong[c.Name] = "the recording (-) is not what Envoy does (+); -update writes it anew\n" + d
			}
		}
	}
	runs := runTopic(t, nuncio, topic, recs.nuncio(*updateFlag))
	equal, differ := 0, 0
	for _, c := range topic.Cases {
		why, ok := verdict(c, recs, runs[c.Name])
		switch {
		case !ok:
			wrong[c.Name] += why
		case wrong[c.Name] != "":
		case c.Differs != "":
			differ++
		default:
			equal++
		}
	}
	total.Lock()
	total.equal, total.differ = total.equal+equal, total.differ+differ
	total.Unlock()
	if *updateFlag {
		if err := recs.save(topic); err != nil {
			t.Fatal(err)
		}
	}
	return wrong
}

// verdict tells whether nuncio did in a case what it should, or what is wrong.
func verdict(c *testCase, recs *recordings, r *run) (string, bool) {
	rec, got := recs.get(c.Name), r.got
	switch {
	case r.failed != nil:
		return r.failed.Error(), false
	case rec.Envoy == nil:
		return "has no recording: run with -envoy PATH -update", false
	}
	d := diff(rec.Envoy, got)
	switch {
	case c.Differs == "" && d != "":
		return "Envoy (-), nuncio (+)\n" + d, false
	case c.Differs == "":
		return "", true
	case d == "":
		return "nuncio does what Envoy does: drop \"differs\"", false
	case *updateFlag:
		recs.set(c.Name).Nuncio = rec.Envoy.change(got)
		return "", true
	}
	if d := diff(rec.nuncio(), got); d != "" {
		return "differs on purpose, but not like this: expected (-), nuncio (+)\n" + d, false
	}
	return "", true
}
