package tlsinspector

import (
	"crypto/md5" //nolint:gosec // JA3 is defined with it
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
)

const lowerHex = "0123456789abcdef"

// grease reports whether a value is one that stands for nothing (RFC 8701).
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// numbers appends the 16-bit numbers of b to dst.
func numbers(dst []uint16, b []byte) []uint16 {
	for c := (cursor{rest: b}); len(c.rest) >= 2; {
		dst = append(dst, c.uint16())
	}
	return dst
}

// extensionIDs returns the extensions without GREASE, in their order.
func (h *hello) extensionIDs() (ids []uint16) {
	for c := (cursor{rest: h.extensions}); len(c.rest) > 0; {
		if id := c.uint16(); !grease(id) {
			ids = append(ids, id)
		}
		c.vector16()
	}
	return ids
}

func (h *hello) cipherIDs() []uint16 { return slices.DeleteFunc(numbers(nil, h.ciphers), grease) }

// ja3 returns the MD5 of version, ciphers, extensions, groups and point formats. As in
// Envoy, groups are with GREASE, which JA3 wants left out.
func (h *hello) ja3() string {
	text := strconv.AppendUint(nil, uint64(h.version), 10)
	groups, _ := h.extension(extGroups)
	points, _ := h.extension(extPointFormats)
	formats := make([]uint16, 0, len(points))
	for _, p := range points[min(1, len(points)):] {
		formats = append(formats, uint16(p))
	}
	for _, list := range [][]uint16{h.cipherIDs(), h.extensionIDs(), numbers(nil, groups[min(2, len(groups)):]), formats} {
		text = append(text, ',')
		for i, v := range list {
			if i > 0 {
				text = append(text, '-')
			}
			text = strconv.AppendUint(text, uint64(v), 10)
		}
	}
	sum := md5.Sum(text) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}

// ja4 returns what is countable, the hash of the sorted ciphers, and that of the sorted
// extensions with the signature algorithms.
func (h *hello) ja4() string {
	ciphers, extensions := h.cipherIDs(), h.extensionIDs()
	out := append(make([]byte, 0, 36), 't')
	out = append(out, h.ja4Version()...)
	if _, ok := h.extension(extServerName); ok {
		out = append(out, 'd')
	} else {
		out = append(out, 'i')
	}
	out = appendCount(out, len(ciphers))
	out = appendCount(out, len(extensions))
	out = h.appendALPN(out)

	slices.Sort(ciphers)
	out = appendHash(append(out, '_'), appendHex(nil, ciphers))

	extensions = slices.DeleteFunc(extensions, func(id uint16) bool { return id == extServerName || id == extALPN })
	slices.Sort(extensions)
	text := appendHex(nil, extensions)
	if ext, _ := h.extension(extSignatures); len(ext) >= 4 {
		text = appendHex(append(text, '_'), numbers(nil, ext[2:]))
	}
	return string(appendHash(append(out, '_'), text))
}

// ja4Version is that of the highest version in supported_versions, or else of the
// message.
func (h *hello) ja4Version() string {
	version := h.version
	if ext, ok := h.extension(extVersions); ok {
		c := cursor{rest: ext}
		list := numbers(nil, c.vector8())
		if c.failed {
			return "00"
		}
		if list = slices.DeleteFunc(list, grease); len(list) > 0 && slices.Max(list) > 0 {
			version = slices.Max(list)
		}
	}
	switch version {
	case 0x304:
		return "13"
	case 0x303:
		return "12"
	case 0x302:
		return "11"
	case 0x301:
		return "10"
	}
	return "00"
}

// appendALPN appends the first and last character of the first protocol, or half of
// each in hexadecimal.
func (h *hello) appendALPN(dst []byte) []byte {
	ext, _ := h.extension(extALPN)
	c := cursor{rest: ext}
	c.uint16()
	name := c.vector8()
	if len(name) == 0 {
		return append(dst, "00"...)
	}
	first, last := name[0], name[len(name)-1]
	if !alphanumeric(first) || !alphanumeric(last) {
		first, last = lowerHex[first>>4], lowerHex[last&0xf]
	}
	return append(dst, first, last)
}

func alphanumeric(b byte) bool {
	return b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
}

// appendCount appends two digits.
func appendCount(dst []byte, n int) []byte {
	n = min(n, 99)
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}

func appendHex(dst []byte, list []uint16) []byte {
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, lowerHex[v>>12], lowerHex[v>>8&0xf], lowerHex[v>>4&0xf], lowerHex[v&0xf])
	}
	return dst
}

// appendHash appends the first twelve digits of the SHA-256 of text, zeros for none.
func appendHash(dst, text []byte) []byte {
	if len(text) == 0 {
		return append(dst, "000000000000"...)
	}
	sum := sha256.Sum256(text)
	return hex.AppendEncode(dst, sum[:6])
}
