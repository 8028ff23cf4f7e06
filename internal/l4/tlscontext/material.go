package tlscontext

import (
	"crypto/x509"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// material are the certificates of a context.
type material struct {
	certificates []*certificate
	validator    *validator // nil without a validation context
}

// bind gives the validator its clock.
func (m *material) bind(now func() time.Time) {
	if m.validator != nil {
		m.validator.now = now
	}
}

// expirations sets the gauges that tell when certificates expire.
func (m *material) expirations(stats *sslStats) {
	set := func(name string, c *x509.Certificate) {
		stats.scope.Gauge("certificate." + name + ".expiration_unix_time_seconds").Set(uint64(max(c.NotAfter.Unix(), 0)))
	}
	if trusted := m.validator.trusted(); len(trusted) > 0 {
		set(m.validator.name, trusted[0])
	}
	for _, c := range m.certificates {
		set(c.name, c.leaf)
	}
}

func daysUntil(c *x509.Certificate, now time.Time) uint64 {
	return uint64(max(c.NotAfter.Sub(now)/(24*time.Hour), 0))
}

// details describes a certificate for admin.
func details(c *x509.Certificate, path string, now time.Time) *adminv3.CertificateDetails {
	d := &adminv3.CertificateDetails{
		Path: path, SerialNumber: streaminfo.Serial(c), DaysUntilExpiration: daysUntil(c, now),
		ValidFrom: timestamppb.New(c.NotBefore), ExpirationTime: timestamppb.New(c.NotAfter),
	}
	for _, name := range streaminfo.AltNamesOf(c, streaminfo.DNSName) {
		d.SubjectAltNames = append(d.SubjectAltNames, &adminv3.SubjectAlternateName{Name: &adminv3.SubjectAlternateName_Dns{Dns: name}})
	}
	for _, name := range streaminfo.AltNamesOf(c, streaminfo.URIName) {
		d.SubjectAltNames = append(d.SubjectAltNames, &adminv3.SubjectAlternateName{Name: &adminv3.SubjectAlternateName_Uri{Uri: name}})
	}
	for _, name := range streaminfo.AltNamesOf(c, streaminfo.IPName) {
		d.SubjectAltNames = append(d.SubjectAltNames, &adminv3.SubjectAlternateName{Name: &adminv3.SubjectAlternateName_IpAddress{IpAddress: name}})
	}
	return d
}
