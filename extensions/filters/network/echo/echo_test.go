package echo

import (
	"testing"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/testkit/connection"
	"github.com/nuncio-proxy/nuncio/testkit/loop"
)

func TestEcho(t *testing.T) {
	l := loop.New(1)
	c := connection.New(l)
	var errs conf.Errors
	Factory{}.BuildNetworkFilter(Factory{}.Config(), extension.NetworkContext{}, conf.Path{}, &errs)(c, c)
	c.Start()
	c.Receive("hello", false)
	if c.Output != "hello" || c.OutputEnded || !c.HalfClose {
		t.Errorf("%q, %v, half-close %v", c.Output, c.OutputEnded, c.HalfClose)
	}
	c.SetHigh(true)
	c.Receive(" more", true)
	if c.Output != "hello" || c.ReadDisabled != 1 {
		t.Errorf("%q, while the peer takes nothing", c.Output)
	}
	c.SetHigh(false)
	l.Run()
	if c.Output != "hello more" || !c.OutputEnded {
		t.Errorf("%q, %v", c.Output, c.OutputEnded)
	}
	if errs.Err() != nil || l.Buffers().InUse() != 0 {
		t.Error(errs, l.Buffers().InUse())
	}
	if _, _, err := (Factory{}).Fields()[0].Split(Factory{}.Config().ProtoReflect().Descriptor()); err != nil {
		t.Error(err)
	}
}
