package bootstrap

import (
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	internallistenerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/bootstrap/internal_listener/v3"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// defaultInternalBuffer is the buffer of a connection to an internal listener, in KiB.
const defaultInternalBuffer = 1024

// ExtensionFields lists the fields of the extensions of the bootstrap.
func ExtensionFields() conf.Fields {
	return conf.Fields{Message: "envoy.extensions.bootstrap.internal_listener.v3.InternalListener", Names: []string{"buffer_size_kb"}}
}

// InternalBuffer returns how many bytes a connection to an internal listener holds in
// each direction: 0 if b, which was checked, does not have
// envoy.bootstrap.internal_listener, and so no internal listeners.
func InternalBuffer(b *bootstrapv3.Bootstrap) int {
	var errs conf.Errors
	return parseExtensions(b, &errs)
}

// parseExtensions reads bootstrap_extensions; the result is InternalBuffer's.
func parseExtensions(b *bootstrapv3.Bootstrap, errs *conf.Errors) (internalBuffer int) {
	for i, e := range b.GetBootstrapExtensions() {
		at := conf.Path{}.Field("bootstrap_extensions").Index(i).Field("typed_config")
		msg := &internallistenerv3.InternalListener{}
		if e.GetTypedConfig() == nil {
			continue // against the rules of the proto file, which are checked for all
		}
		if err := e.GetTypedConfig().UnmarshalTo(msg); err != nil {
			errs.Add(at, "only envoy.extensions.bootstrap.internal_listener.v3.InternalListener is implemented")
			continue
		}
		conf.Check(msg, ExtensionFields(), at, errs)
		kb := uint32(defaultInternalBuffer)
		if v := msg.GetBufferSizeKb(); v != nil {
			kb = v.GetValue()
		}
		internalBuffer = int(kb) << 10
	}
	return internalBuffer
}
