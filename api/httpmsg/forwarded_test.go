package httpmsg

import "testing"

func TestLastAddress(t *testing.T) {
	for _, c := range []struct {
		list, ip, rest string
		more           bool
	}{
		{"10.0.0.1", "10.0.0.1", "", false},
		{"10.0.0.1, 10.0.0.2 ", "10.0.0.2", "10.0.0.1", true},
		{"a,::1", "::1", "a", true},
		{"10.0.0.1,", "invalid IP", "10.0.0.1", true},
		{"10.0.0.1:80", "invalid IP", "", false},
		{"[::1]", "invalid IP", "", false},
		{"fe80::1%eth0", "invalid IP", "", false},
		{"", "invalid IP", "", false},
	} {
		ip, rest, more := LastAddress(c.list)
		if ip.String() != c.ip || rest != c.rest || more != c.more {
			t.Errorf("%q: %v %q %v", c.list, ip, rest, more)
		}
	}
}
