package format

import "testing"

func TestWantsRTT(t *testing.T) {
	c := NewCompiler(Options{})
	if _, err := c.Compile("%START_TIME% %CONNECTION_ID%"); err != nil || c.WantsRTT() {
		t.Errorf("wanted without a format that shows it: %v", err)
	}
	if _, err := c.Compile("%DOWNSTREAM_CX_RTT%"); err != nil || !c.WantsRTT() {
		t.Errorf("not wanted: %v", err)
	}
}
