package tcpproxy

import (
	"fmt"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/testkit/connection"
)

// TestTLVs has what the header to the host says, by what the client's said.
func TestTLVs(t *testing.T) {
	const tlvs = ` proxy_protocol_tlvs {type: 1 value: "one"} proxy_protocol_tlvs {type: 1 value: "again"}
		proxy_protocol_tlvs {type: 2 format_string {text_format_source {inline_string: "<%REQ(a)%>"}}} `
	const overwrite, add = "proxy_protocol_tlv_merge_policy: OVERWRITE_BY_TYPE_IF_EXISTS_OR_ADD", "proxy_protocol_tlv_merge_policy: APPEND_IF_EXISTS_OR_ADD"
	none := &streaminfo.ProxyProtocol{Version: 1}
	some := &streaminfo.ProxyProtocol{Version: 2, TLVs: []streaminfo.TLV{{Type: 1, Value: []byte("x")}, {Type: 3, Value: []byte("y")}}}
	for _, test := range []struct {
		config string
		header *streaminfo.ProxyProtocol
		want   string
	}{
		{"", nil, "<nil>"},
		{"", some, "1=x 3=y "},
		{tlvs, nil, "1=one 1=again 2=<-> "},
		{tlvs, none, ""},
		{tlvs, some, "1=x 3=y "},
		{tlvs + overwrite, nil, "1=one 1=again 2=<-> "},
		{tlvs + overwrite, none, "1=one 1=again 2=<-> "},
		{tlvs + overwrite, some, "1=one 1=again 2=<-> 3=y "},
		{tlvs + add, none, "1=one 1=again 2=<-> "},
		{tlvs + add, some, "1=x 3=y 1=one 1=again 2=<-> "},
	} {
		b := newBench(t, plain+test.config)
		down := connection.New(b.loop)
		down.Info().ProxyProtocol = test.header
		b.build(down, down)
		down.Start()
		got := "<nil>"
		if h := b.cluster.pick.Downstream.ProxyProtocol; h != nil {
			got = ""
			for _, v := range h.TLVs {
				got += fmt.Sprintf("%d=%s ", v.Type, v.Value)
			}
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.config, got, test.want)
		}
		if test.header == some && len(some.TLVs) != 2 {
			t.Fatal("the client's header was changed")
		}
		if test.config == tlvs && test.header == nil {
			if h := down.Info().ProxyProtocol; h.Source != down.Info().Remote || h.Destination != down.Info().Local {
				t.Errorf("addresses %v, %v", h.Source, h.Destination)
			}
		}
	}
}

type drain struct{ on bool }

func (d *drain) DrainClose(uint64) bool { return d.on }

// TestDrain: a connection ends behind the next bytes in either direction.
func TestDrain(t *testing.T) {
	for _, down := range []bool{true, false} {
		b := newBench(t, plain+"check_drain_close {value: true}")
		up := b.connect()
		b.down.Receive("a", false)
		if b.drain.on = true; b.down.WasClosed {
			t.Error("closed though nothing drains")
		}
		if down {
			b.down.Receive("b", false)
		} else {
			up.Receive("c", false)
		}
		if !b.down.WasClosed || b.down.CloseDetails != drainDetails {
			t.Errorf("%v: closed %v, %s", down, b.down.WasClosed, b.down.CloseDetails)
		}
		b.wantStats(map[string]uint64{"tcp.p.downstream_cx_drain_close": 1})
	}
}
