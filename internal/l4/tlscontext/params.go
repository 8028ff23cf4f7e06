package tlscontext

import (
	"crypto/tls"
	"slices"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// params are versions, ciphers and groups. Those of a certificate leave zero what the
// context says.
type params struct {
	minVersion, maxVersion uint16
	ciphers                []choice // up to TLS 1.2, by preference
	groups                 []tls.CurveID
}

// A choice is one cipher, or some among which the client chooses.
type choice []uint16

// defaults are Envoy's; clients speak TLS 1.2 unless they are told to speak more.
func defaults(client bool) params {
	p := params{
		minVersion: tls.VersionTLS12, maxVersion: tls.VersionTLS13,
		ciphers: []choice{
			{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
			{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256},
			{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
			{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
		},
		groups: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
	}
	if client {
		p.maxVersion = tls.VersionTLS12
	}
	return p
}

// over returns p with what is not set taken from the context's.
func (p params) over(context params) params {
	if p.minVersion == 0 {
		p.minVersion = context.minVersion
	}
	if p.maxVersion == 0 {
		p.maxVersion = context.maxVersion
	}
	if p.ciphers == nil {
		p.ciphers = context.ciphers
	}
	if p.groups == nil {
		p.groups = context.groups
	}
	return p
}

// apply sets what crypto/tls takes of it.
func (p *params) apply(c *tls.Config) {
	c.MinVersion, c.MaxVersion = p.minVersion, p.maxVersion
	c.CurvePreferences = p.groups
	c.CipherSuites = slices.Concat(p.ciphers...)
}

// parseParams reads the message, which may be nil.
func parseParams(msg *tlsv3.TlsParameters, path conf.Path, errs *conf.Errors) params {
	conf.Check(msg, paramsFields, path, errs)
	p := params{
		minVersion: version(msg.GetTlsMinimumProtocolVersion()), maxVersion: version(msg.GetTlsMaximumProtocolVersion()),
		ciphers: parseCiphers(msg.GetCipherSuites(), path.Field("cipher_suites"), errs),
	}
	for i, name := range msg.GetEcdhCurves() {
		for name := range strings.SplitSeq(name, ":") {
			id, ok := groupIDs()[name]
			if !ok {
				errs.Add(path.Field("ecdh_curves").Index(i), "Failed to initialize ECDH curves %s", name)
			}
			p.groups = append(p.groups, id)
		}
	}
	return p
}

func version(v tlsv3.TlsParameters_TlsProtocol) uint16 {
	switch v {
	case tlsv3.TlsParameters_TLSv1_0:
		return tls.VersionTLS10
	case tlsv3.TlsParameters_TLSv1_1:
		return tls.VersionTLS11
	case tlsv3.TlsParameters_TLSv1_2:
		return tls.VersionTLS12
	case tlsv3.TlsParameters_TLSv1_3:
		return tls.VersionTLS13
	default:
		return 0
	}
}

// parseCiphers reads a list in BoringSSL's notation: names with colons between them, and
// [a|b] for ciphers of the same preference. Its operators and classes are not known.
func parseCiphers(list []string, path conf.Path, errs *conf.Errors) []choice {
	if len(list) == 0 {
		return nil
	}
	ids, names := cipherIDs(), strings.Join(list, ":")
	var choices []choice
	var unknown []string
	for item := range strings.SplitSeq(names, ":") {
		alternatives := []string{item}
		if inner, ok := strings.CutPrefix(item, "["); ok && strings.HasSuffix(inner, "]") {
			alternatives = strings.Split(strings.TrimSuffix(inner, "]"), "|")
		}
		var c choice
		for _, name := range alternatives {
			id, ok := ids[name]
			if !ok {
				unknown = append(unknown, name)
			}
			c = append(c, id)
		}
		choices = append(choices, c)
	}
	if unknown != nil {
		errs.Add(path, "Failed to initialize cipher suites %s. The following ciphers were rejected when tried individually: %s",
			names, strings.Join(unknown, ", "))
	}
	return choices
}

// choose returns the cipher that a server takes for a client of TLS 1.2 or older: the
// first of its own choices, in each what the client likes most; or what the client likes
// most of all. rsa says which of the signatures of ECDHE ciphers its certificate can
// make. 0 means that there is none.
func choose(choices []choice, offered []uint16, rsa, clientsOrder bool) uint16 {
	if clientsOrder {
		choices = []choice{slices.Concat(choices...)}
	}
	for _, c := range choices {
		for _, id := range offered {
			if slices.Contains(c, id) && signs(id, rsa) {
				return id
			}
		}
	}
	return 0
}

// signs reports whether a certificate with an RSA key, or one with another key, serves
// for the cipher.
func signs(id uint16, rsa bool) bool {
	return strings.Contains(tls.CipherSuiteName(id), "_ECDSA_") != rsa
}

// cipherNames are the ciphers of TLS 1.2 and older that crypto/tls has, under the names
// that BoringSSL has for them.
func cipherNames() map[uint16]string {
	return map[uint16]string{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       "ECDHE-ECDSA-AES128-GCM-SHA256",
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         "ECDHE-RSA-AES128-GCM-SHA256",
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       "ECDHE-ECDSA-AES256-GCM-SHA384",
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:         "ECDHE-RSA-AES256-GCM-SHA384",
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:   "ECDHE-RSA-CHACHA20-POLY1305",
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA:          "ECDHE-ECDSA-AES128-SHA",
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA:            "ECDHE-RSA-AES128-SHA",
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256:         "ECDHE-RSA-AES128-SHA256",
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA:          "ECDHE-ECDSA-AES256-SHA",
		tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA:            "ECDHE-RSA-AES256-SHA",
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256:               "AES128-GCM-SHA256",
		tls.TLS_RSA_WITH_AES_256_GCM_SHA384:               "AES256-GCM-SHA384",
		tls.TLS_RSA_WITH_AES_128_CBC_SHA:                  "AES128-SHA",
		tls.TLS_RSA_WITH_AES_256_CBC_SHA:                  "AES256-SHA",
		tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA:                 "DES-CBC3-SHA",
	}
}

// cipherIDs is the reverse of cipherNames, with the names of the standard too.
func cipherIDs() map[string]uint16 {
	ids := map[string]uint16{}
	for id, name := range cipherNames() {
		ids[name], ids[tls.CipherSuiteName(id)] = id, id
	}
	return ids
}

func groupIDs() map[string]tls.CurveID {
	return map[string]tls.CurveID{
		"X25519": tls.X25519, "P-256": tls.CurveP256, "P-384": tls.CurveP384, "P-521": tls.CurveP521,
		"X25519MLKEM768": tls.X25519MLKEM768,
		"x25519":         tls.X25519, "prime256v1": tls.CurveP256, "secp384r1": tls.CurveP384, "secp521r1": tls.CurveP521,
	}
}

// groupName returns a group as access logs show it.
func groupName(id tls.CurveID) string {
	switch id {
	case tls.CurveP256:
		return "P-256"
	case tls.CurveP384:
		return "P-384"
	case tls.CurveP521:
		return "P-521"
	case 0:
		return ""
	default:
		return id.String()
	}
}

// versionName returns a version as access logs show it.
func versionName(v uint16) string {
	switch v {
	case tls.VersionTLS10:
		return "TLSv1"
	case tls.VersionTLS11:
		return "TLSv1.1"
	case tls.VersionTLS12:
		return "TLSv1.2"
	default:
		return "TLSv1.3"
	}
}
