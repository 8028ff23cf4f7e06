package hpack

import (
	"encoding/binary"
	"slices"
)

// bitLengths are the lengths of the codes of RFC 7541, appendix B. The code is
// canonical (codes ascend with length, then with the symbol), so that the lengths
// say it all. The last symbol is EOS, which must not appear.
var bitLengths = [257]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
	eos: 30,
}

const (
	eos     = 256
	minBits = 5 // of a code
	maxBits = 30
)

// huffman is the code, both ways; it is never written to.
var huffman = newHuffmanCode()

type huffmanCode struct {
	codes [256]uint32 // by symbol, right-justified

	// short has symbol<<8 + length of the code that begins with these 8 bits; 0 means
	// that the code is longer. Those are rare, and found by comparing with the limits:
	// a window of 32 bits below limits[n] begins with a code of at most n bits, and
	// rank[n] + the code is its place in symbols.
	short   [256]uint16
	limits  [maxBits]uint32
	rank    [maxBits + 1]int32
	symbols [257]uint16 // in the order of their codes
}

func newHuffmanCode() *huffmanCode {
	h := &huffmanCode{}
	for i := range h.symbols {
		h.symbols[i] = uint16(i)
	}
	slices.SortStableFunc(h.symbols[:], func(a, b uint16) int { return int(bitLengths[a]) - int(bitLengths[b]) })
	code, place := uint32(0), 0
	for bits := minBits; bits <= maxBits; bits++ {
		h.rank[bits] = int32(place) - int32(code)
		for ; place <= eos && int(bitLengths[h.symbols[place]]) == bits; place++ {
			symbol := h.symbols[place]
			if symbol != eos {
				h.codes[symbol] = code
			}
			if bits <= 8 {
				for i := range uint32(1) << (8 - bits) {
					h.short[code<<(8-bits)+i] = symbol<<8 + uint16(bits)
				}
			}
			code++
		}
		if bits < maxBits {
			h.limits[bits] = code << (32 - bits)
		}
		code <<= 1
	}
	return h
}

// huffmanLen returns the bytes that appendHuffman appends.
func huffmanLen(s string) int {
	bits := 0
	for i := range len(s) {
		bits += int(bitLengths[s[i]])
	}
	return (bits + 7) / 8
}

func appendHuffman(dst []byte, s string) []byte {
	var acc uint64 // its low n bits are not written yet
	var n uint
	for i := range len(s) {
		bits := uint(bitLengths[s[i]])
		acc = acc<<bits | uint64(huffman.codes[s[i]])
		if n += bits; n >= 32 {
			n -= 32
			dst = binary.BigEndian.AppendUint32(dst, uint32(acc>>n))
		}
	}
	for ; n >= 8; n -= 8 {
		dst = append(dst, byte(acc>>(n-8)))
	}
	if n > 0 {
		dst = append(dst, byte(acc<<(8-n))|0xff>>n) // padded with the first bits of EOS
	}
	return dst
}

// maxDecoded is how many symbols n bytes may mean.
func maxDecoded(n int) int { return n * 8 / minBits }

// decodeHuffman appends what src means.
func decodeHuffman(dst, src []byte) ([]byte, error) {
	var acc uint64 // its high n bits are not read yet; below them are zeros or bits of src
	var n uint
	h := huffman
	for {
		if len(src) >= 8 {
			acc |= binary.BigEndian.Uint64(src) >> n
			src = src[(63-n)/8:]
			n |= 56
		}
		for ; n <= 56 && len(src) > 0; n += 8 {
			acc |= uint64(src[0]) << (56 - n)
			src = src[1:]
		}
		for again := true; again; again = n >= maxBits {
			symbol, bits := h.short[acc>>56]>>8, uint(h.short[acc>>56]&0xff)
			if bits == 0 {
				symbol, bits = h.long(uint32(acc >> 32))
			}
			if bits > n { // only at the end of src
				if n >= 8 || acc>>(64-n) != 1<<n-1 {
					return dst, ErrHuffman
				}
				return dst, nil
			}
			if symbol == eos {
				return dst, ErrHuffman
			}
			dst = append(dst, byte(symbol))
			acc <<= bits & 63
			n -= bits
		}
	}
}

// long returns the symbol at the beginning of window, whose code has 10 bits or more.
func (h *huffmanCode) long(window uint32) (symbol uint16, bits uint) {
	bits = 10
	for bits < maxBits && window >= h.limits[bits] {
		bits++
	}
	return h.symbols[h.rank[bits]+int32(window>>(32-bits))], bits
}
