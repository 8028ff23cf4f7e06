package hpack

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	xhpack "golang.org/x/net/http2/hpack"
)

// A first block of a connection fills the table, a later one finds all but a few
// fields there; one of literals is what clients without a table send.
func BenchmarkDecode(b *testing.B) {
	var e Encoder
	e.Init()
	first := encode(&e, typicalRequest)
	later := encode(&e, typicalRequest)
	var literals []byte
	for _, f := range typicalRequest {
		literals = appendLiteral(literals, 0, 4, 0, f.Name, f.Value, false)
	}
	emit := func(*Field) error { return nil }
	for _, bench := range []struct {
		name  string
		block []byte
	}{{"later", later}, {"literals", literals}} {
		b.Run(bench.name+"/ours", func(b *testing.B) {
			var d Decoder
			d.Init(4096)
			if err := d.Decode(first, emit); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Decode(bench.block, emit); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bench.name+"/xnet", func(b *testing.B) {
			d := xhpack.NewDecoder(4096, func(xhpack.HeaderField) {})
			if _, err := d.Write(first); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Write(bench.block); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("first/ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var d Decoder
			d.Init(4096)
			if err := d.Decode(first, emit); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("first/xnet", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d := xhpack.NewDecoder(4096, func(xhpack.HeaderField) {})
			if _, err := d.Write(first); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkEncode has a new path and request ID each time.
func BenchmarkEncode(b *testing.B) {
	list := slices.Clone(typicalRequest)
	path, requestID := &list[3].Value, &list[13].Value
	var paths, requestIDs [1024]string
	for i := range paths {
		paths[i], requestIDs[i] = strings.Replace(*path, "4711", strconv.Itoa(1000+i), 1), strings.Replace(*requestID, "6a2c", strconv.Itoa(1000+i), 1)
	}
	b.Run("ours", func(b *testing.B) {
		var e Encoder
		e.Init()
		var block []byte
		i, size := 0, 0
		b.ReportAllocs()
		for b.Loop() {
			*path, *requestID = paths[i%1024], requestIDs[i%1024]
			i++
			block = e.Begin(block[:0])
			for k := range list {
				f := &list[k]
				block = e.Append(block, f.ID, f.Name, f.Value, f.Sensitive)
			}
			size += len(block)
		}
		b.ReportMetric(float64(size)/float64(i), "bytes/op")
	})
	b.Run("xnet", func(b *testing.B) {
		var block bytes.Buffer
		e := xhpack.NewEncoder(&block)
		i, size := 0, 0
		b.ReportAllocs()
		for b.Loop() {
			*path, *requestID = paths[i%1024], requestIDs[i%1024]
			i++
			block.Reset()
			for k := range list {
				if err := e.WriteField(xhpack.HeaderField{Name: list[k].Name, Value: list[k].Value, Sensitive: list[k].Sensitive}); err != nil {
					b.Fatal(err)
				}
			}
			size += block.Len()
		}
		b.ReportMetric(float64(size)/float64(i), "bytes/op")
	})
}

func BenchmarkHuffmanDecode(b *testing.B) {
	coded := appendHuffman(nil, typicalRequest[4].Value+typicalRequest[8].Value+typicalRequest[9].Value)
	b.SetBytes(int64(len(coded)))
	var dst []byte
	for b.Loop() {
		var err error
		if dst, err = decodeHuffman(dst[:0], coded); err != nil {
			b.Fatal(err)
		}
	}
}
