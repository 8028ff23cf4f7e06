package hcm

import (
	"crypto/x509"
	"encoding/json"
	"slices"
	"strings"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/httpmsg"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

const hcmMessage = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

// clientCertFields is what is implemented of what may be told of a client's certificate.
func clientCertFields() []conf.Fields {
	return []conf.Fields{
		{Message: hcmMessage + ".SetCurrentClientCertDetails", Names: []string{"subject", "cert", "chain", "dns", "uri", "issuer", "format"}},
		{Message: hcmMessage + ".ForwardClientCertConfig", Names: []string{"forward_client_cert_details", "set_current_client_cert_details"}},
	}
}

// A clientCertRule says what becomes of x-forwarded-client-cert. It is immutable.
type clientCertRule struct {
	mode                                   hcmv3.HttpConnectionManager_ForwardClientCertDetails
	subject, cert, chain, dns, uri, issuer bool
	json                                   bool
}

// clientCertRules are the rule of a connection manager, and a tree that may find another
// one for a request.
type clientCertRules struct {
	rule clientCertRule
	tree matcher.Tree // nil without one
}

// readClientCert takes what becomes of x-forwarded-client-cert.
func (c *config) readClientCert(m *hcmv3.HttpConnectionManager, ctx extension.HTTPContext, path conf.Path, errs *conf.Errors) {
	c.clientCert.rule = newClientCertRule(m.GetForwardClientCertDetails(), m.GetSetCurrentClientCertDetails(),
		path.Field("set_current_client_cert_details"), errs)
	if tree := m.GetForwardClientCertMatcher(); tree != nil {
		c.clientCert.tree = matcher.Build(tree, matcher.Config{Factories: ctx.Matching(ctx.Root), Action: clientCertAction},
			path.Field("forward_client_cert_matcher"), errs)
	}
}

func newClientCertRule(mode hcmv3.HttpConnectionManager_ForwardClientCertDetails, set *hcmv3.HttpConnectionManager_SetCurrentClientCertDetails,
	path conf.Path, errs *conf.Errors) clientCertRule {
	conf.Check(set, clientCertFields()[0], path, errs)
	return clientCertRule{
		mode: mode, subject: set.GetSubject().GetValue(), cert: set.GetCert(), chain: set.GetChain(), dns: set.GetDns(), uri: set.GetUri(),
		issuer: set.GetIssuer(), json: set.GetFormat() == hcmv3.HttpConnectionManager_JSON,
	}
}

func clientCertAction(msg proto.Message, path conf.Path, errs *conf.Errors) any {
	action, ok := msg.(*hcmv3.HttpConnectionManager_ForwardClientCertConfig)
	if !ok {
		errs.Add(path, "the action must be of type %s.ForwardClientCertConfig, not %s", hcmMessage, msg.ProtoReflect().Descriptor().FullName())
		return nil
	}
	rule := newClientCertRule(action.GetForwardClientCertDetails(), action.GetSetCurrentClientCertDetails(),
		path.Field("set_current_client_cert_details"), errs)
	return &rule
}

// forwardClientCert makes x-forwarded-client-cert say what it is to say to the upstream.
func (s *stream) forwardClientCert(h *httpmsg.Headers) {
	rule := &s.cfg.clientCert.rule
	if tree := s.cfg.clientCert.tree; tree != nil {
		if found, ok := tree.Match(matcher.Data{Request: h, Stream: &s.info}).Action.(*clientCertRule); ok {
			rule = found
		}
	}
	session := s.info.Downstream.TLS
	switch {
	case rule.mode == hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY:
		return
	case rule.mode == hcmv3.HttpConnectionManager_SANITIZE || session.PeerCertificate() == nil:
		h.Remove(httpmsg.XForwardedClientCert)
		return
	case rule.mode == hcmv3.HttpConnectionManager_FORWARD_ONLY:
		return
	}
	before := ""
	if rule.mode == hcmv3.HttpConnectionManager_APPEND_FORWARD {
		before = strings.Trim(h.Get(httpmsg.XForwardedClientCert), " \t")
	}
	h.Set(httpmsg.XForwardedClientCert, s.m.clientCert.value(rule, session, before))
}

// A clientCertElement is what a connection's requests say of its client, kept because
// most of them say the same.
type clientCertElement struct {
	rule *clientCertRule
	json bool
	text string
}

// value returns the header: behind what it was, which decides on the form.
func (e *clientCertElement) value(rule *clientCertRule, session *streaminfo.TLS, before string) string {
	list := strings.HasPrefix(before, "[") && strings.HasSuffix(before, "]") && len(before) > 1
	asJSON := list || before == "" && rule.json
	if e.rule != rule || e.json != asJSON {
		*e = clientCertElement{rule, asJSON, rule.text(session)}
		if asJSON {
			e.text = rule.object(session)
		}
	}
	switch {
	case list && strings.Trim(before[1:len(before)-1], " ") == "": // Envoy writes [,{...}]
		return "[" + e.text + "]"
	case list:
		return before[:len(before)-1] + "," + e.text + "]"
	case asJSON:
		return "[" + e.text + "]"
	case before != "":
		return before + "," + e.text
	default:
		return e.text
	}
}

// text returns an element as key=value pairs.
func (r *clientCertRule) text(session *streaminfo.TLS) string {
	c := session.PeerCertificate()
	var parts []string
	for _, name := range printable(session.Local(), streaminfo.URIName) {
		parts = append(parts, "By="+name)
	}
	parts = append(parts, "Hash="+streaminfo.Fingerprint256(c))
	if r.cert {
		parts = append(parts, `Cert="`+streaminfo.URLEncodedPEM(c)+`"`)
	}
	if r.chain {
		var chain strings.Builder
		for _, c := range session.PeerCertificates {
			chain.WriteString(streaminfo.URLEncodedPEM(c))
		}
		parts = append(parts, `Chain="`+chain.String()+`"`)
	}
	if r.subject {
		parts = append(parts, `Subject="`+streaminfo.Subject(c)+`"`)
	}
	if r.uri {
		names := printable(c, streaminfo.URIName)
		if names == nil {
			names = []string{""}
		}
		for _, name := range names {
			parts = append(parts, "URI="+name)
		}
	}
	if r.dns {
		for _, name := range printable(c, streaminfo.DNSName) {
			parts = append(parts, "DNS="+name)
		}
	}
	if r.issuer {
		parts = append(parts, `Issuer="`+streaminfo.Issuer(c)+`"`)
	}
	return strings.Join(parts, ";")
}

// printable returns the alternative names of a kind that a header can hold: a name may
// have any bytes.
func printable(c *x509.Certificate, kind streaminfo.AltNameKind) []string {
	return slices.DeleteFunc(streaminfo.AltNamesOf(c, kind), func(name string) bool {
		return strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' })
	})
}

// object returns an element as an object in JSON.
func (r *clientCertRule) object(session *streaminfo.TLS) string {
	c := session.PeerCertificate()
	var o struct {
		By      []string `json:"by,omitempty"`
		Hash    string   `json:"hash"`
		Cert    string   `json:"cert,omitempty"`
		Chain   []string `json:"chain,omitempty"`
		Subject string   `json:"subject,omitempty"`
		URI     []string `json:"uri,omitempty"`
		DNS     []string `json:"dns,omitempty"`
		Issuer  string   `json:"issuer,omitempty"`
	}
	o.By, o.Hash = streaminfo.AltNamesOf(session.Local(), streaminfo.URIName), streaminfo.Fingerprint256(c)
	if r.cert {
		o.Cert = streaminfo.PEM(c)
	}
	if r.chain {
		for _, c := range session.PeerCertificates {
			o.Chain = append(o.Chain, streaminfo.PEM(c))
		}
	}
	if r.subject {
		o.Subject = streaminfo.Subject(c)
	}
	if r.uri {
		o.URI = streaminfo.AltNamesOf(c, streaminfo.URIName)
	}
	if r.dns {
		o.DNS = streaminfo.AltNamesOf(c, streaminfo.DNSName)
	}
	if r.issuer {
		o.Issuer = streaminfo.Issuer(c)
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(&o); err != nil {
		return "{}" // cannot be: strings only
	}
	return strings.TrimSuffix(b.String(), "\n")
}
