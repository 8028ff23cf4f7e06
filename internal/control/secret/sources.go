package secret

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
)

// sources returns the places of a secret that may name a file.
func sources(s *tlsv3.Secret) []*corev3.DataSource {
	switch t := s.GetType().(type) {
	case *tlsv3.Secret_TlsCertificate:
		c := t.TlsCertificate
		return []*corev3.DataSource{c.GetCertificateChain(), c.GetPrivateKey(), c.GetPkcs12(), c.GetPassword(), c.GetOcspStaple()}
	case *tlsv3.Secret_ValidationContext:
		return []*corev3.DataSource{t.ValidationContext.GetTrustedCa(), t.ValidationContext.GetCrl()}
	case *tlsv3.Secret_SessionTicketKeys:
		return t.SessionTicketKeys.GetKeys()
	case *tlsv3.Secret_GenericSecret:
		all := []*corev3.DataSource{t.GenericSecret.GetSecret()}
		for _, source := range t.GenericSecret.GetSecrets() {
			all = append(all, source)
		}
		return all
	}
	return nil
}

// named returns the files and directories whose change means a new version of a
// secret. s may be nil.
func named(s *tlsv3.Secret) []string {
	var paths []string
	add := func(path string) {
		if path != "" {
			paths = append(paths, path)
		}
	}
	for _, source := range sources(s) {
		add(source.GetFilename())
		add(source.GetWatchedDirectory().GetPath())
	}
	add(s.GetTlsCertificate().GetWatchedDirectory().GetPath())
	add(s.GetValidationContext().GetWatchedDirectory().GetPath())
	return paths
}

// fill returns a copy of the secret with the contents of files in place of their names.
func fill(s *tlsv3.Secret) (*tlsv3.Secret, error) {
	filled := proto.CloneOf(s)
	for _, source := range sources(filled) {
		if source.GetFilename() == "" {
			continue
		}
		content, err := readFile(source.GetFilename())
		if err != nil {
			return nil, err
		}
		source.Specifier = &corev3.DataSource_InlineBytes{InlineBytes: content}
		source.WatchedDirectory = nil
	}
	return filled, nil
}
