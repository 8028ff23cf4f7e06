package acme

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/nuncio-proxy/nuncio/api/acmev1"
	"github.com/nuncio-proxy/nuncio/api/conf"
)

func TestParse(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"none.pem": "no certificate", "bad.key": "se cret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const good = `"directory_url":"https://ca.test/dir","terms_of_service_agreed":true,"storage_path":"x"`
	const cert = `,"certificates":[{"secret_name":"a","domains":["a.test"]}]`
	for _, tc := range []struct {
		name, config string
		want         []string
	}{
		{"smallest", good + cert, nil},
		{"on demand only", good + `,"on_demand":{"secret_name":"a","allowed_domains":["*.a.test"]}`, nil},
		{"all", good + cert + `,"contact_email":"a@b.test","challenges":["HTTP_01","TLS_ALPN_01"],"renewal_ratio":0.5,"retry_base_interval":"1s","retry_max_interval":"2s"`, nil},
		{"nothing", "", []string{
			"p.directory_url: must be an https URL", "p.terms_of_service_agreed: must be true", "p.storage_path: must be set", "p.certificates: there is nothing to obtain"}},
		{"plaintext", strings.Replace(good, "https", "http", 1) + cert, []string{"p.directory_url: must be an https URL"}},
		{"contact", good + cert + `,"contact_email":"mailto:a@b.test"`, []string{"p.contact_email: must be"}},
		{"ratio", good + cert + `,"renewal_ratio":1`, []string{"p.renewal_ratio: must be greater than 0 and less than 1"}},
		{"ratio that is no number", good + cert + `,"renewal_ratio":"NaN"`, []string{"p.renewal_ratio: must be greater"}},
		{"intervals", good + cert + `,"retry_base_interval":"0s","retry_max_interval":"-1s"`,
			[]string{"p.retry_base_interval: must be greater than 0", "p.retry_max_interval: must be greater than 0", "p.retry_max_interval: must not be less"}},
		{"challenge", good + cert + `,"challenges":["CHALLENGE_UNSPECIFIED",7]`, []string{"p.challenges[0]: must be TLS_ALPN_01 or HTTP_01", "p.challenges[1]: must be"}},
		{"files", good + cert + `,"trusted_ca_file":"` + dir + `/nowhere","external_account":{"key_id":"k","hmac_key_file":"` + dir + `/bad.key"}`,
			[]string{"p.trusted_ca_file: open ", "p.external_account.hmac_key_file: the key must be in base64url"}},
		{"no certificate in a file", good + cert + `,"trusted_ca_file":"` + dir + `/none.pem","external_account":{}`,
			[]string{"p.trusted_ca_file: there is no certificate in", "p.external_account.key_id: must be set", "p.external_account.hmac_key_file: open"}},
		{"certificates", good + `,"certificates":[{},{"secret_name":"a","domains":["*.a.test","a","A.test","a.test","a..b","10.0.0.1"],"key_type":9},{"secret_name":"a","domains":["x.test"]}]`,
			[]string{"p.certificates[0].secret_name: must be set", "p.certificates[0].domains: must name", "p.certificates[1].key_type: there is no key type 9",
				"p.certificates[1].domains[0]: *.a.test: a wildcard", `p.certificates[1].domains[1]: "a" is no domain name`, "p.certificates[1].domains[3]: a.test is there twice",
				`p.certificates[1].domains[4]: "a..b"`, `p.certificates[1].domains[5]: "10.0.0.1"`, "p.certificates[2].secret_name: there are two secrets named a"}},
		{"on demand", good + `,"on_demand":{"max_certificates":0,"max_orders_per_hour":0,"max_waiting_handshakes":0,"timeout":"0s","key_type":4}`,
			[]string{"p.on_demand.secret_name: must be set", "p.on_demand.key_type: there", "p.on_demand.max_certificates: must be greater", "p.on_demand.max_orders_per_hour: must be",
				"p.on_demand.max_waiting_handshakes: must be", "p.on_demand.timeout: must be", "p.on_demand.allowed_domains: must name at least one domain"}},
		{"open to anybody", good + `,"on_demand":{"secret_name":"a","allowed_domains":["*","*.","*a.test",".a.test","*.*.a.test","*.test"]}`,
			[]string{"p.on_demand.allowed_domains[0]:", "[1]:", "[2]:", "[3]:", "[4]:", "[5]:"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			msg := new(acmev1.Acme)
			if err := protojson.Unmarshal([]byte("{"+tc.config+"}"), msg); err != nil {
				t.Fatal(err)
			}
			var errs conf.Errors
			Parse(msg, conf.Path{}.Field("p"), &errs)
			if len(errs) != len(tc.want) {
				t.Fatalf("got %v", errs)
			}
			for i, want := range tc.want {
				if got := errs[i].Error(); !strings.Contains(got, want) {
					t.Errorf("got %s\nwant %s", got, want)
				}
			}
			if strings.Contains(errs.Error(), "se cret") {
				t.Error("a secret is in an error")
			}
		})
	}
}

// Whatever a name or token is, as long as it is valid it names a file of its directory.
func FuzzFileNames(f *testing.F) {
	for _, s := range []string{"a.test", "..", "a/../b.c", "A.b", "x_-1.y", "a\x00.b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if (validName(s) || validToken(s)) && (filepath.Base(s) != s || s == "." || s == ".." || strings.ContainsAny(s, "/\\\x00")) {
			t.Errorf("%q is valid", s)
		}
	})
}

// FuzzBundle reads what may be in a file of the storage.
func FuzzBundle(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := parseBundle(text, subject{domains: []string{"a.test"}})
		if (b == nil) != (err != nil) {
			t.Errorf("got %v, %v", b, err)
		}
		_, _ = parseKey(text)
	})
}
