package tcpproxy

import (
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/network"
	"github.com/nuncio-proxy/nuncio/api/streaminfo"
	"github.com/nuncio-proxy/nuncio/api/upstream"
	"github.com/nuncio-proxy/nuncio/testkit/connection"
)

func TestEarlyData(t *testing.T) {
	b := newBench(t, plain+"max_early_data_bytes {value: 4}")
	b.down.Receive("abcd", false)
	if b.down.ReadDisabled != 0 || b.down.Unread() != "" {
		t.Errorf("disabled %d, unread %q", b.down.ReadDisabled, b.down.Unread())
	}
	b.down.Receive("e", false)
	if b.down.ReadDisabled != 1 {
		t.Error("more than the limit is read")
	}
	up := b.connect()
	if up.Output != "abcde" || b.down.ReadDisabled != 0 {
		t.Errorf("%q, disabled %d", up.Output, b.down.ReadDisabled)
	}
	b.down.Receive("f", true)
	if up.Output != "abcdef" || !up.OutputEnded {
		t.Errorf("%q", up.Output)
	}
	b.wantStats(map[string]uint64{"tcp.p.early_data_received_count_total": 2})
}

const onData = plain + "upstream_connect_mode: ON_DOWNSTREAM_DATA max_early_data_bytes {value: 10} idle_timeout {seconds: 5} "

func TestConnectOnData(t *testing.T) {
	b := newBench(t, onData)
	if b.cluster.asked != 0 {
		t.Error("connects before there is data")
	}
	b.down.Receive("abc", true)
	if up := b.connect(); up.Output != "abc" || !up.OutputEnded {
		t.Errorf("%q", up.Output)
	}

	b = newBench(t, onData)
	b.loop.Advance(5 * time.Second)
	if b.down.CloseDetails != idleDetails {
		t.Errorf("closed for %q", b.down.CloseDetails)
	}

	b = newBenchAnswering(t, onData, []upstream.PoolFailure{upstream.NoHealthyHost}, false)
	b.down.Receive("abc", false)
	if !b.down.WasClosed {
		t.Error("open without an upstream")
	}

	b = newBench(t, onData)
	b.down.Receive("abc", false)
	b.down.Raise(network.RemoteClose)
	if b.cluster.gone != 1 {
		t.Error("not cancelled")
	}
}

func TestConnectOnHandshake(t *testing.T) {
	const config = plain + "upstream_connect_mode: ON_DOWNSTREAM_TLS_HANDSHAKE max_early_data_bytes {value: 0}"
	b := newBench(t, config)
	if b.cluster.asked != 1 {
		t.Error("waits for TLS that there is not")
	}
	down := connection.New(b.loop)
	down.Info().Secure = true
	b.build(down, down)
	down.Start()
	if b.cluster.asked != 1 {
		t.Error("does not wait")
	}
	down.Info().TLS = &streaminfo.TLS{}
	down.Raise(network.Connected)
	if b.cluster.asked != 2 {
		t.Error("waits too long")
	}
	down.Raise(network.RemoteClose)
}
