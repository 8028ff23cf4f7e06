package hpack

import "github.com/nuncio-proxy/nuncio/api/httpmsg"

// staticFields is the static table (RFC 7541, appendix A); fields of the same name
// follow each other. Index 0 is none. It is never written to.
var staticFields = func() (t [staticLen + 1]Field) {
	for i, f := range [staticLen][2]string{
		{":authority"},
		{":method", "GET"}, {":method", "POST"},
		{":path", "/"}, {":path", "/index.html"},
		{":scheme", "http"}, {":scheme", "https"},
		{":status", "200"}, {":status", "204"}, {":status", "206"}, {":status", "304"},
		{":status", "400"}, {":status", "404"}, {":status", "500"},
		{"accept-charset"}, {"accept-encoding", "gzip, deflate"}, {"accept-language"},
		{"accept-ranges"}, {"accept"}, {"access-control-allow-origin"}, {"age"}, {"allow"},
		{"authorization"}, {"cache-control"}, {"content-disposition"}, {"content-encoding"},
		{"content-language"}, {"content-length"}, {"content-location"}, {"content-range"},
		{"content-type"}, {"cookie"}, {"date"}, {"etag"}, {"expect"}, {"expires"}, {"from"},
		{"host"}, {"if-match"}, {"if-modified-since"}, {"if-none-match"}, {"if-range"},
		{"if-unmodified-since"}, {"last-modified"}, {"link"}, {"location"}, {"max-forwards"},
		{"proxy-authenticate"}, {"proxy-authorization"}, {"range"}, {"referer"}, {"refresh"},
		{"retry-after"}, {"server"}, {"set-cookie"}, {"strict-transport-security"},
		{"transfer-encoding"}, {"user-agent"}, {"vary"}, {"via"}, {"www-authenticate"},
	} {
		t[i+1] = Field{ID: httpmsg.Lookup(f[0]), Name: f[0], Value: f[1]}
	}
	return t
}()

const staticLen = 61

// staticByID has the first index of the name with that ID, 0 for none.
var staticByID = func() (t [256]uint8) {
	for i := staticLen; i > 0; i-- {
		if id := staticFields[i].ID; id != httpmsg.Unknown {
			t[id] = uint8(i)
		}
	}
	return t
}()

// staticValues has the number of values of the name whose first index it is.
var staticValues = func() (t [staticLen + 1]uint8) {
	for i, first := 1, 1; i <= staticLen; i++ {
		if staticFields[i].Name != staticFields[first].Name {
			first = i
		}
		t[first]++
	}
	return t
}()

// staticByName is an open-addressed hash table of the names without an ID.
var staticByName = func() (t [128]uint8) {
	for i := uint8(1); i <= staticLen; i++ {
		if f := &staticFields[i]; f.ID == httpmsg.Unknown {
			slot := staticSlot(f.Name)
			for ; t[slot] != 0; slot = (slot + 1) % 128 {
			}
			t[slot] = i
		}
	}
	return t
}()

func staticSlot(name string) uint {
	n := len(name)
	return (uint(n) + uint(name[n-1])*5 + uint(name[n/2])*29) % 128
}

// findStatic returns the first index of the name in the static table, 0 for none,
// and whether the value at index is the wanted one.
func findStatic(id httpmsg.ID, name, value string) (index int, both bool) {
	if id != httpmsg.Unknown {
		index = int(staticByID[id])
	} else if name != "" {
		for slot := staticSlot(name); staticByName[slot] != 0; slot = (slot + 1) % 128 {
			if i := int(staticByName[slot]); staticFields[i].Name == name {
				index = i
				break
			}
		}
	}
	if index == 0 {
		return 0, false
	}
	for i := index; i < index+int(staticValues[index]); i++ {
		if staticFields[i].Value == value {
			return i, true
		}
	}
	return index, false
}
