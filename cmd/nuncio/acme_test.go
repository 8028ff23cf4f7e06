package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/extensions/all"
	"github.com/nuncio-proxy/nuncio/proxymain"
)

// TestACMEMistakes makes mistakes in the configuration of docs/acme.md: each is told
// with its place.
func TestACMEMistakes(t *testing.T) {
	text, err := os.ReadFile("../../docs/acme.md")
	if err != nil {
		t.Fatal(err)
	}
	good := yamlBlock.FindStringSubmatch(string(text))[1]
	for _, tc := range []struct {
		name, old, new string
		want           string // a regular expression for an error
	}{
		{"none", "", "", ""},
		{"terms", "agreed: true", "agreed: false", `:7:5: bootstrap_extensions\[0\]\.typed_config\.terms_of_service_agreed: must be true`},
		{"unknown field", "contact_email", "contact_mail", `:6:5: bootstrap_extensions\[0\]\.typed_config\.contact_mail: `},
		{"another secret", "{name: site}", "{name: sight}", `tls_certificate_sds_secret_configs\[0\]\.name: Unknown static secret: sight`},
		{"a secret twice", "static_resources:\n", "static_resources:\n  secrets: [{name: site, generic_secret: {secret: {inline_string: x}}}]\n",
			`bootstrap_extensions\[0\]\.typed_config: there are two secrets named site`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := proxymain.Check(proxymain.Config{BootstrapYAML: strings.Replace(good, tc.old, tc.new, 1), Extensions: all.Factories()})
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !regexp.MustCompile(tc.want).MatchString(err.Error())):
				t.Errorf("got %v", err)
			}
		})
	}
}
