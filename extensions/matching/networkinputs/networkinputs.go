// Package networkinputs gives matchers what is known of a downstream connection and
// its stream, and tests metadata.
package networkinputs

import (
	"strings"

	networkv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	sslv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/ssl/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/address"
	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
)

// Factories returns the factories of all inputs, and of the matcher of metadata. As in
// Envoy there are none of transport and application protocol: those are for connections.
func Factories() []extension.Factory {
	return []extension.Factory{
		&factory{"destination_ip", &networkv3.DestinationIPInput{}, ip(local)},
		&factory{"destination_port", &networkv3.DestinationPortInput{}, port(local)},
		&factory{"source_ip", &networkv3.SourceIPInput{}, ip(remote)},
		&factory{"source_port", &networkv3.SourcePortInput{}, port(remote)},
		&factory{"direct_source_ip", &networkv3.DirectSourceIPInput{}, ip(directRemote)},
		&factory{"source_type", &networkv3.SourceTypeInput{}, sourceType},
		&factory{"server_name", &networkv3.ServerNameInput{}, text(serverName)},
		&factory{"network_namespace", &networkv3.NetworkNamespaceInput{}, missing},
		&factory{"uri_san", &sslv3.UriSanInput{}, certificate(uriSANs)},
		&factory{"dns_san", &sslv3.DnsSanInput{}, certificate(dnsSANs)},
		&factory{"subject", &sslv3.SubjectInput{}, certificate(subject)},
		FilterState{},
		DynamicMetadata{},
		MetadataMatcher{},
	}
}

// A factory makes an input without configuration.
type factory struct {
	name    string
	message proto.Message
	input   matcher.TextInput
}

// Name implements extension.Factory.
func (f *factory) Name() string { return "envoy.matching.inputs." + f.name }

// Category implements extension.Factory.
func (f *factory) Category() string { return extension.MatchInputs }

// Config implements extension.Factory.
func (f *factory) Config() proto.Message { return f.message.ProtoReflect().New().Interface() }

// Fields implements extension.Factory.
func (f *factory) Fields() []conf.Fields {
	return []conf.Fields{{Message: f.message.ProtoReflect().Descriptor().FullName()}}
}

// BuildMatchInput implements extension.MatchInputFactory.
func (f *factory) BuildMatchInput(proto.Message, extension.Context, conf.Path, *conf.Errors) matcher.Input {
	return f.input
}

func local(c *streaminfo.Connection) address.Address        { return c.Local }
func remote(c *streaminfo.Connection) address.Address       { return c.Remote }
func directRemote(c *streaminfo.Connection) address.Address { return c.DirectRemote }

func ip(of func(*streaminfo.Connection) address.Address) matcher.TextInput {
	return func(d matcher.Data) matcher.Value {
		c := d.Connection()
		if c == nil || !of(c).IP().IsValid() {
			return matcher.Value{}
		}
		return matcher.TextValue(of(c).WithoutPort(), true)
	}
}

func port(of func(*streaminfo.Connection) address.Address) matcher.TextInput {
	return func(d matcher.Data) matcher.Value {
		c := d.Connection()
		if c == nil || !of(c).IP().IsValid() {
			return matcher.Value{}
		}
		text := of(c).String()
		return matcher.TextValue(text[strings.LastIndexByte(text, ':')+1:], true)
	}
}

// sourceType is "local" for a client on the same host.
func sourceType(d matcher.Data) matcher.Value {
	c := d.Connection()
	if c == nil {
		return matcher.Value{}
	}
	from, to := c.Remote, c.Local
	same := from.IsUnix() || from.IP().IsLoopback() || from.IP().IsValid() && from.IP() == to.IP()
	return matcher.TextValue("local", same)
}

func serverName(c *streaminfo.Connection) string { return c.RequestedServerName }

// missing is the name space of a connection: no listener here is in another than that of
// the program, which has no name.
func missing(matcher.Data) matcher.Value { return matcher.Value{} }

// text is a text that is missing if it is empty.
func text(of func(*streaminfo.Connection) string) matcher.TextInput {
	return func(d matcher.Data) matcher.Value {
		c := d.Connection()
		if c == nil {
			return matcher.Value{}
		}
		return matcher.TextValue(of(c), of(c) != "")
	}
}
