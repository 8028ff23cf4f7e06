package bootstrap

import (
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	internallistenerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/bootstrap/internal_listener/v3"

	"github.com/nuncio-proxy/nuncio/api/acmev1"
	"github.com/nuncio-proxy/nuncio/api/conf"
)

// defaultInternalBuffer is the buffer of a connection to an internal listener, in KiB.
const defaultInternalBuffer = 1024

// ExtensionFields lists the fields of the extensions of the bootstrap that are read here.
func ExtensionFields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.bootstrap.internal_listener.v3.InternalListener", Names: []string{"buffer_size_kb"}}
}

// Extensions are what bootstrap_extensions hold.
type Extensions struct {
	// InternalBuffer is how many bytes a connection to an internal listener holds in each
	// direction: 0 without envoy.bootstrap.internal_listener, and so without internal
	// listeners.
	InternalBuffer int
	// ACME is the configuration of ACME, nil without it, and ACMEPath its place.
	ACME     *acmev1.Acme
	ACMEPath conf.Path
}

// ReadExtensions returns the extensions of b, which was checked.
func ReadExtensions(b *bootstrapv3.Bootstrap) Extensions {
	var errs conf.Errors
	return parseExtensions(b, &errs)
}

func parseExtensions(b *bootstrapv3.Bootstrap, errs *conf.Errors) (found Extensions) {
	for i, e := range b.GetBootstrapExtensions() {
		at := conf.Path{}.Field("bootstrap_extensions").Index(i).Field("typed_config")
		if e.GetTypedConfig() == nil {
			continue // against the rules of the proto file, which are checked for all
		}
		internal, acme := new(internallistenerv3.InternalListener), new(acmev1.Acme)
		switch {
		case e.GetTypedConfig().UnmarshalTo(internal) == nil:
			conf.Check(internal, ExtensionFields(), at, errs)
			kb := uint32(defaultInternalBuffer)
			if v := internal.GetBufferSizeKb(); v != nil {
				kb = v.GetValue()
			}
			found.InternalBuffer = int(kb) << 10
		case e.GetTypedConfig().UnmarshalTo(acme) == nil:
			if found.ACME != nil {
				errs.Add(at, "there is ACME already, at %s", found.ACMEPath)
			}
			found.ACME, found.ACMEPath = acme, at
		default:
			errs.Add(at, "only envoy.extensions.bootstrap.internal_listener.v3.InternalListener and nuncio.extensions.acme.v1.Acme are implemented")
		}
	}
	return found
}
