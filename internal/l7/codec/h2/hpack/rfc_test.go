package hpack

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/api/httpmsg"
)

// field makes a Field from "name: value"; a "!" before it is for sensitive.
func field(line string) Field {
	line, sensitive := strings.CutPrefix(line, "!")
	name, value, _ := strings.Cut(line[1:], ": ")
	name = line[:1] + name
	return Field{ID: httpmsg.Lookup(name), Name: name, Value: value, Sensitive: sensitive}
}

func fields(lines ...string) (list []Field) {
	for _, line := range lines {
		list = append(list, field(line))
	}
	return list
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodeAll(d *Decoder, block []byte) (list []Field, err error) {
	err = d.Decode(block, func(f *Field) error {
		list = append(list, *f)
		return nil
	})
	return list, err
}

type exchange struct {
	block  string
	fields []Field
	size   uint32   // of the dynamic table
	table  []string // newest first
}

// The examples of RFC 7541, appendix C; each list is one connection.
var appendixC = []struct {
	name      string
	tableSize uint32
	exchanges []exchange
}{
	{"C.2.1", 4096, []exchange{{"400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
		fields("custom-key: custom-header"), 55, []string{"custom-key: custom-header"}}}},
	{"C.2.2", 4096, []exchange{{"040c 2f73 616d 706c 652f 7061 7468", fields(":path: /sample/path"), 0, nil}}},
	{"C.2.3", 4096, []exchange{{"1008 7061 7373 776f 7264 0673 6563 7265 74", fields("!password: secret"), 0, nil}}},
	{"C.2.4", 4096, []exchange{{"82", fields(":method: GET"), 0, nil}}},
	{"C.3", 4096, []exchange{
		{"8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", requests[0], 57, requestTables[0]},
		{"8286 84be 5808 6e6f 2d63 6163 6865", requests[1], 110, requestTables[1]},
		{"8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", requests[2], 164, requestTables[2]},
	}},
	{"C.4", 4096, []exchange{
		{"8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", requests[0], 57, requestTables[0]},
		{"8286 84be 5886 a8eb 1064 9cbf", requests[1], 110, requestTables[1]},
		{"8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", requests[2], 164, requestTables[2]},
	}},
	{"C.5", 256, []exchange{
		{"4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d" +
			"546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", responses[0], 222, responseTables[0]},
		{"4803 3330 37c1 c0bf", responses[1], 222, responseTables[1]},
		{"88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738" +
			"666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33" +
			"3630 303b 2076 6572 7369 6f6e 3d31", responses[2], 215, responseTables[2]},
	}},
	{"C.6", 256, []exchange{
		{"4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7" +
			"8f0b 97c8 e9ae 82ae 43d3", responses[0], 222, responseTables[0]},
		{"4883 640e ffc1 c0bf", responses[1], 222, responseTables[1]},
		{"88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335" +
			"dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07", responses[2], 215, responseTables[2]},
	}},
}

const cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"

var (
	requests = [][]Field{
		fields(":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"),
		fields(":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"),
		fields(":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"),
	}
	requestTables = [][]string{
		{":authority: www.example.com"},
		{"cache-control: no-cache", ":authority: www.example.com"},
		{"custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"},
	}
	responses = [][]Field{
		fields(":status: 302", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT", "location: https://www.example.com"),
		fields(":status: 307", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT", "location: https://www.example.com"),
		fields(":status: 200", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:22 GMT", "location: https://www.example.com",
			"content-encoding: gzip", cookie),
	}
	responseTables = [][]string{
		{"location: https://www.example.com", "date: Mon, 21 Oct 2013 20:13:21 GMT", "cache-control: private", ":status: 302"},
		{":status: 307", "location: https://www.example.com", "date: Mon, 21 Oct 2013 20:13:21 GMT", "cache-control: private"},
		{cookie, "content-encoding: gzip", "date: Mon, 21 Oct 2013 20:13:22 GMT"},
	}
)

func tableLines(t *table) (lines []string) {
	for i := range t.len {
		lines = append(lines, t.at(i).Name+": "+t.at(i).Value)
	}
	return lines
}

func TestAppendixC(t *testing.T) {
	for _, test := range appendixC {
		t.Run(test.name, func(t *testing.T) {
			var d Decoder
			d.Init(test.tableSize)
			d.table.setMax(test.tableSize)
			for i, x := range test.exchanges {
				got, err := decodeAll(&d, unhex(t, x.block))
				if err != nil || !slices.Equal(got, x.fields) {
					t.Fatalf("block %d: %v, %v", i, got, err)
				}
				if table := tableLines(&d.table); d.table.size != x.size || !slices.Equal(table, x.table) {
					t.Fatalf("block %d: table of %d bytes: %q", i, d.table.size, table)
				}
			}
		})
	}
}

// TestEncodeAppendixC encodes the requests of C.4, which leave no choice to the
// encoder.
func TestEncodeAppendixC(t *testing.T) {
	var e Encoder
	e.Init()
	for i, list := range requests {
		if got, want := encode(&e, list), unhex(t, appendixC[5].exchanges[i].block); !slices.Equal(got, want) {
			t.Errorf("block %d: %x, want %x", i, got, want)
		}
	}
}

func encode(e *Encoder, list []Field) []byte {
	block := e.Begin(nil)
	for _, f := range list {
		block = e.Append(block, f.ID, f.Name, f.Value, f.Sensitive)
	}
	return block
}
