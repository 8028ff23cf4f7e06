package secret

import (
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Dump lists the secrets whose names match, as /config_dump shows them. What must stay
// secret is in it: printing it hides that. Any goroutine.
func (p *Provider) Dump(match func(name string) bool) *adminv3.SecretsConfigDump {
	p.mu.Lock()
	defer p.mu.Unlock()
	dump := new(adminv3.SecretsConfigDump)
	for _, s := range p.static {
		v := s.current.Load()
		if v == nil || !match(s.name) {
			continue
		}
		dump.StaticSecrets = append(dump.StaticSecrets, &adminv3.SecretsConfigDump_StaticSecret{Name: s.name, Secret: pack(v.secret)})
	}
	for _, f := range p.followed {
		if !match(f.name) {
			continue
		}
		d := &adminv3.SecretsConfigDump_DynamicSecret{Name: f.name, VersionInfo: "uninitialized"}
		v := f.current.Load()
		if v == nil {
			d.Secret = pack(&tlsv3.Secret{Name: f.name})
			dump.DynamicWarmingSecrets = append(dump.DynamicWarmingSecrets, d)
			continue
		}
		d.VersionInfo, d.LastUpdated, d.Secret = v.info, timestamppb.New(v.updated.Truncate(time.Millisecond)), pack(v.secret)
		dump.DynamicActiveSecrets = append(dump.DynamicActiveSecrets, d)
	}
	return dump
}

// pack packs a message that was read from a configuration: that cannot fail.
func pack(s *tlsv3.Secret) *anypb.Any {
	a, err := anypb.New(s)
	if err != nil {
		return nil
	}
	return a
}
