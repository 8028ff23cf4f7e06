package listener

import (
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

func TestFields(t *testing.T) {
	for i, msg := range []proto.Message{&listenerv3.Listener{}, &listenerv3.FilterChain{}, &listenerv3.FilterChainMatch{},
		&listenerv3.Filter{}, &listenerv3.ListenerFilter{}} {
		if _, _, err := Fields()[i].Split(msg.ProtoReflect().Descriptor()); err != nil {
			t.Error(err)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	const ok = `name: "l" address {ADDRESS} filter_chains {ECHO} `
	const at = "listeners[0]."
	for _, c := range []struct{ text, want string }{
		{ok, ""},
		{`name: "l" filter_chains {ECHO}`, at + "address: must be set"},
		{`name: "l" address {ADDRESS}`, at + "filter_chains: no filter chains specified"},
		{`name: "l" filter_chains {ECHO} address {socket_address {address: "::1" protocol: UDP port_value: 1}}`,
			at + "address.socket_address.protocol: UDP listeners are not implemented"},
		{ok + `use_original_dst {value: true}`, at + "use_original_dst: extension envoy.extensions.filters.listener.original_dst.v3.OriginalDst is not there"},
		{ok + `connection_balance_config {extend_balance {name: "x"}}`,
			at + "connection_balance_config.extend_balance: field extend_balance is not implemented"},
		{ok + `max_connections_to_accept_per_socket_event {value: 0}`,
			at + "max_connections_to_accept_per_socket_event: must be greater than 0"},
		{ok + `tcp_backlog_size {value: 0}`, at + "tcp_backlog_size: must be greater than 0"},
		{ok + `additional_addresses {address {ADDRESS} } filter_chains {filter_chain_match {suffix_len {value: 1}}}`,
			at + "filter_chains[1].filter_chain_match.suffix_len: field suffix_len is not implemented\n" +
				at + "filter_chains[1].filter_chain_match: filter chain '' has the same matching rules defined as ''"},
		{ok + `filter_chains {filter_chain_match {source_ports: 1} use_proxy_proto {value: true}}`,
			at + "filter_chains[1].use_proxy_proto: field use_proxy_proto is not implemented"},
		{ok + `default_filter_chain {transport_socket {name: "envoy.transport_sockets.tls"
			typed_config {[type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext] {}}}}`,
			at + "default_filter_chain.transport_socket.typed_config: transport socket " +
				"envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext is not implemented"},
		{ok + `default_filter_chain {transport_socket {name: "envoy.transport_sockets.tls"}}`,
			at + "default_filter_chain.transport_socket.typed_config: must be set"},
		{ok + `default_filter_chain {ECHO ECHO}`, at + "default_filter_chain.filters[0]: terminal filter named echo of type " +
			"envoy.filters.network.echo must be the last filter in a network filter chain"},
		{ok + `default_filter_chain {filters {name: "x"}}`, at + "default_filter_chain.filters[0].typed_config: must be set"},
		{ok + `default_filter_chain {filters {name: "x" config_discovery {}}}`,
			at + "default_filter_chain.filters[0].config_discovery: field config_discovery is not implemented\n" +
				at + "default_filter_chain.filters[0].typed_config: must be set"},
		{ok + `default_filter_chain {filters {name: "x" typed_config {[type.googleapis.com/google.protobuf.Struct] {}}}}`,
			at + "default_filter_chain.filters[0]: didn't find a registered implementation for 'x' with type URL: 'google.protobuf.Struct'"},
		{ok + `listener_filters {name: "x"}`, at + "listener_filters[0].typed_config: must be set"},
	} {
		r := newRig(t)
		got := ""
		if err := r.manager.Add(parse(t, c.text), conf.Path{}.Field("listeners").Index(0), true); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestDuplicates(t *testing.T) {
	r := newRig(t)
	add := func(text string) string {
		if err := r.manager.Add(parse(t, text), conf.Path{}, true); err != nil {
			return err.Error()
		}
		return ""
	}
	const a = `address {socket_address {address: "127.0.0.1" port_value: 12345}} filter_chains {ECHO}`
	if got := add(`name: "a" ` + a); got != "" {
		t.Fatal(got)
	}
	if got := add(`name: "a" ` + a); got != "name: duplicate listener a: it is static" {
		t.Error(got)
	}
	if got := add(`name: "b" ` + a); got != "address: error adding listener: 'b' has duplicate address '127.0.0.1:12345' as existing listener 'a'" {
		t.Error(got)
	}
	if got := add(`name: "c" address {ADDRESS} filter_chains {ECHO}`) + add(`address {ADDRESS} filter_chains {ECHO}`); got != "" {
		t.Error(got)
	}
}
