package interop

import (
	"bytes"
	"encoding/xml"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// h2specCases is how many cases h2spec has with --strict.
const h2specCases = 146

// h2specExceptions are the cases that nuncio fails over plaintext or TLS, with the reason.
// A case that is here and passes fails the test, so that the list stays true.
var h2specExceptions = map[security]map[string]string{
	plaintext: {
		"http2/3.5: Sends invalid connection preface": "codec_type AUTO takes what is no preface for HTTP/1.1, and answers 400; h2spec wants GOAWAY or a bare close",
	},
}

// A suite is a testsuite of h2spec's report.
type suite struct {
	Package string `xml:"package,attr"`
	Cases   []struct {
		Name    string  `xml:"classname,attr"`
		Failure *string `xml:"failure"`
		Error   *string `xml:"error"`
		Skipped *string `xml:"skipped"`
	} `xml:"testcase"`
}

// TestH2spec lets h2spec judge the HTTP/2 that clients meet, against RFC 7540.
func TestH2spec(t *testing.T) {
	needTools(t)
	upstream := startUpstream(t, false)
	for name, listen := range map[string]security{"h2c": plaintext, "tls": withTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h2spec(t, serve(t, hop{listen: listen, upstream: upstream}), listen)
		})
	}
}

func h2spec(t *testing.T, address string, listen security) {
	_, port, _ := net.SplitHostPort(address)
	report := filepath.Join(t.TempDir(), "report.xml")
	args := []string{"--strict", "--timeout", "2", "--host", "127.0.0.1", "--port", port, "--path", "/hello", "--junit-report", report}
	if listen != plaintext {
		args = append(args, "--tls", "--insecure")
	}
	// It fails if a case does: the report tells which.
	out, _ := command(t, tool(t, "h2spec"), args...)
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var suites struct {
		Suites []suite `xml:"testsuite"`
	}
	// What servers say is in the report as it is, and XML knows no NUL.
	if err := xml.Unmarshal(bytes.ReplaceAll(text, []byte{0}, nil), &suites); err != nil {
		t.Fatal(err)
	}
	all, passed := 0, 0
	for _, s := range suites.Suites {
		for _, c := range s.Cases {
			all++
			name := s.Package + ": " + c.Name
			why, excepted := h2specExceptions[listen][name]
			ok := c.Failure == nil && c.Error == nil && c.Skipped == nil
			switch {
			case ok && excepted:
				t.Errorf("%s passes: it is no exception any more (%s)", name, why)
			case ok:
				passed++
			case !excepted:
				t.Errorf("%s fails: %v%v", name, told(c.Failure), told(c.Error))
			}
		}
	}
	t.Logf("h2spec: %d of %d pass", passed, all)
	if all != h2specCases {
		t.Errorf("h2spec ran %d cases, not %d", all, h2specCases)
	}
}

func told(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
